# SPDX-License-Identifier: Apache-2.0
"""`edgenas.plan`: what of a board is needed, what limits, and that nothing is written that does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import edgenas
import firmware_tools
from edgenas.boards.board import Board
from edgenas.errors import EdgenasError, InfeasibleError, ProfileError, UsageError
from edgenas.runtimes import engine
from edgenas.workflows import plan as workflow
from firmware_tools.errors import PlanError
from firmware_tools.plan import operators
from firmware_tools.plan.compile import Plan, PlannedOperator, Port
from firmware_tools.plan.footprint import Footprint

ARENA, BLOB, CODE, STACK = 6000, b"EPLN" + bytes(20_000), 10_000, 500
PORTS = {
    "mps2": ("mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505"),
    "mps3_an547": ("mps3-an547",),
    "stm32f405": ("netduinoplus2",),
    "stm32l4": ("nucleo-l4r5zi",),
}
BOARD = """
id = "small"
name = "a small board"
kind = "mcu"
device_url = "serial:"
precision = "int8"
threads = 1
statistic = "p50"
processes = 2
[limits]
ram_bytes = {ram}
flash_bytes = {flash}
[facts]
kernels = "dsp"
"""


def _operator(index: int, name: str, weight_bytes: int, live_bytes: int) -> PlannedOperator:
    record = operators.Fill(output=0, count=1, value=0)
    return PlannedOperator("conv", index, name, (1, 8, 8, 4), 100, weight_bytes, live_bytes, 48, record)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    """What every model is compiled to, and what the engine takes."""
    made = Plan(
        BLOB,
        ARENA,
        (_operator(0, "CONV_2D", 64, 5000), _operator(2, "DEPTHWISE_CONV_2D", 32, 6000), _operator(3, "ADD", 0, 4000)),
        Port("in", (1, 8, 8, 1), 0.5, -3, 0),
        Port("out", (1, 10), 0.25, 4, 64),
    )
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(workflow, "compile_plan", lambda tflite: made)
    monkeypatch.setattr(engine, "footprints", lambda: {"dsp": Footprint(CODE, STACK)})
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    return path


def _board(tmp_path: Path, ram: int = ARENA + STACK, flash: int = len(BLOB) + CODE, text: str = BOARD) -> str:
    path = tmp_path / "board.toml"
    path.write_text(text.format(ram=ram, flash=flash))
    return str(path)


def test_a_model_that_fits_to_the_byte(model: Path, tmp_path: Path, compiled: Plan) -> None:
    planned = edgenas.plan(model, board=_board(tmp_path), out=tmp_path / "new" / "model.plan")
    assert (planned.ram.bytes, planned.flash.bytes) == (ARENA + STACK, len(BLOB) + CODE)
    assert planned.plan is compiled
    assert planned.peak == 1
    assert (tmp_path / "new" / "model.plan").read_bytes() == BLOB
    assert planned.file == str(tmp_path / "new" / "model.plan")


def test_the_json_object_holds_every_number(model: Path, tmp_path: Path) -> None:
    found = json.loads(json.dumps(edgenas.plan(model, board=_board(tmp_path, flash=1 << 20)).to_json()))
    assert (found["board"], found["kernels"], found["fits"], found["limited_by"]) == ("small", "dsp", True, "RAM")
    assert found["plan"] == {"path": None, "bytes": len(BLOB), "arena_bytes": ARENA}
    assert found["input"] == {"name": "in", "shape": [1, 8, 8, 1], "scale": 0.5, "zero_point": -3}
    assert found["macs"] == 300
    assert found["operators"][found["peak_operator"]] == {
        "index": 2,
        "name": "DEPTHWISE_CONV_2D",
        "kind": "conv",
        "output_shape": [1, 8, 8, 4],
        "macs": 100,
        "weight_bytes": 32,
        "live_bytes": 6000,
        "scratch_bytes": 48,
    }
    ram = {"model_bytes": ARENA, "engine_bytes": STACK, "bytes": ARENA + STACK, "limit_bytes": ARENA + STACK}
    assert found["ram"] == {**ram, "fits": True}


def test_a_byte_too_little_ram_names_the_operator_at_the_peak(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError) as caught:
        edgenas.plan(model, board=_board(tmp_path, ram=ARENA + STACK - 1), out=tmp_path / "model.plan")
    message = caught.value.message
    assert "6,500 bytes of RAM (arena 6,000, engine 500), limit 6,499" in message
    assert "operator 2 (DEPTHWISE_CONV_2D)" in message
    planned = caught.value.fields["planned"]
    assert isinstance(planned, workflow.Planned)
    assert (planned.file, planned.to_json()["fits"]) == (None, False)
    assert not (tmp_path / "model.plan").exists()


def test_the_arena_of_the_firmware_counts_where_the_file_knows_it(model: Path, tmp_path: Path) -> None:
    text = BOARD.replace('kernels = "dsp"', f'kernels = "dsp"\narena_bytes = {ARENA - 1}')
    with pytest.raises(InfeasibleError, match=r"6,500 bytes of RAM \(arena 6,000, engine 500\), limit 6,499"):
        edgenas.plan(model, board=_board(tmp_path, ram=1 << 20, text=text))
    for folder, boards in PORTS.items():
        header = Path(firmware_tools.__file__).parent / "firmware" / "ports" / folder / "port_config.h"
        found = re.search(r"PORT_ARENA_BYTES \((\d+)u << (\d+)\)", header.read_text(encoding="utf-8"))
        assert found is not None
        assert {Board.load(board).facts["arena_bytes"] for board in boards} == {int(found[1]) << int(found[2])}


def test_too_little_flash_names_the_operator_with_the_most_weights(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"30,004 bytes of flash \(plan 20,004, engine 10,000\), limit 30,000"):
        edgenas.plan(model, board=_board(tmp_path, flash=30_000))
    with pytest.raises(InfeasibleError, match=r"most are in operator 0 \(CONV_2D\)"):
        edgenas.plan(model, board=_board(tmp_path, ram=6000, flash=3000))


def test_a_board_without_limits_fits_everything(model: Path, tmp_path: Path) -> None:
    text = "\n".join(line for line in BOARD.splitlines() if "_bytes" not in line)
    planned = edgenas.plan(model, board=_board(tmp_path, text=text))
    assert planned.to_json()["fits"]
    assert planned.ram.limit_bytes is None


def test_boards_that_no_plan_runs_on_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="board host is of kind linux"):
        edgenas.plan(model, board="host")
    with pytest.raises(ProfileError, match=r"key 'facts.kernels' is 'mve', not one of dsp"):
        edgenas.plan(model, board=_board(tmp_path, text=BOARD.replace('"dsp"', '"mve"')))
    with pytest.raises(ProfileError, match=r"key 'facts.kernels' is None, not one of dsp"):
        edgenas.plan(model, board=_board(tmp_path, text=BOARD.partition("[facts]")[0]))


def test_nothing_is_overwritten_and_what_cannot_be_written_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model.tflite exists: name another file"):
        edgenas.plan(model, board=_board(tmp_path), out=model)
    with pytest.raises(EdgenasError, match=r"x.plan cannot be written \(.*\): mend that, or name another"):
        edgenas.plan(model, board=_board(tmp_path), out=model / "x.plan")


def test_what_the_compiler_refuses_names_the_file(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tflite: bytes) -> Plan:
        raise PlanError("operator 3 (LSTM) is not supported")

    monkeypatch.setattr(workflow, "compile_plan", refuse)
    with pytest.raises(UsageError, match=r"model.tflite: operator 3 \(LSTM\) is not supported"):
        edgenas.plan(model, board=_board(tmp_path))
