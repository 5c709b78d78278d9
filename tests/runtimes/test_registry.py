# SPDX-License-Identifier: Apache-2.0
"""The runtimes as the host knows them, by the names that devices give them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import edgenas
from edgenas import latency
from edgenas.boards.board import Board
from edgenas.errors import UsageError
from edgenas.measuring.connection import Connection
from edgenas.measuring.session import Session
from edgenas.progress import Silent
from edgenas.runtimes.registry import RUNTIMES, in_use, of_kind, unasked
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools import connect
from firmware_tools.device import DeviceInfo, RuntimeInfo

INFO = DeviceInfo(
    url="local:",
    hostname="here",
    machine="x86_64",
    cpu="",
    cores=1,
    system="Linux",
    python_version="3.12",
    runtimes=(),
    ram_bytes=None,
    free_disk_bytes=0,
    agent_version="0",
)


def _with(*names: str) -> DeviceInfo:
    return replace(INFO, runtimes=tuple(RuntimeInfo(name, "1.0") for name in names))


def test_every_runtime_that_can_be_named_is_known() -> None:
    assert set(connect.RUNTIMES) <= set(RUNTIMES)
    for runtime in RUNTIMES.values():
        assert runtime.latency_model in latency.ADDITIVE
        assert runtime.precisions
    assert of_kind("linux").latency_model == latency.DEFAULT
    assert of_kind("mcu") is RUNTIMES["edgenas-engine"]


def test_the_first_runtime_of_a_device_is_in_use_else_what_its_kind_has() -> None:
    assert in_use(_with("tensorrt", "litert"), "linux") is RUNTIMES["tensorrt"]
    assert in_use(_with(), "linux") == in_use(_with("new"), "linux") == RUNTIMES["litert"]
    assert in_use(_with("new"), "mcu") is RUNTIMES["edgenas-engine"]


def test_what_a_deploy_may_choose_by_itself() -> None:
    assert unasked(_with("litert", "tensorrt", "onnxruntime", "new")) == ["litert", "tensorrt", "new"]


@pytest.mark.parametrize(
    ("name", "asked", "precision", "tolerance"),
    [
        ("litert", None, "int8", 1e-3),
        ("litert", "int8", "int8", 1e-3),
        ("tensorrt", None, "float32", 1e-2),
        ("tensorrt", "int8", "int8", 0.05),
        ("onnxruntime", None, "float32", 1e-3),
        ("onnxruntime", "int8", "int8", 0.05),
        ("edgenas-engine", None, "int8", 1e-3),
    ],
)
def test_precision_and_tolerance(name: str, asked: str | None, precision: str, tolerance: float) -> None:
    runtime = RUNTIMES[name]
    found = runtime.precision("int8" if asked == "int8" else None, "int8", "8.5.2")
    assert (found, runtime.float_tolerance(found)) == (precision, tolerance)


def test_a_tensorrt_that_takes_no_int8_models() -> None:
    with pytest.raises(UsageError, match=r"precision int8 with TensorRT 7\.1: it takes int8 models from version 8 on"):
        RUNTIMES["tensorrt"].precision("int8", "int8", "7.1")


@pytest.fixture
def host(home: Path) -> Board:
    """This computer, if its agent offers ONNX Runtime."""
    pytest.importorskip("onnxruntime", reason="needs pip install onnxruntime")
    board = Board.load("host")
    with Connection(board) as found:
        names = [runtime.name for runtime in found.info.runtimes]
    if "onnxruntime" not in names:
        pytest.skip(f"the agent offers {', '.join(names)}, and no onnxruntime")
    assert names[0] != "onnxruntime"
    return board


@pytest.mark.parametrize("precision", [None, "int8"])
def test_onnx_runtime_measures_networks_with_random_weights(host: Board, precision: str | None) -> None:
    space = SearchSpace.load("tiny", (1, 8, 8), 10)
    small = Architecture.parse("stem-8s2/plain-16x1/plain-16x1/plain-32x1")
    large = Architecture.parse("stem-32s1/plain-48x2/plain-64x2/plain-128x1")
    with Session(host, Silent(), runtime="onnxruntime", precision=precision) as session:
        assert (session.key.runtime, session.key.precision) == ("onnxruntime", precision or "float32")
        assert session.onnx_precision == session.key.precision
        assert session.tflite_precision == "float32"
        measured = session.measure_untrained(space, [small, large])
    assert measured[1].latency_ms > measured[0].latency_ms > 0


@pytest.mark.slow
def test_a_deploy_on_onnx_runtime_is_committed_and_measured_again(host: Board, tmp_path: Path) -> None:
    options = {"data": "digits", "latency": "5ms", "epochs": 8, "runtime": "onnxruntime", "runs": tmp_path}
    result = edgenas.deploy("host", **options)  # type: ignore[arg-type]
    assert result.committed
    assert result.timing.conditions.runtime == "onnxruntime"
    measured = edgenas.measure(result.folder, runtime="onnxruntime")
    assert measured.timing.latency_ms == pytest.approx(result.timing.latency_ms, rel=1.0)
    assert measured.record is not None
    assert measured.record.profile is not None
