from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sittings import Copy, Place, Recorder

import edgenas
from edgenas.artifact import Artifact
from edgenas.errors import ConversionError, UsageError
from edgenas.progress import Silent
from edgenas.workflows.profile import Profiled

TEXT = "stem-8s1/plain-16x1/residual-16x1/plain-32x1"


def test_train_then_convert_then_measure(profiled: tuple[Place, Profiled], copy: Copy, tmp_path: Path) -> None:
    copy(profiled[0])
    checkpoint, folder = tmp_path / "net.pt", tmp_path / "artifact"
    training, converting = Recorder(), Recorder()
    trained = edgenas.train(TEXT, data="digits", out=checkpoint, epochs=6, reporter=training)
    assert (trained.architecture, trained.outcome.epoch) == (TEXT, 6)
    assert trained.test_accuracy > 0.9
    assert json.loads(json.dumps(trained.to_json()))["accuracy"]["test"] == trained.test_accuracy
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
    assert artifact.manifest["accuracy"] == {"float": built.accuracy_float, "int8": built.accuracy_int8}
    table = json.loads(json.dumps(built.to_json(folder)))
    assert table["model"]["sha256"] == artifact.sha256
    assert Path(table["model"]["path"]).read_bytes() == artifact.tflite

    by_folder, by_file = edgenas.measure(folder), edgenas.measure(folder / "model.tflite", statistic="p95")
    assert by_folder.timing.sha256 == by_file.timing.sha256 == artifact.sha256
    assert (by_folder.timing.statistic, by_file.timing.statistic) == ("p10", "p95")
    assert by_file.timing.latency_ms == by_file.timing.p95_ms
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

    def refuse(*parts: object) -> None:
        raise ConversionError("the gate says no", check="accuracy")

    monkeypatch.setattr("edgenas.workflows.convert.gate", refuse)
    with pytest.raises(ConversionError, match="the gate says no"):
        edgenas.convert(checkpoint, data="digits", out=folder)
    assert not folder.exists()


def test_what_is_no_model_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("hello, world")
    for name, message in (("text.tflite", "is not a TFLite model"), ("absent.tflite", "cannot be read")):
        with pytest.raises(UsageError, match=re.escape(f"{tmp_path / name} {message}")):
            edgenas.measure(tmp_path / name)


def test_what_is_no_checkpoint_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.pt cannot be read as a checkpoint"):
        edgenas.convert(tmp_path / "absent.pt", data="digits", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
