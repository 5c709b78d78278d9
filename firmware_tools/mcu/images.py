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
    """The runner for `machine`, as a file to be loaded where its code memory begins.

    Raises EmulatorError if it has to be built and cannot be.
    """
    return _made(f"{machine.name}-runner.bin")


def firmware(machine: Machine) -> Path:
    """The firmware for `machine`, likewise. Raises EmulatorError as `image` does."""
    return _made(f"{machine.name}.bin")


def _made(name: str) -> Path:
    build = FIRMWARE / "build"
    path = build / "boards" / name
    for program, package in ((COMPILER, "gcc-arm-none-eabi"), ("make", "make")):
        if shutil.which(program) is None:
            raise EmulatorError(f"{program} is not on the PATH: apt-get install {package}", program=program)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("w") as lock:  # two processes must not build the same files
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--silent", "-C", str(FIRMWARE), f"BUILD={build}", "boards"]
        built = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if built.returncode != 0:
        errors = [line for line in built.stderr.splitlines() if "rror" in line]
        reason = errors[0] if errors else f"make ended with {built.returncode}"
        raise EmulatorError(f"{path.name} cannot be built: {reason}", command=command, output=built.stderr)
    return path
