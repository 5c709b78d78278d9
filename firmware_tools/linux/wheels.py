# SPDX-License-Identifier: Apache-2.0
"""Wheels for a board without a package index of its own: downloaded on this computer, pushed to the board."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from firmware_tools import children, pinned
from firmware_tools.answers.shapes import ShapeError, integer, parse, record, rows
from firmware_tools.device import Progress
from firmware_tools.errors import DeviceError, ProtocolError, TransferError
from firmware_tools.linux.runtimes import Version
from firmware_tools.linux.ssh_connection import Connection, one_line

_DOWNLOAD_TIMEOUT_S = 1800.0
_OLDEST_GLIBC = 17  # of 2.x: what manylinux2014 stands for, and all that pip looks at under that name
# Nothing is imported from the folder of the login: "" in sys.path.
# argv: the folder, then name, size and sha256 of each file. A whole part becomes the file; what is damaged, or another
# file of that name, goes.
_RECEIVED = r"""
import sys; sys.path[:] = filter(None, sys.path)
import hashlib, json, os, sys
folder, rest = sys.argv[1], sys.argv[2:]
os.path.isdir(folder) or os.makedirs(folder)
have = []
for name, size, sha256 in zip(rest[::3], rest[1::3], rest[2::3]):
    path = os.path.join(folder, name)
    for file in (path, path + ".part"):
        if os.path.exists(file) and (file == path or os.path.getsize(file) >= int(size)):
            with open(file, "rb") as opened:
                whole = hashlib.sha256(opened.read()).hexdigest() == sha256
            os.rename(file, path) if whole else os.remove(file)
    part = path + ".part"
    have.append(int(size) if os.path.exists(path) else os.path.getsize(part) if os.path.exists(part) else 0)
print(json.dumps({"have": have}))
"""


def download_command(lists: Sequence[Path], machine: str, python: Version, glibc: Version) -> tuple[str, ...]:
    """What downloads the wheels that stand in `lists`, with their hashes, for such a board; lacks the folder."""
    digits = "".join(map(str, python))
    platforms = [f"manylinux2014_{machine}"]
    platforms += [f"manylinux_2_{minor}_{machine}" for minor in range(_OLDEST_GLIBC, glibc[1] + 1)]
    return (
        *(*children.installed_module("pip"), "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *pinned.OPTIONS,
        *("--implementation", "cp", "--python-version", ".".join(map(str, python))),
        *("--abi", f"cp{digits}m" if python < (3, 8) else f"cp{digits}"),
        *(word for platform in platforms for word in ("--platform", platform)),
        *(word for path in lists for word in ("-r", str(path))),
    )


def download(command: Sequence[str], folder: Path) -> list[Path]:
    """Run `download_command`'s command; the wheels, sorted. Raises DeviceError with pip's words."""
    try:
        done = children.run([*command, "--dest", str(folder)], _DOWNLOAD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        why = f"pip download took more than {_DOWNLOAD_TIMEOUT_S:.0f} s"
        raise DeviceError(f"no wheels: {why}: check this computer's network, run it again") from error
    if done.returncode != 0:
        if other_file := pinned.refused(done.stderr.decode("utf-8", "replace")):
            raise DeviceError(f"this computer's wheel of {other_file}: {pinned.WAY_OUT}")
        why = pip_error(done.stderr)
        raise DeviceError(f"this computer cannot download the wheels: {why}: check its network and its package index")
    return sorted(folder.iterdir())


def pip_error(printed: bytes) -> str:
    """The most telling line of what pip printed."""
    lines = printed.decode("utf-8", "replace").splitlines()
    errors = [line.partition("ERROR:")[2] for line in lines if "ERROR:" in line]
    return one_line("\n".join(errors[-1:] or lines[-1:])) or "pip printed nothing"


def push(connection: Connection, python: str, wheels: Sequence[Path], folder: str, progress: Progress | None) -> None:
    """Bring `wheels`, or other files, into the board's `folder`, going on where an interrupted run stopped.

    `python` is an interpreter of the board. `progress` is called with the bytes that are there and their total.
    Raises DeviceFullError, TransferError, DeviceLostError.
    """
    data = [wheel.read_bytes() for wheel in wheels]
    total = sum(map(len, data))
    facts = [
        word
        for wheel, each in zip(wheels, data, strict=True)
        for word in (wheel.name, str(len(each)), hashlib.sha256(each).hexdigest())
    ]
    for _ in range(3):  # to look, to look at what was sent, and once more if an old part was damaged
        done = connection.run([python, "-c", _RECEIVED, folder, *facts])
        if done.status != 0:
            raise DeviceError(f"{connection.target}: {folder} cannot be written ({one_line(done.stderr)}): mend it")
        have = _have(connection, done.stdout, data)
        if sum(have) == total:
            return
        for wheel, each, got in zip(wheels, data, have, strict=True):
            if got < len(each):
                connection.upload(each, f"{folder}/{wheel.name}.part", got)
            if progress is not None:
                have[wheels.index(wheel)] = len(each)
                progress(sum(have), total)
    raise TransferError(f"{connection.target}: the wheels arrive damaged in {folder}: check the board's disk")


def _have(connection: Connection, printed: bytes, wheels: Sequence[bytes]) -> list[int]:
    """How many bytes of each of `wheels` are on the board."""
    try:
        found = record(lambda have: have, have=rows(integer(0, 1 << 40), exactly=len(wheels)))
        return [min(have, len(wheel)) for have, wheel in zip(found(parse(printed)), wheels, strict=True)]
    except ShapeError as error:
        message = f"{connection.target}: the board's count of wheels cannot be: {error}"
        raise ProtocolError(f"{message}: mend its Python, or distrust it") from None
