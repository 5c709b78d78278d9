# SPDX-License-Identifier: Apache-2.0
"""A board with TensorRT, where a program stands in for trtexec and ONNX's own evaluator for the GPU."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgenas
from edgenas.artifacts.artifact import Artifact
from edgenas.boards.board import Board, Precision
from edgenas.conversion import describe, reference_outputs, run_tflite
from edgenas.errors import ConversionError, UsageError
from edgenas.measuring.install import install
from edgenas.measuring.session import Session
from edgenas.progress import Silent
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.network import network
from edgenas.spaces.space import SearchSpace
from edgenas.workflows import deploy as workflow
from edgenas.workflows.convert import PASSED, Built
from edgenas.workflows.runtimes import Compared, compare, fastest
from firmware_tools.device import TimingPlan
from firmware_tools.errors import InferenceError, OutputMismatchError

_STANDIN = Path(__file__).parents[1] / "helpers" / "firmware_tools" / "trtexec_standin.py"
BLOCKS = "stem-8s1/residual-16x2/mbconv-16x2k3e3/fused-32x1e3"
TEXT = "stem-8s1/plain-8x1/separable-16x1k3/plain-32x1"
PLAN = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)


@dataclass
class Said(Silent):
    """Silent, but keeps the sentences."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)


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
        assert (session.key.precision, session.onnx_precision) == ("float32", "float32")
        (measurement,) = session.measure_untrained(space, [architecture])
        reference, kept = session.store.read(session.key)
        assert (reference.conditions["reference"], kept) == (True, measurement)

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


def test_an_int8_model_is_judged_and_installed(
    board: Board, build_digits: Callable[[Precision, Precision | None], Built], tmp_path: Path
) -> None:
    built = build_digits("float32", "int8")
    artifact = built.artifact
    assert built.verdict == PASSED
    assert artifact.onnx is not None
    assert artifact.manifest["onnx"]["precision"] == "int8"
    assert artifact.manifest["precision"] == "float32"
    assert artifact.manifest["accuracy"] == {"float": built.accuracy_float, "int8": built.accuracy_int8}
    inputs, outputs = artifact.golden_vectors()
    rounding = np.abs(outputs - run_tflite(artifact.tflite, inputs)).max() / np.abs(outputs).max()
    assert 0.001 < rounding < 0.2  # of int8: neither none nor noise
    with Session(board, Silent(), runtime="tensorrt", precision="int8") as session:
        assert (session.key.precision, session.tflite_precision, session.onnx_precision) == ("int8", "float32", "int8")
        few = io.BytesIO()
        np.savez(few, inputs=inputs[:2], outputs=outputs[:2])
        few_golden = replace(artifact, golden=few.getvalue())
        assert install(session.device, few_golden, PLAN, None, float_tolerance=session.float_tolerance).committed
        random = list(session.convert_untrained(SearchSpace.load("tiny", (1, 8, 8), 10), [Architecture.parse(BLOCKS)]))
        assert session.device.time(random, PLAN)[0].n > 0
    calls = [line for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines() if "--onnx" in line]
    assert len(calls) == 2
    assert all("--fp16 --int8" in call for call in calls)


def test_int8_models_are_whole_for_every_kind_of_block() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    from edgenas.conversion.tensorrt import int8_network, to_tensorrt

    space = SearchSpace.load("tiny", (1, 8, 8), 10)
    net = network(space.blocks(Architecture.parse(BLOCKS)), seed=0).eval()
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    model = onnx.load_from_string(to_tensorrt(int8_network(net, images), (1, 8, 8)))
    assert model.opset_import[0].version == 13
    onnx.checker.check_model(model)
    made = {node.output[0]: node.op_type for node in model.graph.node}
    read = [[made.get(name) for name in node.input[:2]] for node in model.graph.node if node.op_type == "Conv"]
    assert read == [["DequantizeLinear"] * 2] * len(read)
    assert [name for node in model.graph.node if node.op_type == "Add" for name in map(made.get, node.input)] == [
        *("Conv", "DequantizeLinear") * 3
    ]
    model.opset_import[0].version = 19
    (ours,) = ReferenceEvaluator(model).run(None, {"input": images[:1].transpose(0, 3, 1, 2)})
    expected = reference_outputs(int8_network(net, images), images[:1])
    assert np.abs(ours - expected).max() < 0.02 * np.abs(expected).max()
    assert np.abs(reference_outputs(net, images[:1]) - expected).max() > 1e-3 * np.abs(expected).max()


