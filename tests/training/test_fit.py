# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgenas.errors import UsageError
from edgenas.seals import Seals
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import Dataset, Split
from edgenas.training import Job, Outcome
from edgenas.training.checkpoints import load_job, load_network
from edgenas.training.fit import as_tensor, evaluate, fit, loss_weights, schedule

Jobs = Callable[..., Job]


def losses(outcome: Outcome) -> tuple[int, float, float, float]:
    return outcome.epoch, outcome.train_loss, outcome.validation_loss, outcome.validation_accuracy


def weights(job: Job) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(job.checkpoint, weights_only=True)["net"]
    return state


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_decides_everything(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    first = fit(job(name="a"), space, few)
    torch.manual_seed(99)  # another state of torch's own generator changes nothing
    second, other = fit(job(name="b"), space, few), fit(job(name="c", seed=1), space, few)
    assert losses(first) == losses(second)
    assert same(weights(job(name="a")), weights(job(name="b")))
    assert first.train_loss != other.train_loss


def test_training_that_goes_on_is_training_that_never_stopped(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    straight = fit(job(until=4, name="straight"), space, few)
    parts = [fit(job(until=until, name="parts"), space, few) for until in (1, 3, 4)]
    assert [part.epoch for part in parts] == [1, 3, 4]
    assert losses(parts[-1]) == losses(straight)
    assert same(weights(job(name="straight")), weights(job(name="parts")))


def test_what_is_known_is_not_trained_again(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    epochs: list[int] = []
    first = fit(job(until=1), space, few, epochs.append)
    last = fit(job(until=3), space, few, epochs.append)
    assert epochs == [1, 2, 3]
    before = Path(job().checkpoint).read_bytes()
    assert fit(job(until=3), space, few, epochs.append) == last
    assert fit(job(until=1), space, few, epochs.append) == first
    assert epochs == [1, 2, 3]
    assert Path(job().checkpoint).read_bytes() == before


def test_an_interrupted_epoch_is_repeated(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    fit(job(until=1), space, few)

    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(job(until=3), space, few, interrupt)
    resumed = fit(job(until=3), space, few)
    assert losses(resumed) == losses(fit(job(until=3, name="straight"), space, few))


def test_the_checkpoint_is_the_network_that_was_judged(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    outcome = fit(job(), space, few)
    assert load_job(Path(job().checkpoint)) == job()
    net = load_network(Path(job().checkpoint), space, Architecture.parse(job().architecture))
    assert not net.training
    loss, recalls = evaluate(net, few.validation, few)
    assert (loss, recalls, recalls.accuracy) == (outcome.validation_loss, outcome.recalls, outcome.validation_accuracy)


def test_digits_are_learnt_in_a_few_epochs(job: Jobs, space: SearchSpace, digits: Dataset) -> None:
    outcome = fit(job(until=8, epochs=8), space, digits)
    assert outcome.validation_accuracy > 0.9
    net = load_network(Path(job().checkpoint), space, Architecture.parse(job().architecture))
    assert evaluate(net, digits.test, digits)[1].accuracy > 0.9


def test_fewer_images_than_a_batch_are_one_batch(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    recipe = replace(job().recipe, batch=1000)
    outcome = fit(replace(job(until=2), recipe=recipe), space, few)
    assert outcome.epoch == 2
    assert np.isfinite(outcome.train_loss)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_checkpoint_is_a_usage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot be read as a checkpoint of edgenas: .+") as caught:
        load_job(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_checkpoint_that_inflates_or_never_ends_is_a_usage_error(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    fit(job(until=1), space, few)
    path = Path(job().checkpoint)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    os.mkfifo(path.with_suffix(".pipe"))
    for suffix in (".zip", ".pipe"):
        with pytest.raises(UsageError, match="cannot be read as a checkpoint of edgenas"):
            load_job(path.with_suffix(suffix))


def test_another_programs_checkpoint_is_a_usage_error(tmp_path: Path, job: Jobs) -> None:
    true = job().to_json()
    wrong = ({"name": 1}, {"until": -1}, {"seed": "0"}, {"recipe": {}}, {"recipe": None}, {"more": 1})
    strange = [{"job": {**true, **change}} for change in wrong]
    strange += [{"job": {**true, "recipe": {**job().recipe.to_json(), "momentum": float("nan")}}}]
    for state in (*strange, {"net": {}}, [1, 2], {"job": {"name": "a"}}):
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(UsageError, match="damaged or of another program"):
            load_job(tmp_path / "a.pt")


def test_no_damage_to_a_checkpoint_is_more_than_a_usage_error(
    job: Jobs, space: SearchSpace, few: Dataset, tmp_path: Path
) -> None:
    fit(job(until=1), space, few)
    whole, path, rng = Path(job().checkpoint).read_bytes(), tmp_path / "a.pt", np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 8):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.choice([len(data), rng.integers(len(data))])])
        with suppress(UsageError):
            load_network(path, space, Architecture.parse(load_job(path).architecture))


def test_weights_of_another_network_are_a_usage_error(job: Jobs, space: SearchSpace, few: Dataset) -> None:
    fit(job(until=1), space, few)
    path, other = Path(job().checkpoint), replace(space, classes=space.classes + 1)
    with pytest.raises(UsageError, match=f"holds no weights for .* and {other.classes} classes"):
        load_network(path, other, Architecture.parse(job().architecture))


@pytest.mark.parametrize("epochs", [1, 2, 3, 16, 40])
def test_the_learning_rate_warms_up_and_ends_near_zero(epochs: int) -> None:
    steps = [schedule(step / 20, epochs) for step in range(20 * epochs)]
    top = steps.index(max(steps))
    assert steps[0] == pytest.approx(0.1)
    assert steps[: top + 1] == sorted(steps[: top + 1])
    assert steps[top:] == sorted(steps[top:], reverse=True)
    assert 0.98 < max(steps) <= 1
    assert 0 < steps[-1] < 0.03 * max(1.0, 4 / epochs)
    assert schedule(epochs, epochs) == pytest.approx(0, abs=1e-12)


def test_pixels_become_numbers_from_0_to_1() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    tensor = as_tensor(images)
    assert tensor.shape == (4, 3, 5, 6)
    assert torch.equal(tensor, torch.tensor(images.transpose(0, 3, 1, 2) / np.float32(255)))
    assert as_tensor(np.full((1, 1, 1, 1), 255, np.uint8)).item() == 1


def thinned(data: Dataset, classes: tuple[int, ...], left: int) -> Dataset:
    """The data with `left` training images of some classes."""
    y = data.train.y
    kept = np.sort(np.concatenate([np.flatnonzero(y == c)[: left if c in classes else None] for c in range(10)]))
    return replace(data, train=Split(data.train.x[kept], y[kept]))


def test_even_classes_have_no_weights_and_uneven_ones_weigh_alike(digits: Dataset) -> None:
    assert loss_weights(digits) is None
    rare = thinned(digits, (3, 8), 4)
    weights = loss_weights(rare)
    assert weights is not None
    together = weights * torch.from_numpy(np.bincount(rare.train.y))
    assert together.tolist() == pytest.approx([len(rare.train) / 10] * 10)


def test_weights_teach_classes_with_few_images(
    job: Jobs, space: SearchSpace, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With seed 0; benchmarks/uneven_classes.py has more. Of 8 epochs it depends on the processor's roundings."""
    rare = thinned(digits, (3, 8), 6)
    monkeypatch.setattr("edgenas.training.fit.uneven", lambda data: False)
    plain = fit(job(until=20, epochs=20, name="plain"), space, rare).recalls
    monkeypatch.undo()
    weighted = fit(job(until=20, epochs=20, name="weighted"), space, rare).recalls
    assert plain is not None
    assert weighted is not None
    assert weighted.right[3] + weighted.right[8] > plain.right[3] + plain.right[8]
    assert weighted.balanced > plain.balanced


def test_a_sealed_checkpoint_that_somebody_else_wrote_counts_as_none(
    job: Jobs, space: SearchSpace, few: Dataset, tmp_path: Path, home: Path
) -> None:
    seals = Seals(tmp_path, "{}")
    fit(job(until=1, name="planted"), space, few)
    first = fit(job(until=2), space, few, seals=seals)
    assert fit(job(until=2), space, few, seals=seals) == first  # known: nothing is trained again
    checkpoint = tmp_path / "a.pt"
    checkpoint.write_bytes((tmp_path / "planted.pt").read_bytes())
    epochs: list[int] = []
    fit(job(until=2), space, few, epochs.append, seals)
    assert epochs == [1, 2]
    assert seals.read(checkpoint) is not None
