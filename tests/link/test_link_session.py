# SPDX-License-Identifier: Apache-2.0
"""Requests, transfers and their ends over a pipe that hurts, against a board that speaks the bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from helpers.link import standin_board
from helpers.link.faulty_pipe import Faults, FaultyFrames, FaultyPipe
from helpers.link.standin_board import StandInBoard, StandInPipe

from firmware_tools import errors
from firmware_tools.link import messages, session, transfer
from firmware_tools.link.session import Link

PLAN = random.Random(1).randbytes(20_003)
DIGEST = hashlib.sha256(PLAN).digest()
SEEDS = range(5)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in answers at once, so what does not come at once does not come."""
    monkeypatch.setattr(session, "_THINKING_S", 0.002)
    monkeypatch.setattr(session, "_LONGEST_WAIT_S", 0.005)
    monkeypatch.setattr(transfer, "_LONGEST_WAIT_S", 0.005)
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every seventh frame may come through, on a busy computer."""
    monkeypatch.setattr(transfer, "_PATIENCE_S", 30)


def opened(board: StandInBoard, **line: Any) -> Link:
    link = Link(FaultyPipe(StandInPipe(board), **line), "board")
    link.hello()
    return link


def install(link: Link) -> transfer.TransferStats:
    sent = link.send(PLAN)
    link.ask(messages.Verify())
    link.ask(messages.Commit(DIGEST))
    return sent


def test_every_message() -> None:
    board = StandInBoard()
    link = opened(board)
    hello = link.board
    assert hello is not None
    assert (hello.board, hello.firmware, hello.kernels, hello.tick_unit) == ("stand-in", "0.1", "DSP", "instructions")
    assert (hello.arena_bytes, hello.slot_bytes, hello.input_bytes) == (32768, 1 << 18, 4096)
    assert (hello.max_payload, hello.window, hello.slots, hello.unique_id) == (1028, 4, 2, bytes(range(16)))
    assert link.send(PLAN) == transfer.TransferStats(0, len(PLAN), 0)
    link.ask(messages.Verify())
    status = link.ask(messages.Status())
    assert (status.active, status.previous, status.staged, status.tries) == (None, None, 1, 4)
    assert (status.commits, status.rollbacks, status.resets, status.dropped_frames) == (1, 2, 3, 4)
    assert status.slots == (
        messages.SlotAnswer("empty", 0, hashlib.sha256(b"").digest()),
        messages.SlotAnswer("valid", len(PLAN), DIGEST),
    )
    sizes = link.ask(messages.Select(staged=True))
    assert (sizes.input_bytes, sizes.output_bytes, sizes.operators) == (2500, 3000, 3)
    data = random.Random(2).randbytes(sizes.input_bytes)
    link.set_input(data)
    assert link.get_output(sizes.output_bytes) == (data * 2)[:3000]
    assert link.ask(messages.Run(3)) == messages.RunAnswer(99, 100, 101)
    assert link.profile(sizes.operators) == (33, 33, 33)
    assert link.ask(messages.Memory()) == messages.MemoryAnswer(4096, 32768, 512, 2048)
    fault = link.ask(messages.Fault(clear=True))
    assert (fault.fault, fault.slot, fault.operator, fault.pc) == ("hard fault", 1, 2, 0x8001234)
    link.ask(messages.Commit(DIGEST))
    assert link.ask(messages.Status()).active == 0
    link.ask(messages.Reset())
    assert not link.dropped


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", ["lost", "doubled", "swapped", "corrupted"])
def test_install_over_a_line_that_hurts(fault: str, seed: int) -> None:
    board = StandInBoard()
    pipe = FaultyPipe(StandInPipe(board), Faults(**{fault: 1 / 4000}), seed)
    link = Link(pipe, "board")
    link.hello()
    sent = install(link)
    assert board.active == PLAN
    assert pipe.hurt
    assert sent.went_back <= 3 * pipe.hurt
    assert board.done.count(messages.Kind.COMMIT) == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_message_over_a_very_bad_line(seed: int) -> None:
    every = Faults(lost=1 / 400, doubled=1 / 400, swapped=1 / 400, corrupted=1 / 400)
    board = StandInBoard(max_payload=132, window=3)
    link = opened(board, faults=every, seed=seed)
    install(link)
    assert board.active == PLAN
    data = random.Random(seed).randbytes(2500)
    link.set_input(data)
    assert link.get_output(3000) == (data * 2)[:3000]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", ["lost", "doubled", "swapped"])
def test_whole_frames_lost_doubled_or_out_of_order(fault: str, seed: int) -> None:
    board = StandInBoard()
    pipe = FaultyFrames(StandInPipe(board), Faults(**{fault: 1 / 5}), seed)
    link = Link(pipe, "board")
    link.hello()
    install(link)
    assert board.active == PLAN
    assert pipe.hurt
    assert board.done.count(messages.Kind.COMMIT) == 1 or fault == "swapped"


def writes_of_an_install() -> int:
    pipe = FaultyPipe(StandInPipe(StandInBoard()))
    link = Link(pipe, "board")
    link.hello()
    install(link)
    return pipe.writes


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_cable_pulled_at_any_message_then_resumed(share: float) -> None:
    for pull_at in range(writes_of_an_install()):
        board = StandInBoard()
        with pytest.raises(errors.DeviceLostError):
            install(opened(board, pull_at=pull_at, share=share))
        reached = len(board.slot)
        link = opened(board)
        if board.active:  # the answer to COMMIT was lost with the cable
            continue
        assert install(link).resumed_from == reached
        assert board.active == PLAN


def test_transfer_goes_on_after_the_board_restarted() -> None:
    board = StandInBoard(forget_at=9_000)
    assert install(opened(board)).resumed_from >= 9_000
    assert board.active == PLAN


def test_a_board_that_restarts_again_and_again_is_given_up() -> None:
    board = StandInBoard(refusals={messages.Kind.WRITE: bytes([standin_board.NOT_READY])})
    with pytest.raises(errors.DeviceLostError, match="restarted 5 times"):
        opened(board).send(PLAN)


def test_progress_never_stops_short_and_starts_where_the_board_is() -> None:
    board, calls = StandInBoard(), []
    link = opened(board)
    link.send(PLAN, lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, len(PLAN))
    assert calls[-1] == (len(PLAN), len(PLAN))
    assert calls == sorted(calls)
    assert link.send(PLAN, lambda done, total: calls.append((done, total))).resumed_from == len(PLAN)
    assert calls[-1] == (len(PLAN), len(PLAN))


@pytest.mark.parametrize("at", [0, 3, 7])
def test_interrupt_in_a_transfer_leaves_a_usable_link(at: int) -> None:
    board = StandInBoard()
    link = opened(board)

    def interrupt(done: int, total: int) -> None:
        if done >= at * 1024:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        link.send(PLAN, interrupt)
    assert link.ask(messages.Status()).active is None
    assert install(link).resumed_from >= at * 1024
    assert board.active == PLAN


def test_interrupt_within_a_write_is_ended_by_a_zero() -> None:
    board = StandInBoard()
    pipe = StandInPipe(board)
    link = Link(pipe, "board")
    link.hello()
    whole, written = pipe.write, []

    def count(data: bytes) -> None:
        written.append(data)
        whole(data)

    def half(data: bytes) -> None:
        pipe.write = count  # type: ignore[method-assign]
        whole(data[: len(data) // 2])
        raise KeyboardInterrupt

    pipe.write = half  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        link.ask(messages.Status())
    before = len(board.done)
    link.ask(messages.Memory())
    assert board.done[before:] == [messages.Kind.MEMORY]
    assert len(written) == 1  # answered at once: what was cut short did not swallow it


def test_sequences_wrap_around() -> None:
    link = opened(StandInBoard())
    for _ in range(600):
        link.ask(messages.Memory())


@pytest.mark.parametrize("kind", [messages.Kind.STATUS, messages.Kind.WRITE, messages.Kind.BEGIN])
def test_silence_ends_and_names_what_was_going_on(kind: messages.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    link = opened(StandInBoard(silent_kinds={kind}))
    doing: Callable[[], object] = lambda: link.send(PLAN)  # noqa: E731
    monkeypatch.setattr(messages.Begin, "patience_s", 0.05)
    if kind == messages.Kind.STATUS:
        doing = lambda: link.ask(messages.Status(), patience_s=0.05)  # noqa: E731
    with pytest.raises(errors.DeviceLostError, match=rf"board: no answer to {kind.name}.*cable") as caught:
        doing()
    assert "\n" not in str(caught.value)
    assert caught.value.fields["tries"] >= 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"\x01", errors.ProtocolError, "knows no VERIFY"),
        (b"\x02", errors.ProtocolError, "MALFORMED"),
        (b"\x03\x00\x00\x01\x00", errors.DeviceFullError, "65536 bytes"),
        (b"\x05", errors.NothingStagedError, "complete transfer"),
        (b"\x06", errors.TransferError, "announced"),
        (b"\x07\x08\x03\x00\x00\x00", errors.PlanError, "operator 3 because of a shape"),
        (b"\x07", errors.PlanError, "engine refuses"),
        (b"\x08", errors.TransferError, "flash"),
        (b"\x09", errors.InferenceError, "fault record"),
        (b"\xc8", errors.ProtocolError, "unknown status 200"),
    ],
)
def test_refusals_are_exceptions_of_one_line(answer: bytes, error: type[errors.DeviceError], words: str) -> None:
    link = opened(StandInBoard(refusals={messages.Kind.VERIFY: answer}))
    with pytest.raises(error, match=words) as caught:
        link.ask(messages.Verify())
    assert str(caught.value).startswith("board: ")
    assert "\n" not in str(caught.value)
    assert link.ask(messages.Memory()).arena_used == 4096


def test_rollback_and_commit_name_what_is_missing() -> None:
    link = opened(StandInBoard())
    with pytest.raises(errors.NothingToRollBackError):
        link.ask(messages.Rollback())
    with pytest.raises(errors.NothingStagedError):
        link.ask(messages.Commit(DIGEST))


def test_a_plan_too_large_for_the_slot_is_refused_before_anything_is_erased() -> None:
    board = StandInBoard()
    link = opened(board)
    link.send(PLAN)
    with pytest.raises(errors.DeviceFullError) as caught:
        link.send(bytes(standin_board.SLOT_BYTES + 1))
    assert caught.value.fields["limit"] == standin_board.SLOT_BYTES
    assert bytes(board.slot) == PLAN


@pytest.mark.parametrize("request_", [messages.Status(), messages.Memory(), messages.Fault(), messages.Output(0, 9)])
def test_an_answer_cut_short_is_one_line(request_: messages.Request[object]) -> None:
    link = opened(StandInBoard(refusals={request_.kind: b"\0\1"}))
    with pytest.raises(errors.ProtocolError, match=rf"board: the answer to {request_.kind.name} has 1 bytes"):
        link.ask(request_)


def test_nonsense_offsets_are_reported() -> None:
    with pytest.raises(errors.ProtocolError, match="goes on from"):
        opened(StandInBoard(refusals={messages.Kind.BEGIN: b"\0\xff\xff\xff\xff"})).send(PLAN)
    with pytest.raises(errors.ProtocolError, match="answered with offset"):
        opened(StandInBoard(refusals={messages.Kind.WRITE: b"\0\xff\xff\xff\xff"})).send(PLAN)


def test_a_board_that_always_wants_another_offset_is_given_up() -> None:
    with pytest.raises(errors.DeviceLostError, match="WRITE at 0 of"):
        opened(StandInBoard(refusals={messages.Kind.WRITE: b"\4\0\0\0\0"})).send(PLAN)


def test_callers_mistakes() -> None:
    link = Link(StandInPipe(StandInBoard()), "board")
    with pytest.raises(ValueError, match="say hello"):
        link.send(PLAN)
    with pytest.raises(ValueError, match="129 bytes, the board takes 128"):
        link.request(messages.Kind.INPUT, bytes(129), patience_s=1)
    link.hello()
    with pytest.raises(ValueError, match="no bytes"):
        link.send(b"")
