"""stdin, stdout and stderr where a service, a GUI or a shell (`>&-`) started the program without them.

A closed stdout is the caller's choice: text for people goes nowhere, exit 0. A result that was asked for with --json
and cannot be given is an error, exit 1: at once where stdout is closed, when it is written where the disk is full.
A pipe whose reader has ended takes no more text: exit 1 without a word, as programs on a pipe do.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from edgenas.errors import EdgenasError

_STREAMS = ((0, "stdin", "r", os.O_RDONLY), (1, "stdout", "w", os.O_WRONLY), (2, "stderr", "w", os.O_WRONLY))
_closed: set[str] = set()


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
