# SPDX-License-Identifier: Apache-2.0
"""An interrupt, or any error, inside a hook that the emulator calls from C ends the emulation and is raised."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers.mcu import mcu_boards

import firmware_tools
from firmware_tools import mcu
from firmware_tools.mcu import unicorn_board
from firmware_tools.mcu.emulator import MACHINES
from firmware_tools.plan import compile_plan

pytest.importorskip("unicorn", reason="needs pip install unicorn")

_HOOKS = re.compile(r"\b(hook_add|mmio_map|emu_start)\b")


@pytest.fixture(scope="module")
def job() -> tuple[bytes, list[bytes]]:
    """A plan and an input for it: 24,000 blocks."""
    return compile_plan(mcu_boards.net(1)).blob, [mcu_boards.images(1).tobytes()]


class _Spy:
    """Counts the calls of a board's method, and does something in the n-th."""

    def __init__(self, patch: pytest.MonkeyPatch, method: str, at: int, do: Any) -> None:
        self.calls, self.at, self.do = 0, at, do
        before, spy = getattr(unicorn_board._Board, method), self

        def called(*arguments: Any, **named: Any) -> Any:
            spy.calls += 1
            if spy.calls == spy.at:
                spy.do()
            return before(*arguments, **named)

        patch.setattr(unicorn_board._Board, method, called)


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("block", [1, 2, 1000, 5000])
def test_an_interrupt_in_any_block_stops_it_there(
    job: tuple[bytes, list[bytes]], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = _Spy(monkeypatch, "enter", block, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        mcu.measure(*job, emulator="unicorn")
    assert block <= spy.calls <= block + 2


@pytest.mark.parametrize("method", ["transmit", "_read", "_write", "_enter_new"])
def test_an_interrupt_in_any_other_hook_stops_it_too(
    job: tuple[bytes, list[bytes]], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = _Spy(monkeypatch, method, 3, _interrupt)
    with pytest.raises(KeyboardInterrupt):
        mcu.measure(*job, emulator="unicorn")
    assert 3 <= spy.calls <= 5


def test_an_interrupt_between_the_last_look_and_the_first_block_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MACHINES["mps2-an386"]
    board = unicorn_board._Board(machine, mcu.images.image(machine).read_bytes(), b"")
    entered, start = _Spy(monkeypatch, "enter", 0, None), board.cpu.emu_start

    def late(*arguments: Any, **named: Any) -> None:
        _interrupt()
        start(*arguments, **named)

    monkeypatch.setattr(board.cpu, "emu_start", late)
    with pytest.raises(KeyboardInterrupt):
        board.run(60)
    assert entered.calls <= 2


def test_an_error_in_a_hook_is_raised(job: tuple[bytes, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise BrokenPipeError("nobody reads")

    _Spy(monkeypatch, "transmit", 2, fail)
    with pytest.raises(BrokenPipeError, match="nobody reads"):
        mcu.measure(*job, emulator="unicorn")


def test_every_hook_is_installed_where_it_is_guarded() -> None:
    folder = Path(firmware_tools.__file__).parent
    assert {path.name for path in folder.rglob("*.py") if _HOOKS.search(path.read_text())} == {"unicorn_core.py"}
    core = (folder / "mcu" / "unicorn_core.py").read_text()
    for line in core.splitlines():
        if re.search(r"\.(hook_add|mmio_map)\(", line):
            assert "_guarded(" in line or "self.enter" in line, line
    assert core.count("emu_start(") == 1
