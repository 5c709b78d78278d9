# SPDX-License-Identifier: Apache-2.0
"""The converter's own Python environment: created once below `$EDGENAS_HOME/converter`, verified, then reused.

onnx2tf pins packages that the user's environment cannot hold (and asks for a newer Python than it needs), so it is
installed from a locked list, without dependencies, into a virtual environment that only the conversion worker uses. The
list holds the hash of every wheel, pip is the one that comes with Python. The folder is named after the list and the
Python version: a new list is a new folder, an old one is never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgenas.errors import ConversionError
from edgenas.resources import home, make_folder, reason, way_out, writable_home, write_text
from firmware_tools import children, pinned
from firmware_tools.foreign_text import telling
from firmware_tools.reading import read_json

LOCK = Path(__file__).with_name("converter.lock")
_READY = "ready.json"
_FAILED = "failed.txt"
_INSTALL_TIMEOUT_S = 1800.0
# Measured with the list of November 2026 on Python 3.11, x86-64: 291 MB installed (`du`), out of 60 MB of wheels, which
# pip keeps in the folder for temporary files meanwhile; and a sixth more, as other platforms' wheels differ.
_INSTALLED_BYTES = 340_000_000
_DOWNLOADED_BYTES = 70_000_000

Progress = Callable[[str], None]


def folder() -> Path:
    """Where the environment of this list and this Python is (or will be)."""
    version = f"{platform.python_implementation()} {platform.python_version()}"
    key = hashlib.sha256(LOCK.read_bytes() + version.encode()).hexdigest()[:12]
    return home() / "converter" / key


def python() -> Path:
    """The environment's interpreter, whether it exists or not."""
    return folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check() -> str | None:
    """What is wrong with the environment, in one line, or None if it is ready; builds nothing, takes milliseconds."""
    ready = folder() / _READY
    if not folder().is_dir():
        return f"the converter's environment is not installed yet ({folder()})"
    try:
        verified = read_json(ready)["verified"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"the converter's environment is incomplete ({folder()}): {_why_incomplete()}"
    if verified is not True or not python().exists():
        return f"the converter's environment is damaged ({python()} is missing or was never verified)"
    return None


def _why_incomplete() -> str:
    """What ended its installation: the failure that was told then, else an interrupt."""
    try:
        return (folder() / _FAILED).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return "its installation was interrupted"


def ensure(progress: Progress | None = None) -> Path:
    """The interpreter of a ready environment; builds it first if needed (about 20 s, needs the package index).

    A second process waits for the first one's build. An interrupted build leaves no `ready.json` and is redone.
    Raises ConversionError (check "environment") with what pip says went wrong, or how much room is missing, and the
    next step; UsageError for an $EDGENAS_HOME that cannot be written.
    """
    if check() is None:
        return python()
    with _exclusive(folder().with_name(folder().name + ".lock"), progress or _silent):
        if check() is not None:  # else another process built it while this one waited
            _build(progress or _silent)
    return python()


def _silent(_line: str) -> None:
    pass


def _build(progress: Progress) -> None:
    # In place, not beside and renamed: a virtual environment's scripts hold its path. `ready.json` is written last.
    target = folder()
    started = time.monotonic()
    try:
        shutil.rmtree(target, ignore_errors=True)
        _require_room(target.parent)
        progress("converter: creating its environment")
        make = [sys.executable, "-I", "-m", "venv", str(target)]
        _run(make, "python -m venv", "install your system's python3-venv package")
        progress("converter: installing onnx2tf (about 20 s, once)")
        options = [*pinned.OPTIONS, "--ignore-requires-python", "--disable-pip-version-check"]
        command = [str(python()), "-I", "-m", "pip", "install", "--quiet", *options, "-r", str(LOCK)]
        _run(command, "pip install", None)
        progress("converter: verifying it")
        _verify()
    except OSError as error:
        raise _failed(f"{target} cannot be written ({reason(error)})", way_out(target, error)) from error
    facts = {"verified": True, "python": sys.version.split()[0], "seconds": round(time.monotonic() - started, 1)}
    write_text(target / _READY, json.dumps(facts) + "\n")


def _require_room(installed: Path) -> None:
    """Raise ConversionError if there is no room, which pip would find out after half a minute."""
    temporary = Path(tempfile.gettempdir())
    needs = {installed: _INSTALLED_BYTES, temporary: _DOWNLOADED_BYTES}
    if installed.stat().st_dev == temporary.stat().st_dev:
        needs = {installed: _INSTALLED_BYTES + _DOWNLOADED_BYTES}
    for place, needed in needs.items():
        free = shutil.disk_usage(place).free
        if free < needed:
            variable = "TMPDIR" if place == temporary else "EDGENAS_HOME"
            raise _failed(
                f"it needs {_megabytes(needed)} in {place}, {_megabytes(free)} are free",
                f"free some, or set {variable} to another folder",
                needed_bytes=needed,
                free_bytes=free,
            )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _run(command: list[str], what: str, next_step: str | None) -> None:
    try:
        done = children.run(command, _INSTALL_TIMEOUT_S, text=True, errors="replace")
    except subprocess.TimeoutExpired as error:
        step = next_step or "check the network, then run the same command again"
        raise _failed(f"{what} took more than {_INSTALL_TIMEOUT_S:.0f} s", step) from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout
        if other_file := pinned.refused(said):
            with suppress(OSError):
                write_text(folder() / _FAILED, other_file)
            raise _failed(other_file, pinned.WAY_OUT)
        raise _failed(f"{what} failed: {telling(said)}", next_step or _next_step(said))


def _next_step(said: str) -> str:
    """What to do about what pip says."""
    if re.search(r"No space left|Disk quota exceeded", said):
        return "free some disk space, or set TMPDIR or EDGENAS_HOME to another folder"
    if re.search(r"Permission denied|Read-only file system", said):
        return "mend the folder, or set EDGENAS_HOME to another"
    if re.search(r"No matching distribution|Connection|Max retries|timed out|resolution|resolve|Proxy|SSL|HTTP", said):
        return "check the network or the package index, then run the same command again"
    return f"see {_log(said)}"


def _log(said: str) -> Path:
    """The file that keeps all that pip said."""
    path = folder().with_suffix(".log")
    with suppress(OSError):
        path.write_text(said, encoding="utf-8")
    return path


def _verify() -> None:
    """Convert one tiny network with the new environment: an import alone would not show a broken package."""
    from edgenas.conversion.process import OnnxWorker

    code = (
        "import sys, onnx; from onnx import helper as h, TensorProto as t, numpy_helper as n; import numpy as np\n"
        "w = n.from_array(np.ones((2, 1, 3, 3), np.float32), 'w')\n"
        "v = lambda name, shape: h.make_tensor_value_info(name, t.FLOAT, shape)\n"
        "node = h.make_node('Conv', ['input', 'w'], ['output'], kernel_shape=[3, 3], pads=[1, 1, 1, 1])\n"
        "graph = h.make_graph([node], 'g', [v('input', [1, 1, 8, 8])], [v('output', [1, 2, 8, 8])], [w])\n"
        "model = h.make_model(graph, opset_imports=[h.make_opsetid('', 18)], ir_version=8)\n"
        "sys.stdout.buffer.write(model.SerializeToString())\n"
    )
    done = children.run([str(python()), "-I", "-c", code])
    if done.returncode != 0:
        raise _failed(f"it does not import onnx: {telling(done.stderr.decode(errors='replace'))}", "report this line")
    with OnnxWorker(python()) as worker:
        tflite = worker.convert(done.stdout)
    if tflite[4:8] != b"TFL3":
        raise _failed("its first conversion was no TFLite file", "report this line")


def _failed(what: str, next_step: str, **fields: object) -> ConversionError:
    return ConversionError(f"the converter's environment: {what}: {next_step}", check="environment", **fields)


@contextmanager
def _exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it if the holder dies."""
    try:
        writable_home()
        make_folder(path.parent)
        file = path.open("a")
    except OSError as error:
        raise _failed(f"{path} cannot be written ({reason(error)})", way_out(path, error)) from error
    with file:
        if sys.platform != "win32":  # without file locks there, two first runs at once are the user's to avoid
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("converter: waiting for another process that is installing it")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
