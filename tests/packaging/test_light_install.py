# SPDX-License-Identifier: Apache-2.0
"""`pip install edgenas` without an extra: the program answers, and says in one line what a heavy command needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgenas import latency
from edgenas.artifacts.artifact import Artifact, Tensor
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.store import Store
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.connect import connect

if TYPE_CHECKING:
    from helpers.packaging.installed import Environment

HEAVY = ("torch", "onnx", "ai_edge_litert", "ai_edge_quantizer", "scipy", "sklearn", "mlxtend", "PIL", "flatbuffers")
MEND = "pip install 'edgenas[search]'"


def test_nothing_heavy_is_there(light: Environment) -> None:
    code = f"from importlib.util import find_spec as f; print([n for n in {HEAVY!r} if f(n)])"
    done = light.run("python", "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_it_is_the_wheels_copy(light: Environment) -> None:
    code = "import edgenas, edgenas.resources as r; print(edgenas.__file__); print(r.shipped('boards'))"
    done = light.run("python", "-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    package, boards = map(Path, done.stdout.split())
    assert package.is_relative_to(light.python.parent.parent)
    assert boards == package.parent / "_data" / "boards"


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("deploy", "--help"), ("boards",)])
def test_the_program_answers(light: Environment, arguments: tuple[str, ...]) -> None:
    done = light.run("edgenas", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""


def test_boards_lists_the_shipped_ones(light: Environment) -> None:
    done = light.run("edgenas", "boards", "--json")
    assert done.returncode == 0, done.stderr
    assert "host" in [board["id"] for board in json.loads(done.stdout)["boards"]]


def test_doctor_says_what_is_missing_and_the_command(light: Environment) -> None:
    done = light.run("edgenas", "doctor", "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["python"]["ok"]
    assert not checks["torch"]["ok"]
    assert checks["torch"]["mend"] == MEND
    assert not checks["converter"]["ok"]
    assert checks["converter"]["mend"] == "edgenas doctor --mend"


def test_deploy_says_what_to_install(light: Environment) -> None:
    done = light.run("edgenas", "deploy", "--data", "digits", "--latency", "40%")
    assert done.returncode == 1, done.stderr
    assert MEND in _only_line(done.stderr)
    assert list(light.folder.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--data", "mnist", "--latency", "350us"),
        ("profile",),
        ("train", "stem-24s2/plain-24x2/plain-64x2/plain-128x2", "--data", "digits", "--out", "plain.pt"),
        ("convert", "plain.pt", "--data", "digits", "--out", "plain"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_heavy_command_says_what_to_install(light: Environment, arguments: tuple[str, ...]) -> None:
    done = light.run("edgenas", *arguments)
    assert done.returncode in (1, 2, 4), done.stderr
    assert "pip install" in _only_line(done.stderr)
    assert list(light.folder.iterdir()) == []


def _only_line(stderr: str) -> str:
    """The one line that is not progress."""
    said = [line for line in stderr.splitlines() if not line.startswith("[")]
    assert len(said) == 1, stderr
    return said[0]


def test_what_a_field_machine_uses_imports(light: Environment) -> None:
    rooms = "artifacts.artifact, edgenas.boards.board, edgenas.profiles.store, edgenas.measuring.install"
    code = f"import edgenas.{rooms}, firmware_tools.connect; edgenas.measure, edgenas.rollback, edgenas.doctor"
    done = light.run("python", "-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_device_without_a_runtime_is_said_with_exit_4(light: Environment, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    done = light.run("edgenas", "measure", str(model))
    assert done.returncode == 4, done.stderr
    assert "ai-edge-litert" in done.stderr
    assert "Traceback" not in done.stderr


def test_measuring_and_sessions_import_without_torch_or_a_converter(light: Environment) -> None:
    names = ("connection", "session", "artifact_record", "recorder", "retiming", "drift", "probe_models", "refinement")
    code = "".join(f"import edgenas.measuring.{name}; " for name in names)
    done = light.run("python", "-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_measure_runs(light: Environment, tmp_path: Path) -> None:
    model = tmp_path / "dense.tflite"
    model.write_bytes(_model(1.0))
    done = light.run("edgenas", "measure", str(model), "--device", _here(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["measured"]["latency_ms"] > 0
    assert found["model"]["path"] == str(model)


def test_measure_of_an_artifact_records_it_and_says_what_refining_needs(
    light: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros, tensor = np.zeros((1, 8, 8, 1), np.float32), Tensor((1, 8, 8, 1), "float32")
    space = SearchSpace.load("tiny", (1, 8, 8), 10)
    text = "stem-8s2/plain-16x1/plain-16x1/plain-32x1"
    artifact = Artifact.build(
        name="dense",
        tflite=_model(1.0),
        precision="float32",
        input=tensor,
        output=Tensor((1, 10), "float32"),
        golden_inputs=zeros,
        golden_outputs=np.zeros((1, 10), np.float32),
        architecture=text,
        space=catalogue.named(space),
        task="images",
    )
    artifact.save(tmp_path / "run")
    measure = ("edgenas", "measure", str(tmp_path / "run"), "--device", _here(tmp_path), "--json")
    done = light.run(*measure)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "no profile to refine yet" in found["recorded"]["note"]
    key = ProfileKey(**found["recorded"]["key"])
    with monkeypatch.context() as patch:
        patch.setenv("EDGENAS_HOME", light.variables["EDGENAS_HOME"])
        blocks, latency_ms = space.blocks(Architecture.parse(text)), found["measured"]["latency_ms"]
        model = latency.create("features").fit([blocks] * 2, [latency_ms, 1.1 * latency_ms])
        BoardProfile(key, "tiny", (1, 8, 8), model.to_json(), 2, "2026-01-01", "2026-01-01").save()
        done = light.run(*measure)
        assert done.returncode == 0, done.stderr
        assert "needs scipy: pip install 'edgenas[search]'" in json.loads(done.stdout)["recorded"]["note"]
        with Store() as store:
            assert [m.architecture for m in store.read(key)] == [text] * 2


def test_devices_and_rollback_run(light: Environment, tmp_path: Path) -> None:
    with connect(_here(tmp_path), home=tmp_path) as device:
        for name, weight in (("old", 1.0), ("new", 2.0)):
            device.stage(_model(weight), {"name": name})
            device.commit()
    home = Path(light.variables["EDGENAS_HOME"])
    home.mkdir(exist_ok=True)
    (home / "devices.toml").write_text(f'[[device]]\nname = "here"\nurl = "{_here(tmp_path)}"\nboard = "host"\n')
    assert _active(light) == "new"
    done = light.run("edgenas", "rollback", "--device", "here")
    assert done.returncode == 0, done.stderr
    assert _active(light) == "old"
    (home / "devices.toml").unlink()


def test_plan_says_what_to_install(light: Environment, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    done = light.run("edgenas", "plan", str(model), "--board", "mps2-an386")
    assert done.returncode == 2, done.stderr
    assert "pip install 'edgenas[mcu]'" in _only_line(done.stderr)


def test_plan_runs_with_what_it_needs_of_the_mcu_extra(planning: Environment, tmp_path: Path) -> None:
    from helpers.tflite_builder import Op, T, constant, model

    weights = constant(np.ones((8, 8)), 0.1)
    file = tmp_path / "dense.tflite"
    tensors = [T((1, 8), 0.1), weights, T((1, 8), 0.5)]
    file.write_bytes(model(tensors, [Op("FULLY_CONNECTED", (0, 1, -1), (2,))], (0,), (2,)))
    done = planning.run("edgenas", "plan", str(file), "--board", "mps2-an386", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["macs"] == 64
    assert found["fits"]


def _here(folder: Path) -> str:
    """This computer with the interpreter of the tests, which has a TFLite runtime."""
    return f"local:?python={sys.executable}&root={folder / 'device'}"


def _model(weight: float) -> bytes:
    """A dense layer in float32."""
    pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")
    from helpers.tflite_builder import Op, T, constant, model

    real = T((1, 8), None, dtype="float32")
    weights = constant(np.full((8, 8), weight), None, "float32")
    return model([real, weights, real], [Op("FULLY_CONNECTED", (0, 1, -1), (2,))], (0,), (2,))


def _active(light: Environment) -> str:
    """The name of the model that the device `here` serves."""
    done = light.run("edgenas", "devices", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["devices"]}
    assert rows["here"]["state"] == "ready", rows["here"]
    return str(rows["here"]["active"]["name"])
