"""The converter's own Python environment: created once below `$EDGENAS_HOME/converter`, verified, then reused.

onnx2tf pins packages that the user's environment cannot hold (and asks for a newer Python than it needs), so it is
installed from a locked list, without dependencies, into a virtual environment that only the conversion worker uses. The
folder is named after the list and the Python version: a new list is a new folder, an old one is never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgenas.errors import ConversionError
from edgenas.resources import home, write_text
from firmware_tools import children

LOCK = Path(__file__).with_name("converter.lock")
_READY = "ready.json"
_INSTALL_TIMEOUT_S = 1800.0

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
        verified = json.loads(ready.read_text(encoding="utf-8"))["verified"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"the converter's environment is incomplete ({folder()}): its installation was interrupted"
    if verified is not True or not python().exists():
        return f"the converter's environment is damaged ({python()} is missing or was never verified)"
    return None


def ensure(progress: Progress | None = None) -> Path:
    """The interpreter of a ready environment; builds it first if needed (about 20 s, needs the package index).

    A second process waits for the first one's build. An interrupted build leaves no `ready.json` and is redone.
    Raises ConversionError (check "environment") with pip's last line and the next step.
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
        progress("converter: creating its environment")
        _run(
            [sys.executable, "-m", "venv", str(target)], "python -m venv", "install your system's python3-venv package"
        )
        progress("converter: installing onnx2tf (about 20 s, once)")
        options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--disable-pip-version-check"]
        _run(
            [str(python()), "-I", "-m", "pip", "install", "--quiet", *options, "-r", str(LOCK)],
            "pip install",
            "check the network or the package index, then run the same command again",
        )
        progress("converter: verifying it")
        _verify()
    except OSError as error:
        raise _failed(f"cannot be written to {target}: {error}", "free some space or set EDGENAS_HOME") from error
    facts = {"verified": True, "python": sys.version.split()[0], "seconds": round(time.monotonic() - started, 1)}
    write_text(target / _READY, json.dumps(facts) + "\n")


def _run(command: list[str], what: str, next_step: str) -> None:
    try:
        done = children.run(command, _INSTALL_TIMEOUT_S, text=True, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise _failed(f"{what} took more than {_INSTALL_TIMEOUT_S:.0f} s", next_step) from error
    if done.returncode != 0:
        raise _failed(f"{what} failed: {last_line(done.stderr) or last_line(done.stdout)}", next_step)


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
        raise _failed(f"it does not import onnx: {last_line(done.stderr.decode(errors='replace'))}", "report this line")
    with OnnxWorker(python()) as worker:
        tflite = worker.convert(done.stdout)
    if tflite[4:8] != b"TFL3":
        raise _failed("its first conversion was no TFLite file", "report this line")


def _failed(what: str, next_step: str) -> ConversionError:
    return ConversionError(f"the converter's environment: {what}; {next_step}", check="environment")


def last_line(text: str) -> str:
    """The last line of `text` that is not blank, shortened to 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


@contextmanager
def _exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it if the holder dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise _failed(f"cannot be written: {error}", "free some space or set EDGENAS_HOME") from error
    with file:
        if sys.platform != "win32":  # without file locks there, two first runs at once are the user's to avoid
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("converter: waiting for another process that is installing it")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
