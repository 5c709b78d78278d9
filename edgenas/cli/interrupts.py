# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGHUP end the program within two seconds, whatever it is doing.

The first one raises KeyboardInterrupt in the main thread, so that all that is open closes. Three things can get in its
way, and a thread looks after them: code that swallows the exception because nobody above it can be told (a callback of
a C library, a destructor), code that catches it, and C code that is not left in time. What was swallowed is raised
again. Whatever else holds the program up is cut off after GRACE_S: child processes are killed and the process ends,
which is as safe as a lost connection or a killed host: files are renamed when whole, boards commit as a whole. (The
thread needs the interpreter's lock: C code that kept it for longer than that would be waited for.)

A signal that comes after a commit was sent waits for the board's answer: the exit code is that of the signal, the new
model is active and confirmed, and the same command goes on and tells the result.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

from edgenas.cli import failures

GRACE_S = 1.5  # for closing what is open
_STEP_S = 0.05
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class Interrupts:
    """A context in which signals end the program; `caught` are those that came, in order.

    A signal that the caller ignores (nohup, a shell's background job) stays ignored.
    """

    def __init__(self) -> None:
        self.caught: list[int] = []
        self._raised = self._swallowed = False
        self._code: int | None = None  # the exit code, once the command is over
        self._closed = threading.Event()

    def __enter__(self) -> Interrupts:
        self._before = {n: handler for n in _SIGNALS if (handler := signal.getsignal(n)) is not signal.SIG_IGN}
        self._hooks = sys.unraisablehook, threading.excepthook
        self._read, self._write = os.pipe()
        if os.name == "posix":  # elsewhere pipes cannot be set
            os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._watch, name="interrupts", daemon=True)
        self._thread.start()
        # Signals write their number there at once, while Python's handler waits for the main thread to come out of C.
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        sys.unraisablehook, threading.excepthook = self._unraisable, self._thread_failed
        for number in self._before:
            signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook, threading.excepthook = self._hooks
        signal.set_wakeup_fd(self._wakeup)
        os.write(self._write, b"\0")
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def leave(self, code: int) -> NoReturn:
        """End the process with `code`, at once: a signal does not change any more how it ended.

        Python's own end takes up to half a second after torch was imported. A signal in it would print a traceback or
        kill the process, and a thread that still runs would hold it up.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        self._code = code  # only now: who does not read stdout may hold up what is printed
        self._end(code)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._code is not None:
            os._exit(self._code)
        self.caught.append(number)
        if not self._raised:  # later ones would break off what closes
            self._raised = True
            raise KeyboardInterrupt

    def _unraisable(self, what: Any) -> None:
        """Called for an exception that nobody can be told of."""
        if not self.caught:
            self._hooks[0](what)
        elif issubclass(what.exc_type, KeyboardInterrupt):
            self._raised, self._swallowed = False, True

    def _thread_failed(self, what: Any) -> None:
        """Called for an exception that ends a thread; after a signal it is only that something was closed."""
        if not self.caught:
            self._hooks[1](what)

    def _watch(self) -> None:
        number = 0
        while number not in self._before:
            number = os.read(self._read, 1)[0]
            if self._closed.is_set():
                return
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            if self._closed.wait(_STEP_S):
                return
            if self._swallowed:
                self._swallowed = False
                _raise_in_main_thread(number)
        _say(failures.INTERRUPTED)
        self._end(128 + number)

    def _end(self, code: int) -> NoReturn:
        """End the process and its children now."""
        # Not imported here: the device package is not needed to print a help text. Whoever starts a process imports it.
        children = sys.modules.get("firmware_tools.children")
        try:
            if children is not None:
                children.end_all()
        finally:
            os._exit(code)


def _say(line: str) -> None:
    """A line on stderr, unless that would wait: for whoever reads it, or for the main thread that is writing."""
    with suppress(OSError):
        if select.select([], [2], [], 0)[1]:
            cursor = _SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{cursor}edgenas: {line}\n".encode())


def _raise_in_main_thread(number: int) -> None:
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):  # Windows has none
        signal.pthread_kill(main, number)
