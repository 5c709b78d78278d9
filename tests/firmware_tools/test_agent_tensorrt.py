# SPDX-License-Identifier: Apache-2.0
"""The agent's TensorRT runtime, with a program in place of trtexec that takes its options and writes its files."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.firmware_tools.raw_agent import agent_pid, gone, sha256, until

from firmware_tools.connect import connect
from firmware_tools.device import Device, TimingPlan
from firmware_tools.errors import DeviceLostError, InferenceError, RuntimeMissingError

PLAN = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)
FIRST, SECOND = b"onnx takes 2.5", b"onnx takes 4"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in, now on PATH, writes its calls."""
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    script = (
        Path(__file__)
        .parents[1]
        .joinpath("helpers", "firmware_tools", "trtexec_standin.py")
        .read_text(encoding="utf-8")
    )
    program.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TRTEXEC_LOG", str(tmp_path / "calls"))
    return tmp_path / "calls"


@contextmanager
def opened(root: Path, runtime: str | None = "tensorrt") -> Iterator[Device]:
    with connect(f"local:?root={root}", home=root, runtime=runtime) as device:
        yield device


def builds(log: Path) -> int:
    return sum("--onnx=" in line for line in log.read_text(encoding="utf-8").splitlines())


def test_it_comes_after_those_of_tflite_unless_it_is_asked_for(log: Path, root: Path) -> None:
    with opened(root, None) as device:
        names = [runtime.name for runtime in device.info().runtimes]
        assert [name for name in names if name != "onnxruntime"][-1] == "tensorrt"
        assert names[0] != "tensorrt"
        assert device.time_operators(FIRST, PLAN) is None
    with opened(root) as device:
        assert (device.info().runtimes[0].name, device.info().runtimes[0].version) == ("tensorrt", "8.5.2")


def test_without_the_program_the_line_says_where_it_comes_from(root: Path) -> None:
    with pytest.raises(RuntimeMissingError, match=r"no runtime tensorrt, .* program trtexec; on a Jetson run sudo apt"):
        connect(f"local:?root={root}&runtime=tensorrt", home=root)


def test_times_are_those_of_the_trace_after_its_warm_up(log: Path, root: Path) -> None:
    calls: list[tuple[int, int]] = []
    with opened(root) as device:
        first, second = device.time([FIRST, SECOND], PLAN, lambda i, n: calls.append((i, n)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (first.sha256, second.sha256) == (sha256(FIRST), sha256(SECOND))
    assert [first.latency_ms, first.max_ms, first.compute_ms] == pytest.approx([2.5, 2.5, 2.0])
    assert (first.processes, first.conditions.runtime, first.conditions.runtime_version) == (2, "tensorrt", "8.5.2")
    assert first.n >= 60
    assert second.latency_ms == pytest.approx(4)
    assert first.conditions.marked == ()


def test_engines_are_kept_for_the_same_model_gpu_and_version(
    log: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with opened(root) as device:
            device.time([FIRST, SECOND], PLAN)
    assert builds(log) == 2
    assert len(list((root / "engines").glob("*.plan"))) == 2
    for count, (said, version) in enumerate((("101602", "10.16.2"), ("11.1.0.106", "11.1.0.106")), 3):
        monkeypatch.setenv("TRTEXEC_VERSION", said)
        with opened(root) as device:
            (timing,) = device.time([FIRST], PLAN)
        assert timing.conditions.runtime_version == version
        assert builds(log) == count
        call = [line for line in log.read_text(encoding="utf-8").splitlines() if "--onnx=" in line][count - 1]
        assert ("--fp16" in call) == (count == 3)  # unknown to TensorRT 11


def test_a_damaged_engine_is_refused_once(log: Path, root: Path) -> None:
    with opened(root) as device:
        device.time([FIRST], PLAN)
        (engine,) = (root / "engines").glob("*.plan")
        engine.write_bytes(b"torn")
        with pytest.raises(InferenceError, match="Serialization assertion"):
            device.time([FIRST], PLAN)
        assert device.time([FIRST], PLAN)[0].latency_ms == pytest.approx(2.5)


def test_layers_are_told_in_a_run_of_their_own(log: Path, root: Path) -> None:
    with opened(root) as device:
        told = device.time_operators(FIRST, PLAN)
    assert told is not None
    assert [(one.name, one.index) for one in told] == [("conv1 + relu1", None), ("dense", None)]
    assert [one.latency_ms for one in told] == pytest.approx([1.5, 1.0])
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    assert "--exportProfile=" in last
    assert "--exportTimes=" not in last


def test_the_onnx_file_goes_along_with_the_model(log: Path, root: Path, models: list[bytes]) -> None:
    images = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    with opened(root) as device:
        staged = device.stage(models[0], {"name": "x", "onnx": {"sha256": "0" * 64}}, FIRST)
        assert staged.manifest["onnx"] == {"sha256": sha256(FIRST), "bytes": len(FIRST)}
        timing = device.time_staged(PLAN)
        assert (timing.sha256, timing.latency_ms) == (sha256(models[0]), pytest.approx(2.5))
        outputs = device.infer_staged(images)
        # The stand-in returns the first four values of what must be NCHW.
        assert outputs.tolist() == images.transpose(0, 3, 1, 2).reshape(2, -1)[:, :4].tolist()
        assert device.commit().active is not None
    assert (root / "active" / "model.onnx").read_bytes() == FIRST
    (root / "active" / "model.onnx").write_bytes(b"rotten")
    with opened(root, None) as device:
        active = device.status().active
        assert active is not None
        assert not active.valid
        again = device.stage(models[0], {})
        assert "onnx" not in again.manifest
        assert [path.name for path in (root / "slots" / again.slot).glob("*.onnx")] == []


def test_what_cannot_run_is_one_line(log: Path, root: Path, models: list[bytes]) -> None:
    with opened(root) as device:
        for model, message in ((b"bad", "no importer registered for op: Bad"), (models[0], "takes ONNX models")):
            with pytest.raises(InferenceError, match=message):
                device.time([model], PLAN)
        device.stage(models[0], {})
        with pytest.raises(InferenceError, match="no ONNX file came with this model"):
            device.time_staged(PLAN)
        device.stage(models[0], {}, FIRST)
        with pytest.raises(InferenceError, match="takes float32 images"):
            device.infer_staged(np.zeros((1, 2, 2, 1), np.int8))


def test_a_killed_agent_leaves_no_build_behind(log: Path, root: Path) -> None:
    with opened(root) as device:
        failed: list[Exception] = []

        def time() -> None:
            try:
                device.time([b"slow"], PLAN)
            except DeviceLostError as error:
                failed.append(error)

        thread = threading.Thread(target=time)
        thread.start()
        line = until(lambda: log.exists() and log.read_text(encoding="utf-8"), 20)
        os.kill(agent_pid(root), 9)
        thread.join(20)
        assert failed
        until(lambda: gone(int(line.split()[0])), 20)
