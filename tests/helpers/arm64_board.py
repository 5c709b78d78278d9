# SPDX-License-Identifier: Apache-2.0
"""A virtual arm64 board: a Debian 12 for arm64 with ai-edge-litert, run by QEMU's user mode behind its own SSH server.

No kernel is emulated, so it starts at once, but programs take ten times as long as here. The root folder is built once
(half a minute, from Debian's archive and the package index) and cached below ~/.cache/edgenas-tests, some 350 MB.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from firmware_tools.errors import DeviceError, DeviceLostError
from firmware_tools.linux.runtimes import choose
from firmware_tools.linux.wheels import download, download_command
from helpers.ssh_server import SshServer

T = TypeVar("T")

_SUITE = "bookworm"  # from the mirror that mmdebstrap knows
_PYTHON, _GLIBC = (3, 11), (2, 36)  # of that suite
_PACKAGES = "busybox,libstdc++6,openssh-server,python3,python3-venv"
_RUNTIME = choose("aarch64", _PYTHON, _GLIBC)
_BUILD_TIMEOUT_S = 120
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_NEVER_IMPORTED = re.compile(r"/(tests?|idlelib|lib2to3|pydoc_data|f2py)/")
_PACKAGES_FOLDER = "usr/lib/python3/dist-packages"
# Mounts that go with the process; the folder of the test is the only thing outside of it that is written to.
_ENTER = """
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp" &&
mount -t tmpfs tmpfs "$1/run" && mkdir "$1/run/sshd" && mount --bind "$2" "$1/board" &&
exec chroot "$1" /usr/sbin/sshd -D -e -f /board/sshd_config
"""


class Arm64Board(SshServer):
    """The board as an SSH server on loopback, whose user is root; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        _check_tools()
        self.root = _built()
        super().__init__(folder, "UseDNS no")
        self.user = "root"

    def _command(self, config: Path) -> list[str]:
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh"]
        return [*enter, str(self.root), str(config.parent)]

    def _config(self) -> list[str]:
        return [line.replace(str(self.folder), "/board") for line in super()._config()]


def unless_silent(run: Callable[[str], T]) -> T:
    """What `run(name)` returns: of one name after another, four at most, each for a folder of the board.

    In one run of five the emulated agent falls silent as it starts a process. Nothing else is tried again.
    """
    for name in ("first", "second", "third"):
        with suppress(DeviceLostError):
            return run(name)
    return run("fourth")


def _check_tools() -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("the virtual arm64 board needs root: it mounts folders")
    tools = {
        "mmdebstrap": "mmdebstrap",
        "busybox": "busybox",
        "unshare": "util-linux",
        "qemu-aarch64-static": "qemu-user-static",
    }
    if missing := [package for tool, package in tools.items() if shutil.which(tool) is None]:
        pytest.skip(f"the virtual arm64 board needs apt-get install {' '.join(missing)}")
    registered = _BINFMT / "qemu-aarch64"
    mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)]
    for command in (mount, ["update-binfmts", "--enable", "qemu-aarch64"]):
        if not registered.exists() and shutil.which(command[0]):
            subprocess.run(command, capture_output=True, check=False)
    # F: the interpreter is kept open, so that it is there for programs in another root, too.
    if not registered.exists() or "F" not in registered.read_text().partition("flags:")[2].split()[0]:
        pytest.skip("no binfmt_misc for aarch64 here: the virtual arm64 board cannot run its programs")


def _built() -> Path:
    """The board's root folder, built if it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgenas-tests"
    cache.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256(f"{_SUITE} {_PACKAGES} {_RUNTIME}".encode()).hexdigest()[:12]
    root, part = cache / f"arm64-{recipe}", cache / "part"
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            for old in (part, *cache.glob("arm64-*")):
                shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as beside:
                wheels = beside.submit(_wheels, Path(folder))  # half of either's time is the network's
                _debian(part)
                _runtime(part, wheels.result())
            part.rename(root)
    return root


def _debian(root: Path) -> None:
    command = ["mmdebstrap", "--variant=extract", "--mode=root", "--format=directory", "--architectures=arm64"]
    command += [f"--include={_PACKAGES}", _SUITE, str(root)]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"mmdebstrap did not make the virtual arm64 board in {_BUILD_TIMEOUT_S} s")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mmdebstrap cannot make the virtual arm64 board: {error.stderr.strip()[-300:]}")
    # What the packages' scripts would have made.
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in ("board", "proc", "root", "run"):
        (root / name).mkdir(exist_ok=True)
    for name in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not any((root / folder / name).exists() for folder in ("bin", "sbin", "usr/bin", "usr/sbin")):
            (root / "bin" / name).symlink_to("busybox")


def _wheels(folder: Path) -> list[Path]:
    try:
        return download(download_command([_RUNTIME.lock("aarch64", _PYTHON)], "aarch64", _PYTHON, _GLIBC), folder)
    except DeviceError as error:
        pytest.skip(f"no runtime for the virtual arm64 board: {error}")


def _runtime(root: Path, wheels: list[Path]) -> None:
    packages = root / _PACKAGES_FOLDER
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(packages)
    if sys.version_info[:2] == _PYTHON:  # else the emulated Python compiles, once, what it imports
        for part in (f"usr/lib/python{_PYTHON[0]}.{_PYTHON[1]}", _PACKAGES_FOLDER):
            compileall.compile_dir(
                root / part, quiet=2, workers=2, rx=_NEVER_IMPORTED, stripdir=str(root), prependdir="/"
            )
