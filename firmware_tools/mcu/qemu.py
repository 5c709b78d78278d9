# SPDX-License-Identifier: Apache-2.0
"""The board in QEMU. `-icount` makes its virtual time the number of executed instructions."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from firmware_tools import children
from firmware_tools.errors import EmulatorError
from firmware_tools.foreign_text import telling
from firmware_tools.mcu.emulator import FLASH_FILE, NS_SHIFT, Machine

PROGRAM = "qemu-system-arm"
# A filter of system calls: what breaks out of the emulator, or asks its semihosting, starts no program.
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


def program() -> str:
    """QEMU's path. Raises EmulatorError if it is not installed."""
    path = children.which(PROGRAM)
    if path is None:
        raise EmulatorError(f"{PROGRAM} is not on the PATH: apt-get install qemu-system-arm", program=PROGRAM)
    return path


def command(machine: Machine, image: Path, *options: str) -> list[str]:
    """`image` on `machine`, its UART at stdin and stdout, without network, display, monitor or user's configuration.

    With semihosting its working directory has to be the folder with the flash's file, and the image can open, rename
    and remove what files the user can: no image but edgenas' own, whose sha256 is known, is to be run. Raises
    EmulatorError.
    """
    semihosting = ("-semihosting-config", "enable=on,target=native") if machine.flash_file == "semihosting" else ()
    return [
        *(program(), *_sandbox(program()), "-icount", f"shift={NS_SHIFT}", "-no-user-config", "-nodefaults"),
        *("-nic", "none", "-display", "none"),
        *("-monitor", "none", "-serial", "stdio", *semihosting, *options),
        *loaded(image.absolute(), machine.code.address),
    ]


@cache
def _sandbox(program: str) -> tuple[str, ...]:
    """The options of the sandbox where this QEMU and this system have one: Linux' has, others' builds have not."""
    # This help, unlike others, comes after the filter was installed, which a container may forbid.
    tried = children.run([program, *_SANDBOX, "-machine", "none", "-nodefaults", "-chardev", "help"])
    return _SANDBOX if tried.returncode == 0 else ()


def loaded(file: Path, address: int) -> tuple[str, str]:
    """The option that puts a file's bytes into memory."""
    return "-device", f"loader,file={escaped(file)},addr={address:#x},force-raw=on"


def escaped(path: Path) -> str:
    """As a part of an option: a comma ends its value."""
    return str(path).replace(",", ",,")


def run(machine: Machine, image: Path, job: bytes, timeout_s: float) -> str:
    """What the runner in `image` writes to its UART when `job` lies in the flash.

    Raises EmulatorError if QEMU is missing, fails, or takes longer than `timeout_s` seconds.
    """
    with TemporaryDirectory(prefix="edgenas-qemu-") as folder:
        path = Path(folder) / FLASH_FILE
        in_memory = machine.flash_file == "memory"
        path.write_bytes(job if in_memory else job.ljust(machine.flash.bytes, b"\xff"))
        options = loaded(path, machine.flash.address) if in_memory else ()
        line = command(machine, image, "-M", machine.name, "-no-reboot", *options)
        try:
            finished = children.run(line, timeout_s, cwd=folder)
        except subprocess.TimeoutExpired as error:
            raise EmulatorError(
                f"{machine.name} in QEMU did not end within {timeout_s:g} s: give a longer timeout_s or fewer inputs",
                timeout_s=timeout_s,
            ) from error
    if finished.returncode != 0:
        reason = telling(finished.stderr.decode("utf-8", "replace")) or "no message"
        raise EmulatorError(f"{PROGRAM} ended with {finished.returncode}: {reason}", command=line)
    printed: bytes = finished.stdout
    return printed.decode("ascii", "replace")
