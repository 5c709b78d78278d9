# SPDX-License-Identifier: Apache-2.0
"""The link against the firmware's own core in a process of this computer, through a cable that hurts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.link import core_board
from helpers.link.faulty_pipe import Faults, FaultyPipe

from firmware_tools import errors
from firmware_tools.link import messages, session
from firmware_tools.link.pipes import ProcessPipe, SerialPipe
from firmware_tools.link.session import Link
from firmware_tools.link.transfer import TransferStats

OLD, NEW = core_board.plan(2_000, seed=1), core_board.plan(12_004, seed=2)
LONG = core_board.plan(400_000, seed=3)


def digest(plan: bytes) -> bytes:
    return hashlib.sha256(plan).digest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core answers within milliseconds here."""
    monkeypatch.setattr(session, "_THINKING_S", 0.03)


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash"


@pytest.fixture
def board(flash: Path) -> Iterator[ProcessPipe]:
    pipe = ProcessPipe(core_board.command(flash), "host-board")
    yield pipe
    pipe.close()


def greeted(pipe: ProcessPipe | FaultyPipe) -> Link:
    link = Link(pipe, "host-board")
    link.hello()
    return link


def install(link: Link, plan: bytes) -> TransferStats:
    sent = link.send(plan)
    link.ask(messages.Verify())
    link.ask(messages.Commit(digest(plan)))
    return sent


def active(link: Link) -> bytes | None:
    status = link.ask(messages.Status())
    return None if status.active is None else status.slots[status.active].sha256


def test_every_message_of_the_core(board: ProcessPipe) -> None:
    link = greeted(board)
    hello = link.board
    assert hello is not None
    assert (hello.board, hello.slots, hello.lowest, hello.unique_id) == ("host", 2, 1, b"edgenas host 001")
    assert hello.input_bytes > 0
    assert install(link, OLD) == TransferStats(0, len(OLD), 0)
    sizes = link.ask(messages.Select(staged=False))
    link.set_input(bytes(sizes.input_bytes))
    ticks = link.ask(messages.Run(5))
    assert 0 < ticks.minimum <= ticks.median <= ticks.maximum
    assert len(link.profile(sizes.operators)) == sizes.operators
    assert len(link.get_output(sizes.output_bytes)) == sizes.output_bytes
    assert link.ask(messages.Memory()).arena_used == sizes.arena_bytes
    assert link.ask(messages.Fault(clear=True)).fault == "none"
    install(link, NEW)
    assert active(link) == digest(NEW)
    link.ask(messages.Rollback())
    assert active(link) == digest(OLD)
    with pytest.raises(errors.NothingToRollBackError):
        link.ask(messages.Rollback())
    link.ask(messages.Reset())
    link.hello()
    assert active(link) == digest(OLD)


def test_what_the_core_refuses(board: ProcessPipe) -> None:
    link = greeted(board)
    assert link.board is not None
    install(link, OLD)
    with pytest.raises(errors.DeviceFullError):
        link.send(core_board.plan(link.board.slot_bytes + 4))
    with pytest.raises(errors.NothingStagedError):
        link.ask(messages.Select(staged=True))
    link.send(b"not a plan but long enough to be one" * 9)
    with pytest.raises(errors.PlanError, match="refuses the plan because of its size"):
        link.ask(messages.Verify())
    with pytest.raises(errors.ProtocolError, match="knows no message 0x55"):
        link.request(0x55, patience_s=1)
    with pytest.raises(errors.ProtocolError, match="MALFORMED"):
        link.request(messages.Kind.WRITE, b"abc", patience_s=1)
    assert active(link) == digest(OLD)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", ["lost", "doubled", "swapped", "corrupted"])
def test_core_over_a_line_that_hurts(board: ProcessPipe, fault: str, seed: int) -> None:
    pipe = FaultyPipe(board, Faults(**{fault: 1 / 3000}), seed)
    link = greeted(pipe)
    install(link, OLD)
    install(link, NEW)
    assert active(link) == digest(NEW)
    assert pipe.hurt
    assert link.ask(messages.Status()).commits == 2


def test_core_with_one_byte_in_50_000_lost(board: ProcessPipe) -> None:
    pipe = FaultyPipe(board, Faults(lost=1 / 50_000), seed=5)
    link = greeted(pipe)
    assert install(link, LONG).went_back > 0
    assert active(link) == digest(LONG)


def test_cable_pulled_from_the_core_at_any_message(board: ProcessPipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_THINKING_S", 30)  # nothing is lost, and what is repeated is counted twice
    install(greeted(board), OLD)
    counting = FaultyPipe(board)
    install(greeted(counting), NEW)
    resumed = []
    for pull_at in range(counting.writes):
        plan = core_board.plan(12_004, seed=100 + pull_at)
        before = active(greeted(board))
        with pytest.raises(errors.DeviceLostError):
            install(greeted(FaultyPipe(board, pull_at=pull_at, share=0.5)), plan)
        link = greeted(board)
        assert active(link) == before
        resumed.append(install(link, plan).resumed_from)
        assert active(link) == digest(plan)
    assert max(resumed) == len(NEW)
    assert len(set(resumed)) > 5


@pytest.mark.parametrize("at", [50_000, 350_000])
def test_board_killed_in_a_transfer_goes_on_from_its_flash(flash: Path, at: int) -> None:
    with greeted(ProcessPipe(core_board.command(flash), "host-board")) as link:
        install(link, OLD)
        pipe = link._pipe
        assert isinstance(pipe, ProcessPipe)

        def kill(done: int, total: int) -> None:
            if done >= at:
                os.kill(pipe.pid, 9)

        with pytest.raises(errors.DeviceLostError, match="process ended"):
            link.send(LONG, kill)
    with greeted(ProcessPipe(core_board.command(flash), "host-board")) as link:
        assert active(link) == digest(OLD)
        assert install(link, LONG).resumed_from > at - 20_000  # a page may have been half written
        assert active(link) == digest(LONG)


@pytest.mark.skipif(os.name != "posix", reason="ptys are POSIX only")
@pytest.mark.parametrize(("baud", "lose_one_in"), [(115200, 0), (921600, 0), (115200, 4000), (921600, 4000)])
def test_core_at_the_speed_of_a_line(flash: Path, baud: int, lose_one_in: int) -> None:
    import subprocess

    from helpers.link.paced_line import PacedLine

    process = subprocess.Popen(core_board.command(flash), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process, PacedLine(process.stdin.fileno(), process.stdout.fileno(), baud, lose_one_in, seed=7) as line:
        with Link(SerialPipe(line.path, baud), line.path) as link:
            link.hello()
            install(link, OLD)
            install(link, NEW)
            assert active(link) == digest(NEW)
        process.stdin.close()
    assert process.returncode == 0
