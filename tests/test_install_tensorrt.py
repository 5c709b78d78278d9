"""A board with TensorRT, where a program stands in for trtexec and ONNX's own evaluator for the GPU."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import edgenas
from edgenas.artifact import Artifact
from edgenas.board import Board
from edgenas.conversion import describe, run_tflite
from edgenas.errors import UsageError
from edgenas.install import install
from edgenas.network import network
from edgenas.progress import Silent
from edgenas.session import Session
from edgenas.space import Architecture, SearchSpace
from firmware_tools.device import TimingPlan
from firmware_tools.errors import OutputMismatchError

_STANDIN = Path(__file__).parent / "firmware_tools" / "trtexec_standin.py"
TEXT = "stem-8s1/plain-8x1/separable-16x1k3/plain-32x1"
PLAN = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)


@pytest.fixture
def board(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """This computer with the stand-in on PATH."""
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{_STANDIN.read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TRTEXEC_LOG", str(tmp_path / "calls"))
    return Board.load("host")


def _artifact(session: Session, space: SearchSpace, onnx: bytes) -> Artifact:
    tflite = session.converter.to_float(network(space.blocks(Architecture.parse(TEXT)), seed=0).eval(), (1, 8, 8))
    info, images = describe(tflite), np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    return Artifact.build(
        name="x",
        tflite=tflite,
        precision="float32",
        input=info.input,
        output=info.output,
        golden_inputs=images,
        golden_outputs=run_tflite(tflite, images),
        onnx=onnx,
    )


def test_models_are_measured_and_installed_by_their_onnx_files(board: Board, home: Path, tmp_path: Path) -> None:
    from edgenas.conversion.export import to_onnx

    space = SearchSpace.load("tiny", (1, 8, 8), 10)
    architecture = Architecture.parse(TEXT)
    folder = tmp_path / "artifact"
    with Session(board, Silent(), runtime="tensorrt") as session:
        assert (session.key.runtime, session.key.runtime_version) == ("tensorrt", "8.5.2")
        assert (session.key.precision, session.keeps_onnx) == ("float32", True)
        (measurement,) = session.measure_untrained(space, [architecture])
        assert session.store.read(session.key) == [measurement]

        onnx, other = (to_onnx(network(space.blocks(architecture), seed=seed).eval(), (1, 8, 8)) for seed in (0, 1))
        artifact = _artifact(session, space, onnx)
        assert session.timed(artifact) == onnx
        artifact.save(folder)
        assert Artifact.load(folder) == artifact
        wrong = _artifact(session, space, other)
        with pytest.raises(OutputMismatchError):
            install(session.device, wrong, PLAN, None, float_tolerance=session.float_tolerance)
        done = install(session.device, artifact, PLAN, None, float_tolerance=session.float_tolerance)
        assert done.committed
        assert done.timing.compute_ms == pytest.approx(0.8 * done.timing.latency_ms, rel=1e-3)
    assert (home / "devices" / "local" / "active" / "model.onnx").read_bytes() == onnx

    measured = edgenas.measure(folder, runtime="tensorrt", layers=True)
    assert measured.timing.latency_ms == pytest.approx(done.timing.latency_ms)
    table = json.loads(json.dumps(measured.to_json()))["layers"]
    assert [operator["name"] for operator in table["operators"]] == ["conv1 + relu1", "dense"]
    assert table["bias_ms"] is None
    (folder / "model.onnx").write_bytes(b"rotten")
    with pytest.raises(UsageError, match=r"onnx.sha256 has SHA-256"):
        edgenas.measure(folder, runtime="tensorrt")


def test_what_tensorrt_cannot_take_is_refused(board: Board, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="built from float32 models, in half precision"):
        Session(board, Silent(), runtime="tensorrt", precision="int8")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(UsageError, match="is for TensorRT: say --runtime tensorrt"):
        edgenas.measure(tmp_path / "model.onnx")
    (tmp_path / "model.tflite").write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(UsageError, match="is not what TensorRT takes"):
        edgenas.measure(tmp_path / "model.tflite", runtime="tensorrt")
