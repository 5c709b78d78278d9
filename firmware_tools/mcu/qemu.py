"""The board in QEMU. `-icount` makes its virtual time the number of executed instructions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import NS_SHIFT, Machine

PROGRAM = "qemu-system-arm"


def program() -> str:
    """QEMU's path. Raises EmulatorError if it is not installed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise EmulatorError(f"{PROGRAM} is not on the PATH: apt-get install qemu-system-arm", program=PROGRAM)
    return path


def run(machine: Machine, image: Path, job: bytes, timeout_s: float) -> str:
    """What the runner in `image` writes to its UART when `job` lies in the flash.

    Raises EmulatorError if QEMU is missing, fails, or takes longer than `timeout_s` seconds.
    """
    with TemporaryDirectory(prefix="edgenas-qemu-") as folder:
        path = Path(folder) / "job"
        path.write_bytes(job)
        command = [program(), "-M", machine.name, "-icount", f"shift={NS_SHIFT}", "-no-reboot"]
        command += ["-nodefaults", "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio"]
        command += ["-kernel", str(image)]
        escaped = str(path).replace(",", ",,")  # a comma ends an option's value
        command += ["-device", f"loader,file={escaped},addr={machine.flash.address:#x},force-raw=on"]
        try:
            finished = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, errors="replace"
            )
        except subprocess.TimeoutExpired as error:
            raise EmulatorError(
                f"{machine.name} in QEMU did not end within {timeout_s:g} s: give a longer timeout_s or fewer inputs",
                timeout_s=timeout_s,
            ) from error
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise EmulatorError(f"{PROGRAM} ended with {finished.returncode}: {reason}", command=command)
    return finished.stdout
