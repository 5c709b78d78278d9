# SPDX-License-Identifier: Apache-2.0
"""Power cuts of the firmware's core: in one process that explores all of them, and in a board that is a process."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.firmware.tiny_plans import many_pages
from helpers.firmware.wire_board import ACTIVE, CUT, NONE, STAGED, Board, GoneError

# What the power goes in: firmware/host/power_cut.c.
SCENARIOS = (
    *("first", "install", "over-staged", "over-partial", "over-rolled-back", "again", "resume", "resume-after-other"),
    *("discard-staged", "discard-partial", "rollback", "revert-tried", "revert-fault"),
)
TEARS = range(6)  # firmware/host/tear.h
_NAMES = ("old", "new", "other")
_PATTERN = bytes(range(256))


@dataclass(frozen=True)
class Explored:
    """Flash operations, cuts at them, and how many of those left flash that was not seen before: by earlier cuts."""

    operations: tuple[int, ...]
    cuts: tuple[int, ...]
    different: tuple[int, ...]


class ViolationError(AssertionError):
    """What the board did that it must not, and the options that do it again."""


def explore(program: Path, folder: Path, scenario: str, tables: int, options: Sequence[str] = ()) -> Explored:
    """`power-cut` with plans of `tables` tables. Raises ViolationError."""
    for seed, name in enumerate(_NAMES):
        (folder / name).write_bytes(many_pages(tables, seed))
    command = [str(program), str(folder), scenario, *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ViolationError(done.stderr.strip() or f"exit status {done.returncode}")
    figures = [int(word) for word in done.stdout.split()[1:]]
    return Explored(tuple(figures[0::3]), tuple(figures[1::3]), tuple(figures[2::3]))


class CutBoard:
    """A `host-board` whose power is cut in its n-th flash operation, torn as `tear` says; `new` is what it installs."""

    def __init__(self, program: Path, flash: Path, new: bytes, tear: int = 2) -> None:
        self.program, self.flash, self._new, self._tear = program, flash, new, tear
        self.outputs: dict[bytes, bytes] = {}  # by the plan's sha256

    def learn(self, plan: bytes) -> None:
        """Install it, and remember what it answers."""
        with Board([self.program, self.flash]) as board:
            board.install(plan)
            self.outputs[hashlib.sha256(plan).digest()] = board.infer(ACTIVE, _PATTERN)

    def install(self, board: Board) -> None:
        """As a host does it: go on where the board is, try the model, confirm it."""
        board.stage(self._new)
        board.infer(STAGED, _PATTERN)
        board.commit(self._new)

    def cut(self, after: int) -> bool:
        """Whether the power went away before the install was over."""
        options = ["--power-cut-after", str(after), "--tear", str(self._tear)]
        with Board([self.program, self.flash, *options]) as board:
            try:
                self.install(board)
            except GoneError:
                assert board.process.wait(10) == CUT, board.complaint()
                return True
        return False

    def check(self) -> None:
        """A model that was learnt is active, and computes what it did."""
        with Board([self.program, self.flash]) as board:
            status = board.status()
            assert status.active != NONE
            assert board.infer(ACTIVE, _PATTERN) == self.outputs[status.slots[status.active][2]]

    def finish(self) -> None:
        """The new one can be installed and answers."""
        with Board([self.program, self.flash]) as board:
            self.install(board)
            assert board.infer(ACTIVE, _PATTERN) == self.outputs[hashlib.sha256(self._new).digest()]


def cut_processes(board: CutBoard, old: bytes, new: bytes) -> tuple[int, int]:
    """Cut every flash operation of installing `new` over `old`, and every one of each recovery; how many they were."""
    board.learn(old)
    before = board.flash.read_bytes()
    board.learn(new)
    assert len(set(board.outputs.values())) == 2
    cuts, recoveries = 0, 0
    while True:
        board.flash.write_bytes(before)
        if not board.cut(cuts + 1):
            return cuts, recoveries
        cuts += 1
        board.check()
        halfway, again = board.flash.read_bytes(), 0
        while True:
            board.flash.write_bytes(halfway)
            if not board.cut(again + 1):
                break
            again += 1
            board.check()
            board.finish()
        recoveries += again
