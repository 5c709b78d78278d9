# SPDX-License-Identifier: Apache-2.0
"""The slots of the firmware core, in a process on this computer, under the sanitizers."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.firmware.core_build import MISSING, build
from helpers.firmware.tiny_plans import SEEDS, many_pages, put
from helpers.firmware.wire_board import (
    ACTIVE,
    BAD_HASH,
    BAD_PLAN,
    BEGIN,
    COMMIT,
    DAMAGED,
    DISCARD,
    EMPTY,
    FAULT,
    FAULTED,
    NONE,
    NOT_READY,
    OK,
    OUTPUT,
    PAGE_BYTES,
    PARTIAL,
    PROFILE,
    ROLLBACK,
    RUN,
    SELECT,
    SLOT_BYTES,
    STAGED,
    TOO_LARGE,
    VALID,
    VERIFY,
    WRITE,
    WRONG_OFFSET,
    Board,
    encode,
)

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

OLD, NEW, LARGE = SEEDS["lut"], SEEDS["mean"], SEEDS["all"]
INPUT = bytes(range(256)) * 2
HARD, WATCHDOG, REFUSED = 1, 2, 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("host-board-sanitized", tmp_path_factory.mktemp("build"))


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture
def board(program: Path, flash: Path) -> Iterator[Board]:
    with Board([program, flash]) as board:
        yield board


def begin_of(plan: bytes) -> bytes:
    return struct.pack("<I", len(plan)) + hashlib.sha256(plan).digest()


def test_install_commit_and_roll_back(board: Board) -> None:
    board.install(OLD)
    old = board.infer(ACTIVE, INPUT)
    board.stage(NEW)
    status = board.status()
    assert (status.active, status.previous, status.staged, status.tries) == (0, NONE, 1, 4)
    new = board.infer(STAGED, INPUT)
    assert board.status().tries == 3
    assert board.infer(ACTIVE, INPUT) == old != new
    board.commit(NEW)
    board.commit(NEW)  # the first answer was lost, say
    status = board.status()
    assert (status.active, status.previous, status.staged) == (1, 0, NONE)
    assert status.slots[1] == (VALID, len(NEW), hashlib.sha256(NEW).digest())
    assert board.infer(ACTIVE, INPUT) == new
    board.ok(ROLLBACK)
    assert board.infer(ACTIVE, INPUT) == old
    assert board.ask(ROLLBACK)[0] == NOT_READY
    assert board.status().counters == (2, 1, 0, 0)
    board.install(NEW)
    assert board.infer(ACTIVE, INPUT) == new


def test_nothing_is_there_at_first(board: Board) -> None:
    for kind, payload in ((SELECT, b"\0"), (SELECT, b"\1"), (ROLLBACK, b""), (COMMIT, bytes(32)), (VERIFY, b"")):
        assert board.ask(kind, payload)[0] == NOT_READY
    for kind, payload in ((RUN, b"\1\0"), (PROFILE, bytes(4)), (OUTPUT, bytes(6)), (WRITE, bytes(12))):
        assert board.ask(kind, payload)[0] == NOT_READY
    board.ok(DISCARD)


def test_a_transfer_goes_on_where_the_board_is(board: Board) -> None:
    plan = many_pages()
    board.install(OLD)
    board.transfer(plan, most=2048)
    assert board.begin(plan) == 2048
    assert board.ask(VERIFY)[0] == NOT_READY
    assert board.transfer(plan) == 2048
    board.ok(VERIFY)
    assert board.begin(plan) == len(plan)
    board.ok(VERIFY)
    board.commit(plan)


def test_a_killed_board_goes_on_at_the_page(program: Path, flash: Path) -> None:
    plan = many_pages()
    with Board([program, flash]) as board:
        board.transfer(plan, most=2 * PAGE_BYTES + 100)
    with Board([program, flash]) as board:
        assert board.status().slots[0][:2] == (PARTIAL, len(plan))
        assert board.transfer(plan) == 2 * PAGE_BYTES
        board.ok(VERIFY)
    with Board([program, flash]) as board:
        assert board.begin(plan) == len(plan)  # staged already
        board.ok(VERIFY)
        board.commit(plan)
        assert board.infer(ACTIVE, bytes(256))


def test_another_begin_starts_over(board: Board) -> None:
    board.transfer(LARGE, most=1024)
    assert board.begin(NEW) == 0
    board.stage(NEW)
    assert board.begin(LARGE) == 0
    assert board.status().staged == NONE


def test_only_the_expected_offset_is_taken(board: Board) -> None:
    board.begin(LARGE)
    for wrong in (8, 4, 0xFFFFFFF8):
        status, body = board.ask(WRITE, struct.pack("<I", wrong) + LARGE[:8])
        assert (status, body) == (WRONG_OFFSET, bytes(4))
    board.ok(WRITE, bytes(4) + LARGE[:8])
    status, body = board.ask(WRITE, bytes(4) + LARGE[:8])
    assert (status, body) == (WRONG_OFFSET, struct.pack("<I", 8))
    assert board.ask(WRITE, struct.pack("<I", 8) + LARGE[8:15])[0] == 2
    assert board.ask(WRITE, struct.pack("<I", 8))[0] == 2
    board.begin(NEW)
    status, body = board.ask(WRITE, bytes(4) + bytes(len(NEW) + 8))
    assert (status, body) == (TOO_LARGE, struct.pack("<I", len(NEW)))


def test_a_plan_that_no_slot_holds_changes_nothing(board: Board, flash: Path) -> None:
    board.stage(OLD)
    before = flash.read_bytes()
    room = SLOT_BYTES - PAGE_BYTES
    status, body = board.ask(BEGIN, struct.pack("<I", room + 1) + bytes(32))
    assert (status, body) == (TOO_LARGE, struct.pack("<I", room))
    assert board.ask(BEGIN, bytes(36))[0] == 2
    assert flash.read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [put(NEW, "header", packing=9), put(NEW, "header", arena_bytes=4 << 20), put(NEW, "mean", kind=99), bytes(64)],
    ids=["packing", "arena", "operator", "zeros"],
)
def test_a_wrong_plan_is_refused_and_the_old_one_answers(board: Board, wrong: bytes) -> None:
    board.install(OLD)
    old = board.infer(ACTIVE, INPUT)
    board.transfer(wrong)
    status, body = board.ask(VERIFY)
    assert (status, len(body)) == (BAD_PLAN, 5)
    assert body[0] != 0
    assert board.ok(FAULT, b"\1")[:2] == bytes((REFUSED, 1))
    assert board.infer(ACTIVE, INPUT) == old
    assert board.status().slots[1][0] == EMPTY
    assert board.begin(wrong) == 0
    board.install(NEW)


def test_other_bytes_than_announced(board: Board) -> None:
    board.install(OLD)
    board.ok(BEGIN, begin_of(NEW))
    board.ok(WRITE, bytes(4) + NEW[:-1] + b"\x55")
    assert board.ask(VERIFY)[0] == BAD_HASH
    assert board.ask(SELECT, bytes((STAGED,)))[0] == NOT_READY
    assert board.begin(NEW) == 0
    board.install(NEW)


def test_commit_names_the_model(board: Board) -> None:
    board.stage(NEW)
    assert board.ask(COMMIT, hashlib.sha256(OLD).digest())[0] == BAD_HASH
    assert board.status().active == NONE
    board.commit(NEW)


def test_discard_keeps_the_way_back(board: Board) -> None:
    board.install(OLD)
    board.install(NEW)
    board.ok(DISCARD)
    assert board.status().previous == 0
    board.stage(LARGE)
    board.ok(DISCARD)
    assert board.status().slots[0] == (EMPTY, 0, bytes(32))
    assert board.ask(SELECT, bytes((STAGED,)))[0] == NOT_READY


def test_every_byte_of_a_header(program: Path, flash: Path) -> None:
    """Whatever a header's byte becomes: one of both models answers, and a new one can be installed."""
    with Board([program, flash]) as board:
        board.install(OLD)
        board.install(NEW)
        good = {board.infer(ACTIVE, INPUT)}
        board.ok(ROLLBACK)
        good.add(board.infer(ACTIVE, INPUT))
        board.install(NEW)
    whole = flash.read_bytes()
    for at in range(0, 120):
        spoilt = bytearray(whole)
        spoilt[SLOT_BYTES + at] ^= 0x41
        flash.write_bytes(spoilt)
        with Board([program, flash]) as board:
            assert board.infer(ACTIVE, INPUT) in good
            if at % 10 == 0:
                board.install(LARGE)


