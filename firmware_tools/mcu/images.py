"""The images that emulated boards run, built by `make` when they are missing or older than their sources."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import Machine

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
COMPILER = "arm-none-eabi-gcc"


def image(machine: Machine) -> Path:
    """The runner for `machine`, as a file to be loaded at address 0.

    Raises EmulatorError if it has to be built and cannot be.
    """
    folder = FIRMWARE / "build" / "runner"
    path = folder / f"{machine.name}.bin"
    return _made(path, ["-C", str(FIRMWARE / "runner"), f"BUILD={folder}", str(path)])


def firmware(machine: Machine) -> Path:
    """The firmware for `machine`, as a file to be loaded at address 0. Raises EmulatorError as `image` does."""
    build = FIRMWARE / "build"
    path = build / "boards" / f"{machine.name}.bin"
    return _made(path, ["-C", str(FIRMWARE), f"BUILD={build}", "boards"])


def _made(path: Path, arguments: list[str]) -> Path:
    for program, package in ((COMPILER, "gcc-arm-none-eabi"), ("make", "make")):
        if shutil.which(program) is None:
            raise EmulatorError(f"{program} is not on the PATH: apt-get install {package}", program=program)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("w") as lock:  # two processes must not build the same files
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", *arguments]
        built = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if built.returncode != 0:
        errors = [line for line in built.stderr.splitlines() if "rror" in line]
        reason = errors[0] if errors else f"make ended with {built.returncode}"
        raise EmulatorError(f"{path.name} cannot be built: {reason}", command=command, output=built.stderr)
    return path
