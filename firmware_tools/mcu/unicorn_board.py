# SPDX-License-Identifier: Apache-2.0
"""The runner's board in Unicorn, QEMU's processor without devices: `pip install unicorn` is all it needs.

It counts as QEMU does.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import Machine
from firmware_tools.mcu.unicorn_core import Processor


def run(machine: Machine, image: Path, job: bytes, timeout_s: float) -> str:
    """What the runner in `image` writes to its UART when `job` lies in the flash.

    Raises EmulatorError if Unicorn is missing, or does not end within `timeout_s` seconds.
    """
    return _Board(machine, image.read_bytes(), job).run(timeout_s)


class _Board(Processor):
    def __init__(self, machine: Machine, image: bytes, job: bytes) -> None:
        super().__init__(machine, image)
        self.sent = bytearray()
        if machine.flash_file == "semihosting":
            self.map_semihosting(BytesIO(job.ljust(machine.flash.bytes, b"\xff")))
        else:
            self.cpu.mem_map(*machine.flash)
            self.cpu.mem_write(machine.flash.address, job)

    def transmit(self, byte: int) -> None:
        self.sent.append(byte)

    def set_alarm(self, at: int, ring: Callable[[], None]) -> None:
        """None ever rings: the runner's time is bounded from outside."""

    def interrupt(self, exception: int) -> None:
        """Only alarms ask for it."""

    def run(self, timeout_s: float) -> str:
        """Until the runner resets the board."""
        self.cpu.reg_write(self.arm.UC_ARM_REG_SP, self.vector(0))
        try:
            self.start(self.vector(1), timeout_s)
        except self.unicorn.UcError as error:
            where = self.cpu.reg_read(self.arm.UC_ARM_REG_PC)
            raise EmulatorError(f"the runner stopped at 0x{where:08x}: {error}", pc=where) from error
        if self.faulted:
            where = self.cpu.reg_read(self.arm.UC_ARM_REG_PC)
            raise EmulatorError(f"the runner stopped at 0x{where:08x}", pc=where)
        if not self.resetting:
            raise EmulatorError(
                f"{self.machine.name} in Unicorn did not end within {timeout_s:g} s: "
                "give a longer timeout_s or fewer inputs",
                timeout_s=timeout_s,
            )
        return self.sent.decode("ascii", "replace")
