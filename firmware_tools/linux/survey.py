# SPDX-License-Identifier: Apache-2.0
"""What a Linux board offers to install a runtime on; looks only, changes nothing there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firmware_tools.answers.shapes import (
    MAX_BYTES,
    ShapeError,
    flag,
    integer,
    maybe,
    pair,
    parse,
    record,
    rows,
    text,
)
from firmware_tools.errors import DeviceError, DeviceUrlError
from firmware_tools.linux.folder_check import FUNCTIONS
from firmware_tools.linux.runtimes import WITHOUT_NUMPY_WHEELS, Version
from firmware_tools.linux.ssh_connection import Connection, one_line

DEFAULT_ROOT = "~/.edgenas"
DEFAULT_PYTHON = "python3"
_MAX_VERSION = 999
_VERSION = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?(?![0-9])")

# $1 the interpreter, then its arguments; as with open_ssh, relative paths start at the home folder.
_RUN = r"""
case $1 in '~/'*) python=$HOME/${1#'~/'} ;; /*) python=$1 ;; -* | */*) python=$HOME/$1 ;; *) python=$1 ;; esac
shift
exec "$python" "$@"
"""
# Read by whatever Python the board has, so that one that is too old can say so. Of a 64-bit kernel with 32-bit programs
# (Raspberry Pi OS), the programs count. The agent's folder `scratch` must be writable as the root must; the flags 1 and
# 8 are ST_RDONLY and ST_NOEXEC. Nothing is imported from the folder of the login: "" in sys.path.
_LOOK = r"""
import sys; sys.path[:] = filter(None, sys.path)
import errno, json, os, platform, struct, sys
root = os.path.join(os.path.expanduser("~"), os.path.expanduser(sys.argv[1]))
machine = platform.machine().lower()
machine = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "armv7l"}.get(machine, machine)
if struct.calcsize("P") == 4:
    machine = {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
try:
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except Exception:
    glibc = None
try:
    import ensurepip, venv
    pip = ensurepip.version()
except Exception:
    pip = None
numpy = None
if machine in sys.argv[2].split(","):
    try:
        import numpy
        numpy = numpy.__version__
    except Exception:
        pass

def nearest(path):
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path

barred = None
for path in (nearest(os.path.join(root, "scratch")), nearest(root)):
    flags = os.statvfs(path).f_flag if os.path.isdir(path) else 0
    if not os.path.isdir(path):
        barred = path + " is no folder"
    elif not os.access(path, os.W_OK | os.X_OK):
        barred = os.strerror(errno.EROFS if flags & 1 else errno.EACCES)
    elif flags & 8:
        barred = "mounted noexec: no runtime loads from there"
try:
    exec(sys.argv[3])
    barred = barred or folder_fault(root)
except SyntaxError:  # a Python that is too old, which is said elsewhere
    pass
disk = os.statvfs(path if os.path.isdir(path) else "/")
link = os.path.join(root, "venv")
works = os.path.islink(link) and os.path.exists(os.path.join(link, "bin", "python"))
names = os.listdir(root) if barred is None and os.path.isdir(root) else []
made = sorted(name for name in names if name.startswith("venv-") or name == "wheels")
sys.stdout.write(json.dumps({
    "python": sys.executable, "version": list(sys.version_info[:2]), "machine": machine, "glibc": glibc, "pip": pip,
    "numpy": numpy, "root": root, "made": made, "current": os.readlink(link) if works else None,
    "barred": barred, "foreign": os.path.lexists(link) and not os.path.islink(link),
    "free_bytes": disk.f_bavail * disk.f_frsize,
}))
"""


@dataclass(frozen=True)
class Facts:
    """What is there: `python` is the interpreter's absolute path, `machine` that of the board's programs.

    `glibc` is None if the C library is another; `pip` is the version that a new virtual environment would have, None if
    none can be made; `numpy` the system's own, looked for only where there are no wheels of it. `made` are the names of
    the environments below `root`, "wheels" if some are kept there, `current` the environment that is in service;
    `foreign` means that something else has its place; `barred` says why nothing can be installed below `root`.
    """

    python: str
    version: Version
    machine: str
    glibc: Version | None
    pip: Version | None
    numpy: str | None
    root: str
    made: tuple[str, ...]
    current: str | None
    barred: str | None
    foreign: bool
    free_bytes: int


def survey(connection: Connection, url: str, options: Mapping[str, str]) -> Facts:
    """Ask the board's Python; `options`: `root` is the folder for everything, `python` the interpreter to ask.

    Raises DeviceError if there is no such interpreter or it gives no answer.
    """
    for name, value in options.items():
        if "\0" in value:
            raise DeviceUrlError(f"{url}: {name} holds a NUL character, which no path does", url=url, value=value)
    python = options.get("python", DEFAULT_PYTHON)
    arguments = [python, "-c", _LOOK, options.get("root", DEFAULT_ROOT), ",".join(WITHOUT_NUMPY_WHEELS), FUNCTIONS]
    done = connection.run(["sh", "-c", _RUN, "sh", *arguments])
    try:
        return _FACTS(parse(done.stdout))
    except ShapeError as error:
        why = one_line(done.stderr or done.stdout) or f"it ended with status {done.status}"
        why = why if done.status != 0 or not done.stdout.startswith(b"{") else f"its answer: {error}"
        hint = "apt-get install python3-venv there, or name an interpreter by ?python=PATH"
        raise DeviceError(f"{url}: {python} is no Python on the board ({why}): {hint}", python=python) from None


def _version(value: Any) -> Version:
    """The first two numbers of a version: 2.31, 23.0.1, 9.0rc1."""
    found = _VERSION.match(text()(value))
    if found is None:
        raise ShapeError(f"is {value[:20]!r}, no version")
    return int(found[1]), int(found[2] or 0)


def _numpy(value: Any) -> str:
    _version(value)
    return text()(value)


_path = text(4096, as_it_is=True)
_FACTS = record(
    Facts,
    python=_path,
    version=pair(integer(0, _MAX_VERSION), integer(0, _MAX_VERSION)),
    machine=text(),
    glibc=maybe(_version),
    pip=maybe(_version),
    numpy=maybe(_numpy),
    root=_path,
    made=rows(_path, most=1000),
    current=maybe(_path),
    barred=maybe(_path),
    foreign=flag,
    free_bytes=integer(0, MAX_BYTES),
)