def test_what_tensorrt_cannot_take_is_refused(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRTEXEC_VERSION", "7103")
    with pytest.raises(UsageError, match=r"int8 with TensorRT 7.1.3: it takes int8 models from version 8 on"):
        Session(board, Silent(), runtime="tensorrt", precision="int8")
    monkeypatch.delenv("TRTEXEC_VERSION")
    monkeypatch.setenv("TRTEXEC_GPU", "maxwell")
    with Session(board, Silent(), runtime="tensorrt", precision="int8") as session:
        space = SearchSpace.load("tiny", (1, 8, 8), 10)
        with pytest.raises(InferenceError, match="this GPU computes no int8: leave --precision out"):
            session.measure_untrained(space, [Architecture.parse(TEXT)])
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(UsageError, match="is for TensorRT: say --runtime tensorrt"):
        edgenas.measure(tmp_path / "model.onnx")
    (tmp_path / "model.tflite").write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(UsageError, match="is not what TensorRT takes"):
        edgenas.measure(tmp_path / "model.tflite", runtime="tensorrt")


def test_the_fastest_runtime_is_taken_and_what_fails_is_left_out(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, said = SearchSpace.load("tiny", (1, 8, 8), 10), Said()
    names = ["litert", "tensorrt"]

    def opened(name: str) -> Session:
        return Session(board, said, runtime=name, precision="int8")

    with ExitStack() as stack:
        session, runtimes = fastest(stack, lambda name: Session(board, said, runtime=name), None, space, ())
        assert sorted((one.name, one.precision) for one in runtimes) == [("litert", "int8"), ("tensorrt", "float32")]
        assert runtimes[0].latency_ms <= runtimes[1].latency_ms
        assert session.key.runtime == runtimes[0].name
    with ExitStack() as stack:  # the store knows: nothing is timed again, and the other one is next
        before = (tmp_path / "calls").read_text(encoding="utf-8")
        again = fastest(stack, lambda name: Session(board, said, runtime=name), None, space, (runtimes[0].name,))
        assert again[1] == runtimes[1:]
        assert again[0].key.runtime == runtimes[1].name
        assert (tmp_path / "calls").read_text(encoding="utf-8") == before
    monkeypatch.setenv("TRTEXEC_GPU", "maxwell")
    assert [one.name for one in compare(opened, names, space, said)] == ["litert"]
    assert "runtime tensorrt is left out: " in said.lines[-1]


def test_a_runtime_of_which_no_model_passes_the_gate_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages of a deploy are replaced: two of them would take minutes."""
    asked: list[tuple[str, ...]] = []
    both = (Compared("litert", "2", "int8", 1.0), Compared("tensorrt", "8", "float32", 2.0))

    @contextmanager
    def opened(*_: object, passed_over: Sequence[str]) -> Iterator[SimpleNamespace]:
        asked.append(tuple(passed_over))
        left = tuple(one for one in both if one.name not in passed_over)
        session = SimpleNamespace(key=SimpleNamespace(runtime=left[0].name))
        yield SimpleNamespace(runtimes=left, session=session, reporter=Silent(), aim=lambda: None, pool=nullcontext)

    class Rounds:
        def __init__(self, walk: SimpleNamespace, *_: object) -> None:
            self.runtime = walk.session.key.runtime

        def result(self) -> str:
            if self.runtime in failing:
                raise ConversionError(f"gate: {self.runtime}")
            return str(self.runtime)

    monkeypatch.setattr(workflow, "opened", opened)
    monkeypatch.setattr(workflow, "_Rounds", Rounds)
    failing = {"litert"}
    assert str(edgenas.deploy(data="digits", latency="1ms")) == "tensorrt"
    assert asked == [(), ("litert",)]
    failing.add("tensorrt")
    with pytest.raises(ConversionError, match="gate: tensorrt"):
        edgenas.deploy(data="digits", latency="1ms")
