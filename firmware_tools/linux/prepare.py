# SPDX-License-Identifier: Apache-2.0
"""Making a board ready: a virtual environment with the runtime that fits, in the board's own folder for edgenas.

What is installed there stands in a list for the board's machine and Python, with the hashes of all wheels: the list is
copied to the board, whose pip takes nothing else, wherever the wheels come from.

Each environment is a folder venv-RUNTIME-VERSION-PYTHON of its own below the root; the symlink `venv` is the only truth
about which one is in service, and it is replaced by a rename when the new one has shown that its runtime loads. A run
that is interrupted therefore leaves the board as it was, plus a folder that the next run removes.
"""

from __future__ import annotations

import shlex
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from firmware_tools import pinned
from firmware_tools.device import DeviceInfo, Progress
from firmware_tools.errors import DeviceError, DeviceFullError, RuntimeMissingError
from firmware_tools.linux.runtimes import NAMES, PIP_LOCK, WITHOUT_NUMPY_WHEELS, Runtime, choose
from firmware_tools.linux.ssh import start_agent
from firmware_tools.linux.ssh_connection import Completed, Connection, one_line
from firmware_tools.linux.survey import Facts, survey
from firmware_tools.linux.wheels import download, download_command, pip_error, push

OLDEST_PYTHON = (3, 7)
_OLDEST_PIP = (20, 3)  # older ones do not know the names of today's wheels
_NEEDED_BYTES = 300 << 20
_TIMEOUT_S = 1800.0
_FULL = ("No space left on device", "Disk quota exceeded")
_NO_INDEX = (
    *("Temporary failure in name resolution", "Name or service not known", "Network is unreachable"),
    *("No route to host", "Connection refused", "NewConnectionError", "timed out", "ProxyError"),
)
_CLOCK = "CERTIFICATE_VERIFY_FAILED"
# A model that is none: loading all of the runtime's own code takes more than an import.
_LOADS = """import sys; sys.path[:] = filter(None, sys.path)
from contextlib import suppress; from %s.interpreter import Interpreter
with suppress(ValueError): Interpreter(model_content=b"no model")"""
_LOAD_IT = "load it"
# argv: the environment's name, the link. By Python, because an older busybox's mv would move into the link's folder.
_SWITCH = (
    'import os, sys; new, link = sys.argv[1:]; part = link + ".part"; os.sync(); '
    "os.path.lexists(part) and os.remove(part); os.symlink(new, part); os.replace(part, link); os.sync()"
)
_TIDY = 'rm -rf -- "$@" || true'  # what an interrupted pip still writes to is removed the next time


@dataclass(frozen=True)
class Step:
    """One thing to do: a command `where` it runs, or a copy of `files` and the downloaded wheels to a folder there."""

    where: Literal["board", "here", "copy"]
    what: str
    command: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        if self.where == "copy":
            return f"{self.what}: to {self.command[0]} on the board"
        return f"{self.what}: {'on this computer: ' if self.where == 'here' else ''}{shlex.join(self.command)}"


@dataclass(frozen=True)
class Plan:
    """What will be done to a board, in order; `environment` is the interpreter that models will run with."""

    facts: Facts
    runtime: Runtime
    environment: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Prepared:
    """A plan and, unless it was only to be shown, what the agent said when it was done."""

    plan: Plan
    info: DeviceInfo | None


