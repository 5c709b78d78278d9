# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.workflows.sittings import Copy, Place, Recorder

import edgenas
from edgenas.artifacts.artifact import Artifact
from edgenas.errors import ConversionError, GuessingError, UsageError
from edgenas.progress import Silent
from edgenas.workflows.profile import Profiled

pytestmark = pytest.mark.xdist_group("deployed by workflows")
TEXT = "stem-8s1/plain-16x1/residual-16x1/plain-32x1"


def test_train_then_convert_then_measure(profiled: tuple[Place, Profiled], copy: Copy, tmp_path: Path) -> None:
    copy(profiled[0])
    checkpoint, folder = tmp_path / "net.pt", tmp_path / "artifact"
    training, converting = Recorder(), Recorder()
    trained = edgenas.train(TEXT, data="digits", out=checkpoint, epochs=6, reporter=training)
    assert (trained.architecture, trained.outcome.epoch) == (TEXT, 6)
    assert trained.test_accuracy > 0.9
    told = json.loads(json.dumps(trained.to_json()))
    assert told["accuracy"]["test"] == trained.test_accuracy
    assert told["balanced_accuracy"]["test"] == pytest.approx(sum(told["recall"]["test"]["recall"]) / 10)
    with pytest.raises(UsageError, match=re.escape(f"{checkpoint} exists")):
        edgenas.train(TEXT, data="digits", out=checkpoint, epochs=2)

    built = edgenas.convert(checkpoint, data="digits", out=folder, reporter=converting)
    for recorder, table in ((training, trained.to_json()), (converting, built.to_json(folder))):
        assert table["notes"][0].startswith("10 classes of ")
        assert recorder.lines[: len(table["notes"])] == table["notes"]
    assert built.verdict == "passed"
    assert built.accuracy_float == pytest.approx(trained.test_accuracy, abs=0.005)
    assert built.accuracy_int8 is not None
    assert built.accuracy_int8 == pytest.approx(built.accuracy_float, abs=0.02)
    artifact = Artifact.load(folder)
    assert artifact == built.artifact
    manifest = artifact.manifest
    assert manifest["accuracy"] == {"float": built.accuracy_float, "int8": built.accuracy_int8}
    table = json.loads(json.dumps(built.to_json(folder)))
    for name in ("float", "int8"):
        assert manifest["balanced_accuracy"][name] == table["balanced_accuracy"][name]
        assert manifest["recall"][name] == table["recall"][name]
    assert table["recall"]["labels"] == manifest["output"]["labels"]
    assert (
        sum(table["recall"]["int8"]["images"]) + sum(table["recall"]["validation"]["images"])
        == (manifest["held_out"]["images"])
    )
    assert manifest["held_out"]["chance"] == 0.1 < manifest["held_out"]["lower_bound"]
    assert table["model"]["sha256"] == artifact.sha256
    assert Path(table["model"]["path"]).read_bytes() == artifact.tflite

    assert (manifest["architecture"], manifest["space"]) == (TEXT, {"name": "tiny", "table": None})
    assert manifest["task"] == "images"

    by_folder, by_file = edgenas.measure(folder), edgenas.measure(folder / "model.tflite", statistic="p95")
    assert by_folder.timing.sha256 == by_file.timing.sha256 == artifact.sha256
    assert (by_folder.timing.statistic, by_file.timing.statistic) == ("p10", "p95")
    assert by_file.timing.latency_ms == by_file.timing.p95_ms
    assert by_folder.record is not None
    assert (by_folder.record.architecture, by_folder.record.space) == (TEXT, "tiny")
    assert by_file.record is None
    assert json.loads(json.dumps(by_folder.to_json()))["model"]["bytes"] == len(artifact.tflite)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("stem-8s1/plain-16x1", "is not in the space 'tiny'"),
        ("stem-8s1/plain-16x1000000000/plain-16x1/plain-32x1", "is not in the space 'tiny'"),
        ("stem-9s1/plain-16x1/plain-16x1/plain-32x1", "is not in the space 'tiny'"),
        ("resnet8", "is not of the form"),
    ],
)
def test_an_architecture_that_is_none_is_not_trained(tmp_path: Path, architecture: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        edgenas.train(architecture, data="digits", out=tmp_path / "net.pt", epochs=2, reporter=Silent())
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_fails_the_gate_is_not_written(
    profiled: tuple[Place, Profiled], copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(profiled[0])
    checkpoint, folder = tmp_path / "net.pt", tmp_path / "artifact"
    edgenas.train(TEXT, data="digits", out=checkpoint, epochs=1)

    def refuse(*parts: object, **options: object) -> None:
        raise ConversionError("the gate says no", check="accuracy")

    monkeypatch.setattr("edgenas.workflows.convert.gate", refuse)
    with pytest.raises(ConversionError, match="the gate says no"):
        edgenas.convert(checkpoint, data="digits", out=folder)
    assert not folder.exists()


def set_of(path: Path, counts: dict[str, tuple[int, int]], *, told_apart: bool = True) -> str:
    """An .npz of two classes, dark and bright or both noise: `counts` images of each for every part that it has."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, sizes in counts.items():
        y = np.repeat([0, 1], sizes)
        noise = rng.integers(0, 120, (len(y), 8, 8))
        arrays[f"x{part}"] = (noise + 120 * (y if told_apart else 0 * y)[:, None, None]).astype(np.uint8)
        arrays[f"y{part}"] = y
    np.savez(path, **arrays)
    return str(path)


def test_a_model_that_guesses_does_not_pass_the_gate(
    profiled: tuple[Place, Profiled], copy: Copy, tmp_path: Path
) -> None:
    copy(profiled[0])
    checkpoint, folder = tmp_path / "net.pt", tmp_path / "artifact"
    data = set_of(tmp_path / "noise.npz", {"": (100, 30)}, told_apart=False)
    edgenas.train(TEXT, data=data, out=checkpoint, epochs=2)
    with pytest.raises(GuessingError, match=r"gate guessing: balanced accuracy .*% on 4. unseen images"):
        edgenas.convert(checkpoint, data=data, out=folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    "counts",
    [{"": (5, 5)}, {"_train": (40, 8), "_val": (8, 2), "_test": (10, 0)}],
    ids=["five of each", "a class without test images"],
)
def test_few_images_and_a_class_without_any_in_the_test_part(
    counts: dict[str, tuple[int, int]], profiled: tuple[Place, Profiled], copy: Copy, tmp_path: Path
) -> None:
    copy(profiled[0])
    data = set_of(tmp_path / "few.npz", counts)
    trained = edgenas.train(TEXT, data=data, out=tmp_path / "net.pt", epochs=20)
    json.dumps(trained.to_json(), allow_nan=False)
    built = edgenas.convert(tmp_path / "net.pt", data=data, out=tmp_path / "artifact")
    table = json.loads(json.dumps(built.to_json(tmp_path / "artifact"), allow_nan=False))
    assert table["balanced_accuracy"] == {"validation": 1.0, "float": 1.0, "int8": 1.0}
    held_out = json.loads((tmp_path / "artifact" / "manifest.json").read_text(), parse_constant=_refuse)["held_out"]
    assert held_out["chance"] == 0.5 < held_out["lower_bound"]


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_what_is_no_model_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("hello, world")
    for name, message in (("text.tflite", "is not a TFLite model"), ("absent.tflite", "cannot be read")):
        with pytest.raises(UsageError, match=re.escape(f"{tmp_path / name} {message}")):
            edgenas.measure(tmp_path / name)


def test_what_is_no_checkpoint_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.pt cannot be read as a checkpoint"):
        edgenas.convert(tmp_path / "absent.pt", data="digits", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