def test_a_damaged_plan_falls_back(program: Path, flash: Path) -> None:
    with Board([program, flash]) as board:
        board.install(OLD)
        old = board.infer(ACTIVE, INPUT)
        board.install(NEW)
    spoilt = bytearray(flash.read_bytes())
    spoilt[SLOT_BYTES + PAGE_BYTES + len(NEW) - 1] ^= 1
    flash.write_bytes(spoilt)
    with Board([program, flash]) as board:
        status = board.status()
        assert (status.active, status.slots[1][0]) == (0, DAMAGED)
        assert board.infer(ACTIVE, INPUT) == old
        board.install(NEW)


@pytest.mark.parametrize(("option", "kind"), [("--hang-operator", WATCHDOG), ("--fault-operator", HARD)])
def test_an_unconfirmed_model_that_fails_reverts(program: Path, flash: Path, option: str, kind: int) -> None:
    with Board([program, flash, option, "3", "--watchdog-ms", "300"]) as board:
        board.install(OLD)
        board.stage(LARGE)
        board.select(STAGED)
        run = _run(board)
        board.put(run)
        assert board.silent(1)
        board.put(run)  # the host repeats: the board has restarted meanwhile
        assert board.get()[2] == FAULTED
        assert board.ok(FAULT, b"\0")[:6] == struct.pack("<BBI", kind, 1, 3)
        status = board.status()
        assert (status.active, status.staged) == (0, NONE)
        assert status.counters[1:3] == (1, 1)
        assert board.infer(ACTIVE, INPUT)
        board.ok(FAULT, b"\1")
        assert board.ok(FAULT, b"\0")[0] == 0
        board.stage(LARGE)
        assert board.infer(STAGED, INPUT)


