# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgenas.spaces.space import SearchSpace
from edgenas.supernet import training
from edgenas.supernet.additive import fit_surrogate
from edgenas.supernet.cache import cached, obtain, supernet_file
from edgenas.tasks.dataset import Dataset
from edgenas.training import Recipe

RECIPE = Recipe(8, {"flip": False, "crop": 1}, batch=32)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(training, "_JUDGED", 60)
    monkeypatch.setattr(training, "_SAVE_EVERY", 10)


def test_training_learns_and_the_cache_keeps_it(space: SearchSpace, digits: Dataset) -> None:
    steps: list[tuple[int, int]] = []
    assert cached(space, digits, 0, RECIPE) is None
    state = obtain(space, digits, 0, RECIPE, lambda *now: steps.append(now))
    assert steps == [(step, 64) for step in range(1, 65)]
    largest = state.net.paths.largest(1, [state.net.paths.anchor] * len(space.stages))
    assert largest is not None
    before = training.untrained(space, digits, RECIPE, 0).net
    assert training.validation_loss(state.net, largest, digits) < training.validation_loss(before, largest, digits)
    assert len(state.losses) > 40
    again = obtain(space, digits, 0, RECIPE, lambda *now: pytest.fail("trained again"))
    assert again.losses == state.losses
    assert again.seconds == state.seconds
    assert all(torch.equal(a, b) for a, b in zip(state.net.parameters(), again.net.parameters(), strict=True))
    architecture, loss = state.losses[0]
    assert training.validation_loss(again.net, architecture, digits) == pytest.approx(loss, rel=1e-5)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(space: SearchSpace, digits: Dataset) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(space, digits, 0, RECIPE, interrupt)
    assert cached(space, digits, 0, RECIPE) is None
    steps: list[int] = []
    resumed = obtain(space, digits, 0, RECIPE, lambda done, total: steps.append(done))
    assert steps[0] == 21
    supernet_file(space, digits, 0, RECIPE).unlink()
    straight = obtain(space, digits, 0, RECIPE)
    assert [loss for _, loss in resumed.losses] == pytest.approx([loss for _, loss in straight.losses], rel=1e-3)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a file"])
def test_a_damaged_file_is_trained_again(space: SearchSpace, digits: Dataset, content: bytes) -> None:
    recipe = replace(RECIPE, epochs=1)
    path = supernet_file(space, digits, 0, recipe)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    said: list[str] = []
    assert obtain(space, digits, 0, recipe, say=said.append).done
    assert len(said) == 1
    assert str(path) in said[0]
    assert cached(space, digits, 0, recipe) is not None


def test_a_file_of_other_weights_is_trained_again(space: SearchSpace, digits: Dataset) -> None:
    recipe = replace(RECIPE, epochs=1)
    path = supernet_file(space, digits, 0, recipe)
    path.parent.mkdir(parents=True)
    torch.save({"net": {}, "step": 8, "seconds": 1.0}, path)
    said: list[str] = []
    assert obtain(space, digits, 0, recipe, say=said.append).done
    assert len(said) == 1


def test_all_that_matters_is_in_the_name(space: SearchSpace, digits: Dataset) -> None:
    other_data = replace(digits, fingerprint="0" * 16)
    files = {
        supernet_file(space, digits, 0, RECIPE),
        supernet_file(space, digits, 1, RECIPE),
        supernet_file(space, other_data, 0, RECIPE),
        supernet_file(space, digits, 0, replace(RECIPE, epochs=9)),
        supernet_file(replace(space, kernels=(3,)), digits, 0, RECIPE),
        supernet_file(replace(space, stage_macs_per_pixel=1499), digits, 0, RECIPE),
    }
    assert len(files) == 6
    renamed = replace(space, name="other")
    assert supernet_file(renamed, digits, 0, RECIPE) == supernet_file(space, digits, 0, RECIPE)


def test_the_default_recipe_has_the_same_number_of_steps_for_any_data(digits: Dataset) -> None:
    for n in (64, 256, 5000):
        data = replace(digits, train=replace(digits.train, x=np.zeros((n, 8, 8, 1), np.uint8), y=np.zeros(n, np.int64)))
        recipe = training.default_recipe(data)
        assert 1100 <= recipe.epochs * (n // recipe.batch) <= 1300


def test_the_surrogate_finds_an_additive_loss(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    paths = training.Supernet(space, 0).paths
    gain = {"plain": 0.0, "residual": 0.4, "mbconv": 0.2, "fused": 0.1, "separable": -0.3}
    drawn = [paths.sample(rng) for _ in range(300)]

    def loss(index: int) -> float:
        stages = drawn[index].stages
        return float(np.exp(-sum(gain[s.operator] + 0.1 * s.blocks + 0.2 * np.log2(s.width) for s in stages)))

    losses = [loss(index) for index in range(len(drawn))]
    surrogate = fit_surrogate(space, list(zip(drawn[:200], losses[:200], strict=True)))
    predicted = [surrogate.predict(space, architecture) for architecture in drawn[200:]]
    assert np.corrcoef(predicted, np.log(losses[200:]))[0, 1] > 0.98
    with pytest.raises(ValueError, match="losses"):
        fit_surrogate(space, [])
