# SPDX-License-Identifier: Apache-2.0
"""Processes that the agent starts: itself for other jobs, and programs of the board's."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

# `python -c BOOT AGENT ARGUMENT...` runs the agent; AGENT is the absolute path of a zip file or folder with this
# package.
# Nothing else is imported from there, from the folder around it, which holds what hosts sent, or from the working
# folder ("" in sys.path). Python writes no bytecode beside the package, but may for what is installed.
BOOT = "import sys; del sys.argv[0]; sys.path[:] = [sys.argv[0], *filter(None, sys.path)]; "
BOOT += "kept = sys.dont_write_bytecode; sys.dont_write_bytecode = True; from parts.main import program; "
BOOT += "run = program(); sys.dont_write_bytecode = kept; del sys.path[0]; run()"
TOOL_S = 3.0  # how long a program of the board's may take to answer
# Where programs of boards are that a login without a terminal does not find.
TOOL_PATHS = ("/usr/sbin", "/sbin", "/opt/vc/bin", "/usr/src/tensorrt/bin")


def start(command: list[str], cwd: str = "/", **options: Any) -> subprocess.Popen[bytes]:
    """Start a process: the only place that does. Not in the working folder, as programs read files from there."""
    return subprocess.Popen(command, cwd=cwd, **options)


def itself(what: str) -> list[str]:
    """The command that runs this agent for `what`."""
    return [sys.executable, "-c", BOOT, os.path.abspath(sys.argv[0]), what]


def program(name: str) -> str | None:
    """The path of a program, which is looked for in absolute folders only; None if it is not there."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *TOOL_PATHS]
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, folders)))


def tool(command: list[str], most_lines: int = 40, limit_s: float = TOOL_S) -> str | None:
    """What a program of the board's prints, on one line; None if it is not there or says nothing within `limit_s`."""
    path = program(command[0])
    if path is None:
        return None
    try:
        # A session of its own, so that a script ends together with what it has started.
        process = start(
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None

    def end() -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:  # it has ended
            pass

    timer = threading.Timer(limit_s, end)
    timer.start()
    assert process.stdout is not None
    with process.stdout:
        lines = [line.decode("utf-8", "replace").strip() for line in itertools.islice(process.stdout, most_lines)]
    end()  # tegrastats goes on for ever; what has ended is still ours, as it was not waited for
    process.wait()
    timer.cancel()
    return "; ".join(line for line in lines if line) or None
