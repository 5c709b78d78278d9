# SPDX-License-Identifier: Apache-2.0
"""Boards and lines that lie: random changes of recorded conversations, each decided by its seed.

Each of TRIES is one try: it ends, and raises AssertionError, or what the host's side must not, only for a fault there.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from firmware_tools.errors import DeviceError, ProtocolError
from firmware_tools.link import messages, session, transfer, wire
from firmware_tools.link.frames import Frame, Receiver
from firmware_tools.link.session import Link
from helpers.link.faulty_pipe import Faults, FaultyPipe
from helpers.link.frame_vectors import frame
from helpers.link.standin_board import StandInBoard, StandInPipe, unstuffed

PLAN = random.Random(11).randbytes(3003)
DIGEST = hashlib.sha256(PLAN).digest()
REQUESTS: tuple[messages.Request[object], ...] = (
    messages.Hello(),
    messages.Status(),
    messages.Begin(len(PLAN), DIGEST),
    messages.Write(0, b"data"),
    messages.Verify(),
    messages.Discard(),
    messages.Commit(DIGEST),
    messages.Rollback(),
    messages.Select(staged=True),
    messages.Input(0, b"data"),
    messages.Run(2),
    messages.Profile(0),
    messages.Output(0, 4),
    messages.Memory(),
    messages.Fault(),
    messages.Reset(),
)


@contextmanager
def impatient() -> Iterator[None]:
    """What does not come at once does not come: the boards here answer at once."""
    with (
        mock.patch.multiple(session, _THINKING_S=0.0005, _LONGEST_WAIT_S=0.0005),
        mock.patch.multiple(transfer, _LONGEST_WAIT_S=0.0005, _PATIENCE_S=0.02),
    ):
        yield


class _Recorder(StandInPipe):
    """Keeps what the board said."""

    heard = b""

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        self.heard += data
        return data


def _converse(link: Link) -> None:
    """One of everything that a host says."""
    hello = link.hello(patience_s=0.01)
    link.send(PLAN)
    link.ask(messages.Verify(), 0.01)
    link.ask(messages.Status(hello.slots), 0.01)
    sizes = link.ask(messages.Select(staged=True), 0.01)
    link.set_input(bytes(min(sizes.input_bytes, 4096)))
    link.ask(messages.Run(1), 0.01)
    link.profile(min(sizes.operators, 64), 0.01)
    link.get_output(min(sizes.output_bytes, 4096))
    link.ask(messages.Memory(), 0.01)
    link.ask(messages.Fault(), 0.01)
    link.ask(messages.Commit(DIGEST), 0.01)


def _recorded() -> bytes:
    pipe = _Recorder(StandInBoard())
    _converse(Link(pipe, "board"))
    return pipe.heard


_HEARD = _recorded()
_ANSWERS = [unstuffed(block) for block in _HEARD.split(b"\0") if block]


def mutated(data: bytes, rng: random.Random, most: int = 4) -> bytes:
    """`data` with a few bytes changed, gone, doubled, new, cut off, or a piece of the recording put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(0, most)):
        at, to = rng.randint(0, len(changed)), rng.randint(0, len(changed))
        what = rng.randrange(6)
        if what == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(changed):
            changed[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF))
        elif what == 2:
            del changed[min(at, to) : max(at, to)]
        elif what == 3:
            changed[at:at] = rng.randbytes(rng.randint(1, 9))
        elif what == 4:
            changed[at:at] = changed[min(at, to) : max(at, to)][:300]
        else:
            place = rng.randrange(len(_HEARD))
            changed[at:at] = _HEARD[place : place + rng.randint(1, 200)]
    return bytes(changed)


def _reference(stream: bytes) -> list[Frame]:
    """What a receiver has to find, said in the plainest way."""
    found = []
    for block in stream.split(b"\0")[:-1]:
        at = 0
        while at < len(block):
            at += block[at]
        data = unstuffed(block)
        if (
            block
            and at == len(block)
            and len(data) >= 6
            and zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
        ):
            found.append(Frame(data[0], data[1], data[2:-4]))
    return found


def frames(rng: random.Random) -> None:
    """A changed recording in pieces: the receiver finds the frames that are there, and holds no more than one."""
    stream = mutated(_HEARD, rng, 40)
    receiver, found, at = Receiver(2048), [], 0
    while at < len(stream):
        piece = rng.randint(1, 3000)
        found += receiver.feed(stream[at : at + piece])
        assert len(receiver._partial) < 2200
        at += piece
    assert found == _reference(stream)


def _check_one_line(error: DeviceError, name: str = "") -> None:
    assert error.message.startswith(name), error.message
    assert "\n" not in error.message, error.message


def answers(rng: random.Random) -> None:
    """A changed answer is understood, or refused by a ProtocolError of one line."""
    request = rng.choice(REQUESTS)
    kept = [answer for answer in _ANSWERS if answer[0] == request.kind | wire.ANSWER] or [rng.randbytes(60)]
    body = mutated(rng.choice(kept)[3:-4], rng)
    try:
        request.parse(body)
    except ProtocolError as error:
        _check_one_line(error)


class _Liar(StandInPipe):
    """Frames that are whole, as often as not with another answer than the board's."""

    def __init__(self, board: StandInBoard, rng: random.Random) -> None:
        super().__init__(board)
        self._rng, self._kept = rng, b""

    def read(self, timeout_s: float) -> bytes:
        said, rng = [block for block in super().read(timeout_s).split(b"\0") if block], self._rng
        lies = [self._changed(unstuffed(block)[:-4]) if rng.random() < 0.1 else block + b"\0" for block in said]
        if len(lies) > 1 and rng.random() < 0.2:
            rng.shuffle(lies)
        if lies and rng.random() < 0.1:
            lies.append(rng.choice(lies))  # said twice
        if lies and rng.random() < 0.1:
            self._kept, lies[0] = lies[0], self._kept  # said later, or never
        return b"".join(lies)

    def _changed(self, data: bytes) -> bytes:
        kind, sequence = (data[0], data[1]) if self._rng.random() < 0.9 else self._rng.randbytes(2)
        return frame(kind, sequence, mutated(data[2:], self._rng))


def _ends_in_one_line(link: Link) -> bool:
    """Whether the conversation came to its end."""
    try:
        _converse(link)
    except DeviceError as error:
        _check_one_line(error, "board: ")
        return False
    return True


def _works_again(board: StandInBoard) -> None:
    board.announced, board.slot = (0, b""), bytearray()
    link = Link(StandInPipe(board), "board")
    _converse(link)
    assert board.active == PLAN


def noise(rng: random.Random) -> None:
    """A line that hurts bytes: what ends well is right; afterwards a whole line works."""
    board, chance = StandInBoard(), rng.choice((1e-4, 1e-3, 1e-2))
    faults = Faults(*(chance if rng.random() < 0.5 else 0 for _ in range(4)))
    if _ends_in_one_line(Link(FaultyPipe(StandInPipe(board), faults, rng.randrange(1 << 30)), "board")):
        assert board.active == PLAN
    _works_again(board)


def lies(rng: random.Random) -> None:
    """A board that answers nonsense in whole frames: it ends, in one line; afterwards an honest one works."""
    board = StandInBoard()
    _ends_in_one_line(Link(_Liar(board, rng), "board"))
    _works_again(board)


TRIES: dict[str, Callable[[random.Random], None]] = {
    function.__name__: function for function in (frames, answers, noise, lies)
}