def prepare(
    connection: Connection,
    url: str,
    options: Mapping[str, str],
    *,
    runtime: str | None = None,
    offline: bool = False,
    dry_run: bool = False,
    stage: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> Prepared:
    """Install the runtime that fits, or the one named `runtime` (litert, tflite), and let an agent look at it.

    `url` stands in messages; `options`: `root` as in `open_ssh`, `python` the interpreter to make the environment of
    (python3). `offline`: this computer downloads the wheels. `dry_run`: nothing is changed. `stage` is called with what
    is about to be done, `progress` with the bytes of wheels that are on the board and their total.
    Raises RuntimeMissingError if nothing fits, does not load or crashes; DeviceBusyError if another computer uses the
    board; DeviceFullError; DeviceError.
    """
    address = url.partition("?")[0]
    # Beside another command, as everything below: a server may take only one at a time.
    with connection.start(["cat"]):
        facts = survey(connection, address, options)
    made = plan(facts, address, runtime, offline)
    if dry_run:
        return Prepared(made, None)
    base = {"root": made.facts.root}
    if made.steps:
        # An agent that waits keeps other computers, and their measurements, off the board meanwhile.
        with start_agent(connection, url, {**base, "python": made.facts.python}):
            _do(connection, url, made, stage, progress)
    stage("ask the agent")
    with start_agent(connection, url, base) as device:
        info = device.info()
    if made.runtime.name not in [found.name for found in info.runtimes]:
        why = "; ".join(info.notes) or "it is not there"
        raise RuntimeMissingError(
            f"{url}: the agent cannot use {made.runtime.package} ({why}): "
            f"run rm -r {shlex.quote(made.facts.root + '/venv')} on the board, and this again",
            runtime=made.runtime.name,
        )
    return Prepared(made, info)


def plan(facts: Facts, url: str, wanted: str | None = None, offline: bool = False) -> Plan:
    """What there is to do; nothing if the board is ready. Raises as `prepare`, for what can be seen beforehand."""
    version = ".".join(map(str, facts.version))
    if facts.barred is not None:
        raise DeviceError(
            f"{url}: {facts.root} on the board cannot be used ({facts.barred}): name another folder by ?root=PATH",
            root=facts.root,
        )
    if facts.version < OLDEST_PYTHON:
        raise DeviceError(
            f"{url}: {facts.python} on the board is Python {version}, at least "
            f"{'.'.join(map(str, OLDEST_PYTHON))} is needed: install a newer one and name it by ?python=PATH",
            python=facts.python,
            version=version,
        )
    try:
        runtime = choose(facts.machine, facts.version, facts.glibc, wanted)
    except RuntimeMissingError as error:
        raise RuntimeMissingError(f"{url}: {error.message}", **error.fields) from None
    name = f"venv-{runtime.name}-{runtime.version}-py{version}"
    if facts.current is not None and facts.current.partition("+")[0] == name:
        return Plan(facts, runtime, f"{facts.root}/{facts.current}/bin/python", _tidy_first(facts, False))
    _check(facts, url, runtime)
    number = 2
    while (folder := name if name not in facts.made else f"{name}+{number}") in facts.made:
        number += 1
    return Plan(facts, runtime, f"{facts.root}/{folder}/bin/python", _steps(facts, runtime, folder, offline))


def _check(facts: Facts, url: str, runtime: Runtime) -> None:
    """Raise DeviceError for what would fail on the way."""
    if facts.pip is None:
        usual = facts.python.rpartition("/")[2] == "python3"
        package = "python3-venv" if usual else f"python{'.'.join(map(str, facts.version))}-venv"
        raise DeviceError(
            f"{url}: {facts.python} on the board has no venv or no pip: run there: sudo apt-get install {package}",
            python=facts.python,
        )
    if facts.machine in WITHOUT_NUMPY_WHEELS and (facts.numpy is None or int(facts.numpy.partition(".")[0]) >= 2):
        raise DeviceError(
            f"{url}: the board's numpy is {facts.numpy or 'missing'}, {runtime.package} needs numpy{runtime.numpy}, "
            f"and there are no wheels for {facts.machine}: run there: sudo apt-get install python3-numpy",
            numpy=facts.numpy,
        )
    if facts.foreign:
        raise DeviceError(
            f"{url}: {facts.root}/venv on the board was not made by this command: move it away, or name another "
            "folder by ?root=PATH",
            root=facts.root,
        )
    if facts.free_bytes < _NEEDED_BYTES:
        raise DeviceFullError(
            f"{url}: {facts.free_bytes >> 20} MiB free on the board at {facts.root}, {_NEEDED_BYTES >> 20} MiB are "
            "needed: free some, or name a folder on another disk by ?root=PATH",
            root=facts.root,
            free_bytes=facts.free_bytes,
        )


def _steps(facts: Facts, runtime: Runtime, folder: str, offline: bool) -> tuple[Step, ...]:
    assert facts.glibc is not None  # else no runtime fits
    root, wheels = facts.root, f"{facts.root}/wheels"
    environment = f"{root}/{folder}"
    python = f"{environment}/bin/python"
    system = facts.machine in WITHOUT_NUMPY_WHEELS
    old_pip = facts.pip is not None and facts.pip < _OLDEST_PIP
    lock = runtime.lock(facts.machine, facts.version)
    locks = (PIP_LOCK, lock) if old_pip else (lock,)
    pip: tuple[str, ...] = (python, "-Im", "pip", "install", "--quiet", "--disable-pip-version-check")
    # Python compiles what is imported; all of numpy, with its tests, takes a small board minutes.
    pip += ("--no-input", "--no-cache-dir", "--no-compile", *pinned.OPTIONS)
    pip += ("--no-index", "--find-links", wheels) if offline else ("--retries", "2")
    steps = list(_tidy_first(facts, offline))
    if offline:
        command = download_command(locks, facts.machine, facts.version, facts.glibc)
        steps.append(Step("here", "download the wheels", command))
    options = ("--system-site-packages",) if system else ()
    # By itself, because venv, which would do it, keeps to itself why it fails: on a full disk, too.
    into = (python, "-Im", "ensurepip", "--upgrade", "--default-pip")
    steps += [
        Step("copy", "copy the wheels" if offline else "copy the list of packages", (wheels,), locks),
        Step("board", "make an environment", (facts.python, "-Im", "venv", "--without-pip", *options, environment)),
        Step("board", "put pip into it", into),
    ]
    if old_pip:
        steps.append(Step("board", "renew its pip", (*pip, "--upgrade", "-r", f"{wheels}/{PIP_LOCK.name}")))
    steps += [
        Step("board", f"install {runtime.package} {runtime.version}", (*pip, "-r", f"{wheels}/{lock.name}")),
        Step("board", _LOAD_IT, (python, "-c", _LOADS % runtime.module)),
        Step("board", "put it in service", (python, "-c", _SWITCH, folder, f"{root}/venv")),
    ]
    done = [wheels, *([f"{root}/{facts.current}"] if facts.current is not None else [])]
    steps.append(Step("board", "remove what is not needed any more", ("sh", "-c", _TIDY, "sh", *done)))
    return tuple(steps)


def _tidy_first(facts: Facts, keep_wheels: bool) -> tuple[Step, ...]:
    kept = (facts.current, "wheels" if keep_wheels else None)
    left = [f"{facts.root}/{name}" for name in facts.made if name not in kept]
    what = "remove what an interrupted run left"
    return (Step("board", what, ("sh", "-c", _TIDY, "sh", *left)),) if left else ()


def _do(connection: Connection, url: str, made: Plan, stage: Callable[[str], None], progress: Progress | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for step in made.steps:
            stage(step.what)
            if step.where == "here":
                download(step.command, Path(folder))
            elif step.where == "copy":
                files = [*step.files, *sorted(Path(folder).iterdir())]
                push(connection, made.facts.python, files, step.command[0], progress)
            else:
                done = connection.run_tied(step.command, _TIMEOUT_S)
                if done.status != 0:
                    raise _failed(url, made, step, done)


def _failed(url: str, made: Plan, step: Step, done: Completed) -> DeviceError:
    """What to tell of a command that failed on the board."""
    printed = (done.stderr + done.stdout).decode("utf-8", "replace")
    package = f"{made.runtime.package} {made.runtime.version}"
    fields = {"step": step.what, "status": done.status, "stderr": printed[-2000:]}
    if any(text in printed for text in _FULL):
        return DeviceFullError(f"{url}: the board's disk is full, to {step.what} failed: free some and retry", **fields)
    if step.what == _LOAD_IT:
        code = -done.status if done.status < 0 else done.status - 128
        how = one_line(printed.strip().rpartition("\n")[2]) or f"status {done.status}"
        if code > 0:
            with suppress(ValueError):
                how = f"it crashes of {signal.Signals(code).name}"
        return RuntimeMissingError(f"{url}: {package} does not load on the board ({how}): {_other(made)}", **fields)
    if "pip" in step.command:
        if other_file := pinned.refused(printed):
            hint = "set one with the published files in the board's pip.conf, or --offline"
            return DeviceError(f"{url}: {other_file}: {hint}", **fields)
        if _CLOCK in printed:
            hint = "set the board's clock if it is wrong, or let this computer download: --offline"
            return DeviceError(f"{url}: the package index's certificate is refused on the board: {hint}", **fields)
        if any(text in printed for text in _NO_INDEX):
            hint = "give it a network, or let this computer download: --offline"
            return DeviceError(f"{url}: the board does not reach its package index: {hint}", **fields)
        why = pip_error(done.stderr or done.stdout)
        return RuntimeMissingError(
            f"{url}: pip on the board cannot install {package} ({why}): {_other(made)}", **fields
        )
    why = one_line(done.stderr or done.stdout) or f"status {done.status}"
    return DeviceError(f"{url}: on the board, to {step.what} failed ({why}): mend that and run it again", **fields)


def _other(made: Plan) -> str:
    facts = made.facts
    for name in NAMES:
        with suppress(RuntimeMissingError):
            if name != made.runtime.name and choose(facts.machine, facts.version, facts.glibc, name):
                return f"take --runtime {name}"
    return "no other fits it: try a newer system on the board"
