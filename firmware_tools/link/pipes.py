# SPDX-License-Identifier: Apache-2.0
"""Where bytes go: a serial port, or the stdin and stdout of a process that is a board."""

from __future__ import annotations

import errno
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from firmware_tools import children
from firmware_tools.answers.streams import Mailbox, Tail
from firmware_tools.errors import DeviceBusyError, DeviceError, DeviceLostError, EmulatorError

DEFAULT_BAUD = 115200
_POLL_S = 0.02
_WRITE_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 5.0
_TAIL_BYTES = 100
_CHUNK_BYTES = 64 << 10
_CHUNKS_AHEAD = 16  # of what a process prints before it is read


class Pipe(Protocol):
    """Bytes to and from one board. `baud` is the line's speed (10 bits a byte), None where nothing limits it."""

    @property
    def baud(self) -> int | None:
        """Bits per second."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """What has come, at once if something has, b"" if nothing comes in time. Raises DeviceLostError at the end."""
        ...

    def write(self, data: bytes) -> None:
        """Send all. Raises DeviceLostError if the other end is gone or takes nothing."""
        ...

    def close(self) -> None:
        """Let go. Closing twice is harmless."""
        ...


class SerialPipe:
    """A serial port (or a pty), for this program alone: 8 data bits, no parity, 1 stop bit, no flow control.

    Raises DeviceBusyError if another program has it, DeviceLostError if there is none of this name, DeviceError if the
    user may not open it or it refuses the speed.
    """

    def __init__(self, path: str, baud: int = DEFAULT_BAUD) -> None:
        import serial

        self._path, self._baud = path, baud
        self._errors: tuple[type[Exception], ...] = (serial.SerialException, OSError)
        self._full: type[Exception] = serial.SerialTimeoutException
        try:
            self._port: Any = serial.Serial(path, baud, timeout=_POLL_S, write_timeout=_WRITE_TIMEOUT_S, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise _not_opened(path, baud, error) from error

    @property
    def baud(self) -> int | None:
        """Bits per second."""
        return self._baud

    def read(self, timeout_s: float) -> bytes:
        """What has come."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                # Setting another time-out for each call would set up the port anew each time.
                data: bytes = self._port.read(1)
                if data:
                    return data + bytes(self._port.read(self._port.in_waiting))
                if time.monotonic() >= deadline:
                    return b""
        except self._errors as error:
            raise self._unplugged(error) from error

    def write(self, data: bytes) -> None:
        """Send all."""
        try:
            self._port.write(data)
        except self._full as error:
            message = f"{self._path}: takes no bytes for {_WRITE_TIMEOUT_S:g} s: plug the board off and on"
            raise DeviceLostError(message, path=self._path) from error
        except self._errors as error:
            raise self._unplugged(error) from error

    def close(self) -> None:
        """Let go of the port."""
        with suppress(*self._errors):
            self._port.close()

    def _unplugged(self, error: Exception) -> DeviceLostError:
        message = f"{self._path}: the board was unplugged, or the port closed: plug it in and run the command again"
        return DeviceLostError(message, path=self._path, reason=str(error))


def _not_opened(path: str, baud: int, error: Exception) -> DeviceError:
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return DeviceBusyError(
            f"{path}: another program has the port open: close it (a terminal? `fuser {path}` names it)", path=path
        )
    if number in (errno.EACCES, errno.EPERM):
        message = f"{path}: permission denied: add yourself to the group dialout (sudo adduser $USER dialout)"
        return DeviceError(f"{message} and log in again", path=path)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return DeviceLostError(f"{path}: no such port{_ports()}: plug the board in and name its port", path=path)
    if isinstance(error, ValueError):
        message = f"{path}: the port refuses {baud} baud: choose 115200, or what the board's firmware was built for"
        return DeviceError(message, path=path, baud=baud)
    return DeviceError(f"{path}: cannot be opened as a serial port ({error}): name another port", path=path)


def _ports() -> str:
    from serial.tools import list_ports

    names = sorted(port.device for port in list_ports.comports())
    return f" (there are: {', '.join(names)})" if names else " (there is none)"


class ProcessPipe:
    """Starts a process whose stdin and stdout are the line, and ends it at close: a board built for this computer.

    `name` stands in the messages, `pass_fds` are files that the process keeps open: a lock.
    Raises EmulatorError if it does not start.
    """

    def __init__(self, command: Sequence[str], name: str, pass_fds: Sequence[int] = ()) -> None:
        self._name = name
        try:
            self._process = children.start(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=tuple(pass_fds),
            )
        except OSError as error:
            message = f"{name}: cannot start {command[0]} ({error.strerror}): install it, or name another"
            raise EmulatorError(message, command=list(command)) from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._arrived: Mailbox[bytes] = Mailbox(_CHUNKS_AHEAD)
        self._tail = Tail(_TAIL_BYTES)
        self._streams = (self._process.stdout, self._process.stderr)
        self._readers = (
            threading.Thread(target=self._read_all, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def baud(self) -> int | None:
        """None: as fast as the process is."""
        return None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def read(self, timeout_s: float) -> bytes:
        """What has come."""
        try:
            data = self._arrived.get(timeout_s)
        except queue.Empty:
            return b""
        if not data:
            self._arrived.put(b"")  # for the next call
            raise self._ended()
        return data

    def write(self, data: bytes) -> None:
        """Send all. It blocks only behind 64 KiB that the process did not read, more than a Link ever has under way."""
        assert self._process.stdin is not None
        try:
            rest = memoryview(data)
            while rest:  # a signal may end a write early
                rest = rest[self._process.stdin.write(rest) or 0 :]
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def close(self) -> None:
        """Close its stdin, which ends a board; kill it if it does not end."""
        assert self._process.stdin is not None
        if self._process.stdin.closed and self._process.returncode is not None:
            return
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._arrived.close()
            children.kill(self._process)
            for reader, stream in zip(self._readers, self._streams, strict=True):
                reader.join(_END_TIMEOUT_S)
                if not reader.is_alive():  # else a child of the process has it
                    stream.close()

    def _ended(self) -> DeviceLostError:
        with suppress(subprocess.TimeoutExpired):  # its output ends a moment before it does
            self._process.wait(1.0)
        self._readers[1].join(1.0)
        words = " ".join(bytes(self._tail).decode("utf-8", "replace").split())
        message = f"{self._name}: the board's process ended (exit {self._process.returncode}; {words or 'silently'})"
        return DeviceLostError(f"{message}: start it again", exit=self._process.returncode, stderr=words)

    def _read_all(self) -> None:
        with suppress(OSError, ValueError):
            while (data := self._streams[0].read(_CHUNK_BYTES)) and self._arrived.put(data):
                pass
        self._arrived.put(b"")

    def _read_errors(self) -> None:
        with suppress(OSError, ValueError):
            while data := self._streams[1].read(_CHUNK_BYTES):
                self._tail.add(data)
