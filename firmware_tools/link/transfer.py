# SPDX-License-Identifier: Apache-2.0
"""Many WRITEs under way at once, go-back-N: the line is never idle, and a lost frame costs one window."""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass
from typing import Protocol

from firmware_tools.answers.streams import Deadline
from firmware_tools.device import Progress
from firmware_tools.errors import DeviceError, DeviceLostError, ProtocolError
from firmware_tools.link.frames import Frame, line_bytes
from firmware_tools.link.messages import Write
from firmware_tools.link.status_errors import Code
from firmware_tools.link.wire import Kind

_WRITE_UNIT = 8  # flash is written in units of 8 bytes: only the last piece may end within one
_OFFSET_BYTES = 4
_MAX_UNDER_WAY = 128  # sequences are bytes; an answer to an old one must not look like one to a new one
_PATIENCE_S = 10.0
_FEWEST_TRIES = 4
_LONGEST_WAIT_S = 8.0
_WHOLE_S = 600.0  # a whole transfer may take this,
_SLOWER = 20  # and so many times as long as its bytes on a line that loses nothing


@dataclass(frozen=True)
class TransferStats:
    """How a transfer went: where it began, the plan's bytes, how often it went back for a lost frame."""

    resumed_from: int
    total: int
    went_back: int


class Line(Protocol):
    """What a transfer needs of the link that it goes over; `firmware_tools.link.session.Link` says what each does."""

    name: str

    @property
    def max_payload(self) -> int:
        """Bytes."""

    def post(self, kind: int, payload: bytes) -> int:
        """Send a request without waiting; its sequence."""

    def wait(self, kind: int, sequences: Container[int], timeout_s: float) -> Frame | None:
        """The next answer to any of `sequences`, or None."""

    def answer_time_s(self, sent_bytes: int) -> float:
        """How long an answer to the last of `sent_bytes` may take."""

    def reopen_line(self) -> None:
        """End whatever the board holds of the line."""

    def refused(self, kind: int, code: int, body: bytes) -> DeviceError:
        """The exception for an answer's status."""

    def silent(self, doing: str, seconds: float, tries: int) -> DeviceLostError:
        """The exception for a board that answers no more."""


def transfer(link: Line, window: int, data: bytes, offset: int, progress: Progress | None) -> TransferStats:
    """Send `data` from `offset` on, after BEGIN. Raises NothingStagedError if the board has forgotten the BEGIN."""
    return _Transfer(link, window, data, offset, progress).run()


class _Transfer:
    def __init__(self, link: Line, window: int, data: bytes, offset: int, progress: Progress | None) -> None:
        self._link, self._data, self._progress = link, data, progress
        self._window = min(window, _MAX_UNDER_WAY)
        self._piece = (link.max_payload - _OFFSET_BYTES) // _WRITE_UNIT * _WRITE_UNIT
        self._resumed_from = offset
        self._done = offset  # what the board has
        self._most = offset  # that it ever had
        self._next = offset  # what is sent next
        self._under_way: dict[int, int] = {}  # sequence -> offset, in order of sending
        self._timeout_s = link.answer_time_s(self._window * line_bytes(self._piece + _OFFSET_BYTES))
        self._wait_s = self._timeout_s
        self._went_back, self._tries, self._last_progress = 0, 0, time.monotonic()
        self._whole_s = _WHOLE_S + _SLOWER * link.answer_time_s(len(data))
        self._end = Deadline(self._whole_s)

    def run(self) -> TransferStats:
        if self._progress is not None:
            self._progress(self._done, len(self._data))
        while self._done < len(self._data):
            if not self._end.left_s:
                raise self._lost(f"the transfer of {len(self._data)} bytes", self._whole_s)
            self._fill()
            answer = self._link.wait(Kind.WRITE, self._under_way, self._wait_s)
            if answer is None:
                self._wait_s = max(self._wait_s, min(2 * self._wait_s, _LONGEST_WAIT_S))
                self._link.reopen_line()
                self._go_back()
            else:
                self._take(answer)
        return TransferStats(self._resumed_from, len(self._data), self._went_back)

    def _fill(self) -> None:
        while self._next < len(self._data) and len(self._under_way) < self._window:
            piece = self._data[self._next : self._next + self._piece]
            self._under_way[self._link.post(Kind.WRITE, Write(self._next, piece).pack())] = self._next
            self._next += len(piece)

    def _take(self, answer: Frame) -> None:
        code, body = answer.payload[0], answer.payload[1:]
        if code not in (Code.OK, Code.WRONG_OFFSET):
            raise self._link.refused(Kind.WRITE, code, body)
        expected = int.from_bytes(body[:4], "little")
        if len(body) < _OFFSET_BYTES or expected > self._next:
            message = f"{self._link.name}: WRITE is answered with offset {expected}, {self._next} bytes were sent"
            raise ProtocolError(f"{message}: report this bug", offset=expected)
        # The board answers in order: whatever was sent before this one is answered, or lost.
        for sequence in list(self._under_way):
            del self._under_way[sequence]
            if sequence == answer.sequence:
                break
        advanced = expected > self._most
        self._done, self._most = expected, max(self._most, expected)
        if advanced:
            self._tries, self._wait_s, self._last_progress = 0, self._timeout_s, time.monotonic()
            if self._progress is not None:
                self._progress(self._done, len(self._data))
        if code == Code.WRONG_OFFSET and expected not in self._under_way.values():
            self._go_back()

    def _go_back(self) -> None:
        self._under_way.clear()
        self._next = self._done
        self._went_back += 1
        self._tries += 1
        seconds = time.monotonic() - self._last_progress
        if self._tries >= _FEWEST_TRIES and seconds > max(_PATIENCE_S, _FEWEST_TRIES * self._timeout_s):
            raise self._lost(f"WRITE at {self._done} of {len(self._data)} bytes", seconds)

    def _lost(self, doing: str, seconds: float) -> DeviceLostError:
        lost = self._link.silent(doing, seconds, self._tries)
        return DeviceLostError(f"{lost.message}, and the transfer goes on where it was", **lost.fields)
