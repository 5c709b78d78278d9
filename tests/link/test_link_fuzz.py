# SPDX-License-Identifier: Apache-2.0
"""Whatever a board answers, the host's side ends, and ends in a DeviceError of one line or in an answer."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest
from helpers.link import link_adversary
from helpers.link.frame_vectors import frame
from helpers.link.standin_board import StandInBoard, StandInPipe, unstuffed
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.errors import DeviceError
from firmware_tools.link import messages
from firmware_tools.link.session import Link

PAYLOADS = st.one_of(st.binary(max_size=90), st.binary(max_size=90).map(lambda data: b"\0" + data))


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    with link_adversary.impatient(), pytest.MonkeyPatch.context() as patch:
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


@given(st.sampled_from(link_adversary.REQUESTS), st.lists(PAYLOADS, max_size=3), st.binary(max_size=40))
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


@pytest.mark.parametrize(("name", "tries"), [("frames", 60), ("answers", 2000), ("noise", 30), ("lies", 40)])
def test_changed_conversations(name: str, tries: int) -> None:
    """`make campaign-fuzz` is the long run."""
    for number in range(tries):
        link_adversary.TRIES[name](random.Random(f"{name} 0 {number}"))
