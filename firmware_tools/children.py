"""Child processes, the only place that starts any: none outlives the program, whatever ends it.

Each has a session of its own: a terminal's Ctrl-C reaches this program alone, which then ends its processes in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from firmware_tools.interrupts import held

_started: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()
_lock = threading.Lock()


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen(command, **options)`, known to `end_all`. Raises OSError if it does not start.

    An interrupt leaves no process that nobody knows: it is raised before the start, or kills what was started.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with held():
            process = subprocess.Popen(command, start_new_session=True, **options)
            with _lock:
                _started.add(process)
    except BaseException:
        if process is not None:
            with process:
                kill(process)
        raise
    return process


def run(command: Sequence[str], timeout_s: float | None = None, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run `command` without input to its end; what it printed is captured. `options` are Popen's.

    An interrupt, or the end of `timeout_s`, kills it and what it started. Raises OSError if it does not start,
    subprocess.TimeoutExpired.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(command, **pipes, **options) as process:
        try:
            printed, errors = process.communicate(timeout=timeout_s)
        except BaseException:
            kill(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, printed, errors)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill `process` and what it started in its session, and wait for it. Once more does no harm."""
    _kill(process)
    process.wait()


def end_all() -> None:
    """Kill all processes that still run, without waiting; from any thread."""
    with _lock:
        processes = list(_started)
    for process in processes:
        _kill(process)


def _kill(process: subprocess.Popen[Any]) -> None:
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError, PermissionError):  # it ended just now
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