def test_a_confirmed_model_may_fail_twice(program: Path, flash: Path) -> None:
    with Board([program, flash]) as board:
        board.install(OLD)
        old = board.infer(ACTIVE, INPUT)
        board.install(LARGE)
    with Board([program, flash, "--fault-operator", "2", "--times", "3"]) as board:
        for active in (1, 1, 0):
            board.select(ACTIVE)
            board.put(_run(board))
            assert board.silent(0.3)
            assert board.ask(RUN, b"\1\0")[0] == FAULTED
            assert board.status().active == active
        assert board.infer(ACTIVE, INPUT) == old


def test_power_that_goes_four_times_while_a_model_is_tried(program: Path, flash: Path) -> None:
    with Board([program, flash]) as board:
        board.install(OLD)
        board.stage(LARGE)
    for tries in (4, 3, 2, 1):
        with Board([program, flash, "--hang-operator", "1", "--watchdog-ms", "60000"]) as board:
            assert board.status().tries == tries
            board.select(STAGED)
            before = flash.read_bytes()
            board.put(_run(board))
            deadline = time.monotonic() + 60
            while flash.read_bytes() == before:  # the try is noted before it begins
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert board.silent(0.2)
    with Board([program, flash]) as board:
        assert (board.status().active, board.status().staged) == (0, NONE)


def test_a_model_that_ran_once_may_be_restarted_often(program: Path, flash: Path) -> None:
    for _ in range(6):
        with Board([program, flash]) as board:
            board.stage(OLD)
            assert board.infer(STAGED, INPUT)
    with Board([program, flash]) as board:
        assert board.ask(COMMIT, hashlib.sha256(OLD).digest())[0] == OK


def _run(board: Board) -> bytes:
    board.sequence += 1
    return encode(RUN, board.sequence, b"\1\0")
