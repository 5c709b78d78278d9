# SPDX-License-Identifier: Apache-2.0
"""Child processes, the only place that starts any: none outlives the program, whatever ends it.

Each has a session of its own: a terminal's Ctrl-C reaches this program alone, which then ends its processes in order.

None runs code of the working folder, which may be a stranger's: it starts in `NEUTRAL_FOLDER`, as programs read files
of the folder that they are started in (OpenOCD its -f files, pyOCD pyocd_user.py, esptool esptool.cfg, pip setup.cfg),
with PATH and PYTHONPATH without relative entries, and without the other settings of Python's that load code.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from firmware_tools.interrupts import held

NEUTRAL_FOLDER = str(Path(os.sep).absolute())  # the file system's root: nobody but root writes there
_IMPORTED_FROM = str(Path(__file__).resolve().parent.parent)
# PYTHONSTARTUP, PYTHONHOME, PYTHONWARNINGS, PYTHONPYCACHEPREFIX and their like load code, these do not.
_HARMLESS = {"PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"}
_HARMLESS |= {"PYTHONUNBUFFERED", "PYTHONUTF8"}
# `python -c _BOOT COUNT PATH... MODULE ARGUMENT...` is `python -m MODULE ARGUMENT...` with those paths to import from.
# `sys` is a part of Python itself: nothing is looked for before the paths are set.
_BOOT = (
    "import sys; n = int(sys.argv[1]) + 2; sys.path[:] = sys.argv[2:n]; del sys.argv[1:n]; import runpy; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
_started: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()
_lock = threading.Lock()


def start(
    command: Sequence[str], *, cwd: str = NEUTRAL_FOLDER, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """`subprocess.Popen(command, **options)`, known to `end_all`. Raises OSError if it does not start.

    The program gets `environment()` and `env`; paths in `command` have to be absolute, as it runs in `cwd`, which must
    not be a folder that somebody else fills. An interrupt leaves no process that nobody knows: it is raised before the
    start, or kills what was started.
    """
    process: subprocess.Popen[Any] | None = None
    words, variables = [_program(command[0]), *command[1:]], {**environment(), **(env or {})}
    try:
        with held():
            process = subprocess.Popen(words, start_new_session=True, cwd=cwd, env=variables, **options)
            with _lock:
                _started.add(process)
    except BaseException:
        if process is not None:
            with process:
                kill(process)
        raise
    return process


def run(command: Sequence[str], timeout_s: float | None = None, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run `command` without input to its end; what it printed is captured. `options` are those of `start`.

    An interrupt, or the end of `timeout_s`, kills it and what it started. Raises OSError if it does not start,
    subprocess.TimeoutExpired.
    """
    pipe = subprocess.PIPE
    with start(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **options) as process:
        try:
            printed, errors = process.communicate(timeout=timeout_s)
        except BaseException:
            kill(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, printed, errors)


def own_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of edgenas in this Python, which imports what this process imports.

    However this process found its packages (a user site, PYTHONPATH, a script that changed sys.path), the new one does:
    it gets `sys.path` without relative entries and the working folder, with edgenas' own folder at the end.
    """
    paths = import_paths(sys.path)
    if _IMPORTED_FROM not in paths:
        paths.append(_IMPORTED_FROM)
    return [sys.executable, "-c", _BOOT, str(len(paths)), *paths, module, *arguments]


def installed_module(module: str) -> tuple[str, ...]:
    """How to call another's program that is a module of this Python; to be started by `start`, and shown to users."""
    safe = ("-P",) if sys.version_info >= (3, 11) else ()  # before, what keeps the working folder out is `start`
    return (sys.executable, *safe, "-m", module)


def environment() -> dict[str, str]:
    """The user's environment without what makes a program load code of the working folder."""
    variables = {key: value for key, value in os.environ.items() if key[:6] != "PYTHON" or key in _HARMLESS}
    if Path(base := os.environ.get("PYTHONUSERBASE", "")).is_absolute():
        variables["PYTHONUSERBASE"] = base
    if paths := import_paths(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    return {**variables, "PATH": search_path()}


def import_paths(paths: Sequence[str]) -> list[str]:
    """Those of `paths` that are absolute and not the working folder."""
    here = None
    with suppress(OSError):  # it was removed
        here = os.path.realpath(Path.cwd())
    return [path for path in paths if Path(path).is_absolute() and os.path.realpath(path) != here]


def search_path() -> str:
    """PATH without relative entries; an empty one is the working folder."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())


def which(name: str) -> str | None:
    """The absolute path of a program: of one on the PATH, or of a path, from the working folder on; None if none is."""
    found = shutil.which(name, path=search_path())
    return None if found is None else str(Path(found).absolute())


def _program(name: str) -> str:
    """What to start for a command's first word. Raises FileNotFoundError for a name that is not on the PATH."""
    if len(Path(name).parts) > 1:
        return str(Path(name).absolute())
    found = which(name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found


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
