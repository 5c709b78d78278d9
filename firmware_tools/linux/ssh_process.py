# SPDX-License-Identifier: Apache-2.0
"""A program that runs at the other end of an SSH connection, with the blocking streams of a child process."""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from contextlib import suppress
from typing import IO, cast

import asyncssh

from firmware_tools.linux.ssh_command import ERROR_MARK, MARK

_BUFFER_BYTES = 64 << 10
_MAX_WAITING_BYTES = 1 << 20  # that were not read yet: the channel holds the program back
_END_TIMEOUT_S = 5.0
_MARKS = {None: MARK, asyncssh.EXTENDED_DATA_STDERR: ERROR_MARK}


class _Flow:
    """Holds a channel back while too much of what came over it was not read yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._held = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, channel: asyncssh.SSHClientChannel[bytes]) -> None:
        self._loop, self._channel = asyncio.get_running_loop(), channel

    def add(self, count: int) -> None:
        """So many bytes came; a negative number: they were read."""
        with self._lock:
            self._waiting += count
            hold = self._waiting > _MAX_WAITING_BYTES
            if hold == self._held or self._loop is None or self._loop.is_closed():
                return
            self._held = hold
            change = self._channel.pause_reading if hold else self._channel.resume_reading
            self._loop.call_soon_threadsafe(change)


class Session(asyncssh.SSHClientSession[bytes]):
    """What asyncssh calls, on its loop's thread, with what the program prints after the marks of `ssh_command`.

    `begun` is set at the mark on stdout, and when the program ends without one: then `runs` is false, and
    `printed_before` is what the account's start-up files printed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._flow = _Flow()
        self.stdout, self.stderr = _Output(self._flow), _Output(self._flow)
        self.begun = asyncio.Event()
        self.ended = threading.Event()
        self._before = dict.fromkeys(_MARKS, b"")  # of the streams without a mark so far

    @property
    def runs(self) -> bool:
        """Whether the program itself was started."""
        return None not in self._before

    @property
    def printed_before(self) -> bytes:
        """What came before the program was started; nothing once it was."""
        return b"\n".join(self._before.values())

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open."""
        self._flow.open(chan)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Bytes of stdout, or of stderr."""
        if datatype in self._before:
            before, mark, data = (self._before[datatype] + data).partition(_MARKS[datatype])
            if not mark:
                self._before[datatype] = before[-_BUFFER_BYTES:]
                return
            del self._before[datatype]
            if datatype is None:
                self.begun.set()
        if data:
            (self.stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self.stdout).put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The program ended, or it cannot be heard any more: the same, but for the last line on its stderr."""
        self.begun.set()
        self.ended.set()
        if exc is not None:
            self.stderr.put(f"the connection to {self._name} was lost: {exc}\n".encode("utf-8", "replace"))
        for stream in (self.stdout, self.stderr):
            stream.put(b"")


class Process:
    """`stdin`, `stdout` and `stderr` are blocking binary streams; writing never waits for the program to read.

    A context manager that ends the program, by the end of its stdin.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: asyncssh.SSHClientChannel[bytes], session: Session
    ) -> None:
        self._loop, self._channel, self._session = loop, channel, session
        self.stdin = cast(IO[bytes], _Input(loop, channel, session))
        self.stdout = cast(IO[bytes], io.BufferedReader(session.stdout, _BUFFER_BYTES))
        self.stderr = cast(IO[bytes], io.BufferedReader(session.stderr, _BUFFER_BYTES))

    def wait(self, timeout_s: float) -> int | None:
        """The exit status once the program has ended; None if the connection ended first. Raises TimeoutError."""
        if not self._session.ended.wait(timeout_s):
            raise TimeoutError(f"the program still runs after {timeout_s:g} s")
        return self._channel.get_returncode()

    def repeat(self, data: bytes, every_s: float) -> None:
        """Write `data` to stdin now and every `every_s` seconds, until stdin is closed or the program has ended."""

        def write() -> None:
            if not self.stdin.closed and not self._channel.is_closing():
                with suppress(BrokenPipeError):  # closed just now
                    self._channel.write(data)
                    self._loop.call_later(every_s, write)

        self._loop.call_soon_threadsafe(write)

    def kill(self) -> None:
        """End the program if it runs: by a signal, where the board's SSH server passes one on, and by stdin's end."""
        if self._session.ended.is_set() or self._loop.is_closed():
            return

        def kill() -> None:
            if not self._channel.is_closing():
                self._channel.kill()
                self._channel.close()

        self._loop.call_soon_threadsafe(kill)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdin.close()
        # A command that dropbear gets while another one ends may fail.
        with suppress(TimeoutError):
            self.wait(_END_TIMEOUT_S)
        self.kill()


class _Input(io.RawIOBase):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: asyncssh.SSHClientChannel[bytes], session: Session
    ) -> None:
        self._loop, self._channel, self._session = loop, channel, session

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self._session.ended.is_set() or self._loop.is_closed():
            raise BrokenPipeError("the program has ended")
        self._loop.call_soon_threadsafe(self._send, bytes(data))
        return len(data)

    def _send(self, data: bytes) -> None:
        if not self._channel.is_closing():  # if it is, its end is on the way to the streams
            self._channel.write(data)

    def close(self) -> None:
        if not self.closed and not self._session.ended.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)
        super().close()

    def _end(self) -> None:
        if not self._channel.is_closing():
            self._channel.write_eof()


class _Output(io.RawIOBase):
    """What `put` got, b"" at the end, as a stream of another thread's."""

    def __init__(self, flow: _Flow) -> None:
        self._flow = flow
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def put(self, data: bytes) -> None:
        self._flow.add(len(data))
        self._chunks.put(data)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest and not self._ended:
            self._rest = memoryview(self._chunks.get())
            self._ended = not self._rest
            self._flow.add(-len(self._rest))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
