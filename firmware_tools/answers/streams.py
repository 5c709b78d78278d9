# SPDX-License-Identifier: Apache-2.0
"""Bytes that come from a board, as many as are kept and no more, however many it sends."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Generic, TypeVar

T = TypeVar("T")

MAX_LINE_BYTES = 32 << 20  # of an answer; the longest holds a model's outputs for all golden inputs, in base64
_CHUNK_BYTES = 64 << 10


class Mailbox(Generic[T]):
    """A queue of at most `most` items from one thread to another: who puts one waits for room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T, timeout_s: float | None = None) -> bool:
        """Wait for room and add `item`; False, without it, if there is none in time or the box is closed."""
        with self._changed:
            room = self._changed.wait_for(lambda: self._closed or len(self._items) < self._most, timeout_s)
            if self._closed or not room:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T:
        """The next item. Raises queue.Empty if there is none in time, or none left in a closed box."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items, timeout_s)
            if not self._items:
                raise queue.Empty
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Take no more; who waits goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Tail:
    """The end of what a program printed, `most` bytes, one at least."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, b""

    def add(self, data: bytes) -> None:
        """More of it."""
        self._bytes = (self._bytes + data)[-self._most :]

    def __bytes__(self) -> bytes:
        return self._bytes

    def lines(self, most: int) -> list[str]:
        """The last `most` lines that hold something."""
        lines = [line.strip() for line in self._bytes.decode("utf-8", "replace").splitlines()]
        return [line for line in lines if line][-most:]


class Deadline:
    """An end that is set once, for all that a board may say meanwhile."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds, 0 once it is over."""
        return max(0.0, self._end - time.monotonic())


def read_lines(stream: IO[bytes], lines: Mailbox[bytes | None], most: int = MAX_LINE_BYTES) -> None:
    """Put each line of `stream` into `lines` and None behind the last one, or behind one of more than `most` bytes.

    That one is put too, without its end; what follows it is dropped. Returns at the stream's end.
    """
    with suppress(OSError, ValueError):
        while (line := stream.readline(most)) and lines.put(line) and line.endswith(b"\n"):
            pass
    lines.put(None)
    read_all(stream, Tail(1))


def read_all(stream: IO[bytes], tail: Tail) -> None:
    """Read `stream` to its end and keep the end of it."""
    with suppress(OSError, ValueError):
        while data := stream.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]
            tail.add(data)


def write_all(stream: IO[bytes], data: Mailbox[bytes], failed: Callable[[], object]) -> None:
    """Write what comes from `data` until it is closed, then close `stream`; call `failed` if nobody reads it."""
    try:
        with suppress(queue.Empty):
            while True:
                stream.write(data.get())
                stream.flush()
    except (OSError, ValueError):
        failed()
    with suppress(OSError):  # bytes that a dead program did not take
        stream.close()
