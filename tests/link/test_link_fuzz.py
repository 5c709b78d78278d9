"""Whatever a board answers, the host's side ends, and ends in a DeviceError of one line or in an answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from frame_vectors import frame
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_board import StandInBoard, StandInPipe, unstuffed

from firmware_tools.errors import DeviceError
from firmware_tools.link import messages, session, transfer
from firmware_tools.link.session import Link

REQUESTS: list[messages.Request[object]] = [
    messages.Hello(),
    messages.Status(),
    messages.Begin(9, bytes(32)),
    messages.Write(0, b"data"),
    messages.Verify(),
    messages.Commit(bytes(32)),
    messages.Rollback(),
    messages.Select(staged=True),
    messages.Input(0, b"data"),
    messages.Run(2),
    messages.Profile(0),
    messages.Output(0, 4),
    messages.Memory(),
    messages.Fault(),
    messages.Reset(),
]
PAYLOADS = st.one_of(st.binary(max_size=90), st.binary(max_size=90).map(lambda data: b"\0" + data))


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_THINKING_S", 0.001)
        patch.setattr(session, "_LONGEST_WAIT_S", 0.001)
        patch.setattr(transfer, "_LONGEST_WAIT_S", 0.001)
        patch.setattr(transfer, "_PATIENCE_S", 0.02)
        patch.setattr(messages.Begin, "patience_s", 0.002)
        yield


class AnsweringPipe:
    """Answers every request with the next of `payloads`, then with none, behind some noise."""

    baud = None

    def __init__(self, payloads: list[bytes], noise: bytes) -> None:
        self._payloads, self._noise, self._said = iter(payloads), noise, b""

    def read(self, timeout_s: float) -> bytes:
        said, self._said = self._said, b""
        return said

    def write(self, data: bytes) -> None:
        asked = unstuffed(data.strip(b"\0"))
        payload = next(self._payloads, None)
        if payload is not None:
            self._said += self._noise + b"\0" + frame(asked[0] | 0x80, asked[1], payload)

    def close(self) -> None:
        pass


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    error: DeviceError | None = None
    try:
        yield
    except DeviceError as raised:
        error = raised
    assert error is None or (str(error).startswith("board: ") and "\n" not in str(error))


@given(st.sampled_from(REQUESTS), st.lists(PAYLOADS, max_size=3), st.binary(max_size=40))
@settings(deadline=None)
def test_any_answer(request_: messages.Request[object], payloads: list[bytes], noise: bytes) -> None:
    with one_line():
        Link(AnsweringPipe(payloads, noise), "board").ask(request_, patience_s=0.002)


@given(st.lists(PAYLOADS, max_size=6), st.binary(max_size=40))
@settings(deadline=None)
def test_any_answer_to_hello(payloads: list[bytes], noise: bytes) -> None:
    with one_line():
        Link(AnsweringPipe(payloads, noise), "board").hello(patience_s=0.002)


WRITES = st.tuples(st.sampled_from([0, 4, 5]), st.integers(0, 6000)).map(
    lambda answer: bytes([answer[0]]) + answer[1].to_bytes(4, "little")
)


@given(st.lists(WRITES, max_size=20))
@settings(deadline=None, max_examples=50)
def test_any_answers_to_writes(payloads: list[bytes]) -> None:
    """Whatever the board claims to have, the transfer ends; and only what was sent can be acknowledged."""
    link = Link(StandInPipe(StandInBoard()), "board")
    link.hello()
    link._pipe = AnsweringPipe([b"\0\0\0\0\0", *payloads], b"")
    done: list[int] = []
    with one_line():
        link.send(bytes(5000), lambda reached, total: done.append(reached))
    assert all(0 <= reached <= 5000 for reached in done)
