"""Power cut in every write and erase of an install, and again in every one of the recovery after it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from core_build import MISSING, build
from tiny_plans import SEEDS
from wire_board import ACTIVE, CUT, NONE, STAGED, Board, GoneError

OLD, NEW = SEEDS["lut"], SEEDS["mean"]
INPUT = bytes(range(256)) * 2

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fastest build: a thousand boards are started."""
    return build("host-board", tmp_path_factory.mktemp("build"))


def install(board: Board) -> None:
    """As a host does it: go on where the board is, try the model, confirm it."""
    board.stage(NEW)
    board.infer(STAGED, INPUT)
    board.commit(NEW)


def cut_install(program: Path, flash: Path, after: int) -> bool:
    """Whether the power went away before the install was over."""
    with Board([program, flash, "--power-cut-after", str(after)]) as board:
        try:
            install(board)
        except GoneError:
            assert board.process.wait(10) == CUT, board.complaint()
            return True
    return False


def test_every_flash_operation_and_every_one_of_its_recovery(program: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    outputs = {}  # by the plan's sha256
    with Board([program, flash]) as board:
        board.install(OLD)
        outputs[hashlib.sha256(OLD).digest()] = board.infer(ACTIVE, INPUT)
    before = flash.read_bytes()
    with Board([program, flash]) as board:
        install(board)
        outputs[hashlib.sha256(NEW).digest()] = new_output = board.infer(ACTIVE, INPUT)
    assert len(set(outputs.values())) == 2

    def answers() -> None:
        """The old model or the new one is active, and computes what it did."""
        with Board([program, flash]) as board:
            status = board.status()
            _, _, sha256 = status.slots[status.active]
            assert board.infer(ACTIVE, INPUT) == outputs[sha256]

    cuts, recoveries = 0, 0
    while True:
        flash.write_bytes(before)
        if not cut_install(program, flash, cuts + 1):
            break
        cuts += 1
        answers()
        halfway, again = flash.read_bytes(), 0
        while True:
            flash.write_bytes(halfway)
            if not cut_install(program, flash, again + 1):
                break
            again += 1
            answers()
            with Board([program, flash]) as board:
                install(board)
                assert board.infer(ACTIVE, INPUT) == new_output
        recoveries += again
    print(f"power cut at {cuts} flash operations of an install, and at {recoveries} of the recoveries")
    assert cuts > 20
    assert recoveries > 200


def test_a_first_install(program: Path, tmp_path: Path) -> None:
    """There is no old model yet: none is active until the new one is."""
    flash, cuts = tmp_path / "flash", 0
    while True:
        flash.unlink(missing_ok=True)
        if not cut_install(program, flash, cuts + 1):
            break
        cuts += 1
        with Board([program, flash]) as board:
            assert board.status().active == NONE or board.infer(ACTIVE, INPUT)
            install(board)
            assert board.infer(ACTIVE, INPUT)
    assert cuts > 20
