# SPDX-License-Identifier: Apache-2.0
"""stdin, stdout and stderr where a service, a GUI or a shell (`>&-`) started the program without them.

A closed stdout is the caller's choice: text for people goes nowhere, exit 0. A result that was asked for with --json
and cannot be given is an error, exit 1: at once where stdout is closed, when it is written where the disk is full.
A pipe whose reader has ended takes no more text: exit 1 without a word, as programs on a pipe do.

While the program runs, stdout and stderr let nothing through that acts on a terminal (`guard`), whoever writes: names
of files and classes, what boards say, tracebacks, warnings and loggers of libraries. Only rich, in `output`, writes
past it: it draws with such characters, and gets texts that are plain.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from edgenas.errors import EdgenasError
from firmware_tools.plain_text import plain

_STREAMS = ((0, "stdin", "r", os.O_RDONLY), (1, "stdout", "w", os.O_WRONLY), (2, "stderr", "w", os.O_WRONLY))
_LAYOUT = "\n\t"
_closed: set[str] = set()


class PlainStream:
    """A stream that writes texts made plain; in all else it is `unguarded`, the stream that it guards."""

    def __init__(self, unguarded: TextIO) -> None:
        self.unguarded = unguarded

    def write(self, text: str) -> int:
        """Write `text`, of which line ends and tabs alone act. Raises what the guarded stream raises."""
        self.unguarded.write(plain(text, _LAYOUT))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


def guard() -> None:
    """Let stdout and stderr write plain text only, from now on. Twice is once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, PlainStream):
            if isinstance(stream, io.TextIOWrapper):  # its encoding may lack a letter: no reason to stop
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, cast("TextIO", PlainStream(stream)))


@contextmanager
def guarded() -> Iterator[None]:
    """`guard` for the length of the block."""
    before = sys.stdout, sys.stderr
    guard()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unguarded(stream: TextIO) -> TextIO:
    """The stream itself, for what draws with control characters and has made all texts plain."""
    return stream.unguarded if isinstance(stream, PlainStream) else stream


def repair() -> None:
    """Open each of descriptors 0 to 2 that is closed on the null device, before anything else is opened.

    The system gives a new file the lowest free number: without this, a database would be descriptor 1, and whatever a
    library or a child process prints would be written into it.
    """
    for number, name, mode, flags in _STREAMS:
        if not _is_open(number):
            _open_null(number, flags)
            _closed.add(name)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  a descriptor
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def stdout_is_closed() -> bool:
    """Whether the program was started without a stdout."""
    return "stdout" in _closed


@contextmanager
def printing() -> Iterator[None]:
    """While nothing else is done than to print on stdout. Raises EdgenasError if stdout takes no more."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a reader that is gone or a full disk is an error that can be handled
    except BrokenPipeError:
        raise  # see `reader_is_gone`
    except OSError as error:
        _throw_away(sys.stdout)
        raise EdgenasError(f"stdout: the result cannot be written ({error.strerror}): send it elsewhere") from error


def reader_is_gone() -> bool:
    """Whether nobody reads stdout any more; if so, what is still buffered is thrown away without a word."""
    try:
        ready = select.poll()
        ready.register(sys.stdout.fileno(), select.POLLOUT)
        gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in ready.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll on this system, or stdout is no file
        return False
    if gone:
        _throw_away(sys.stdout)
    return gone


def settle() -> None:
    """Throw away what stdout and stderr do not take, so that Python's end does not complain and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _throw_away(stream)


def _throw_away(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        _open_null(stream.fileno(), os.O_WRONLY)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_null(number: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)  # for child processes, as the other two are
