# SPDX-License-Identifier: Apache-2.0
"""Doing what a plan says: programs run one after the other, files are written to a bootloader's drive."""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firmware_tools import children
from firmware_tools.bootloader.way import Command, FileWrite, Plan
from firmware_tools.errors import FlashError, FlashUsageError
from firmware_tools.foreign_text import telling

_LIMIT_S = 900.0  # 8 MiB at 115200 baud take 12 minutes
_END_TIMEOUT_S = 1.0  # an interrupted command ends within two seconds
_TAIL_BYTES = 2000
_PIECE_BYTES = 32 * 1024
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO)
_MARK = "INFO_UF2.TXT"  # every UF2 bootloader's drive has it


def run(plan: Plan, said: Callable[[bytes], None], limit_s: float = _LIMIT_S) -> None:
    """Do the steps in order; `said` gets what the programs print, as it comes. A step may take `limit_s` seconds.

    An interrupt ends the program that runs. Raises FlashError if one fails, with the last line that it said.
    """
    for step in plan.steps:
        if isinstance(step, Command):
            _run(step, said, limit_s)
        else:
            _write(step, plan.before)


def _run(step: Command, said: Callable[[bytes], None], limit_s: float) -> None:
    name = Path(step.arguments[0]).name
    with _started(step) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.fileno(), process.stderr.fileno()
        tails = _relayed((out, err), said, limit_s)
        late = tails is None
        code = None if late else process.wait()
    if code == 0:
        return
    # What went wrong is on stderr, if anything is there: stdout's last line is often the last thing that went well.
    last = _told(tails[err]) or _told(tails[out]) if tails else ""
    ended = f"did not end within {limit_s:g} s: end what holds it and repeat" if late else f"failed (exit {code})"
    raise FlashError(f"{name} {ended}{last and ': '}{last}", command=shlex.join(step.arguments), exit=code)


def _relayed(files: tuple[int, int], said: Callable[[bytes], None], limit_s: float) -> dict[int, bytes] | None:
    """Hand on what comes until all `files` end, and return the end of each; None if that takes too long."""
    tails = dict.fromkeys(files, b"")
    deadline = time.monotonic() + limit_s
    with selectors.DefaultSelector() as ready:
        for file in files:
            ready.register(file, selectors.EVENT_READ)
        while ready.get_map():
            events = ready.select(max(0.0, deadline - time.monotonic()))
            if not events:
                return None
            for key, _ in events:
                data = os.read(key.fd, 65536)
                if not data:
                    ready.unregister(key.fd)
                    continue
                said(data)
                tails[key.fd] = (tails[key.fd] + data)[-_TAIL_BYTES:]
    return tails


def _told(tail: bytes) -> str:
    return telling(tail.decode("utf-8", "replace"))


@contextmanager
def _started(step: Command) -> Iterator[subprocess.Popen[bytes]]:
    """The program; stopped, if the block ends before it does."""
    try:
        pipe = subprocess.PIPE
        process = children.start(step.arguments, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise FlashError(f"cannot start {step.arguments[0]} ({error.strerror}): install it anew") from error
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            children.kill(process)
        for file in (process.stdout, process.stderr):
            assert file is not None
            file.close()


def _write(step: FileWrite, before: str | None) -> None:
    """Write the file in place, not beside it: a bootloader flashes blocks as they come, whatever the file's name."""
    if step.folder is None:
        hint = f"{before}, " if before else ""
        raise FlashError(
            f"no drive {step.label} is mounted: {hint}mount it, or name its folder with --drive", label=step.label
        )
    if not (step.folder / _MARK).is_file():
        raise FlashUsageError(
            f"{step.folder} holds no {_MARK}: it is not the drive of a UF2 bootloader, name that with --drive",
            folder=str(step.folder),
        )
    path = step.folder / step.name
    try:
        _hand_over(path, step.data)
    except BaseException as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        message = f"{path} cannot be written ({error.strerror}): plug the board in again and repeat"
        raise FlashError(message, path=str(path)) from error


def _hand_over(path: Path, data: bytes) -> None:
    """Write `data` to a drive, piece by piece and each through to the board. Raises OSError."""
    # A drive that is no FAT may hold a link of this name, which leads to a file of the user's, or a pipe.
    nowhere_else = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_SYNC | nowhere_else, 0o644)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest[:_PIECE_BYTES]) :]
    except OSError as error:
        # The board restarts as soon as it has the last block, and its drive is gone before the folder is written.
        if len(rest) > _PIECE_BYTES or error.errno not in _GONE:
            raise
    finally:
        with suppress(OSError):
            os.close(file)
