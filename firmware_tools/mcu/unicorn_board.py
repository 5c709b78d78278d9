"""The runner's board in Unicorn, QEMU's processor without devices: `pip install unicorn` is all it needs.

It counts as QEMU does. The UART, the timer and the reset register that the runner uses are here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import PSRAM_BYTES, Machine
from firmware_tools.mcu.unicorn_core import NOWHERE, Processor

PERIPHERALS, PERIPHERALS_BYTES = 0x40000000, 0x5000
TIMER_VALUE, UART_DATA = 0x0004, 0x4000
SYSTEM, SYSTEM_BYTES = 0xE000E000, 0x1000
RESET = 0xD0C


def run(machine: Machine, image: Path, job: bytes, timeout_s: float) -> str:
    """What the runner in `image` writes to its UART when `job` lies in PSRAM.

    Raises EmulatorError if Unicorn is missing, or does not end within `timeout_s` seconds.
    """
    return _Board(machine, image.read_bytes(), job).run(timeout_s)


class _Board(Processor):
    def __init__(self, machine: Machine, image: bytes, job: bytes) -> None:
        super().__init__(machine, image)
        self.uart = bytearray()
        self.ended = False
        self.cpu.mem_map(machine.psram, PSRAM_BYTES)
        self.cpu.mem_write(machine.psram, job)
        self.cpu.mmio_map(PERIPHERALS, PERIPHERALS_BYTES, self._read, None, self._write, None)
        self.cpu.mmio_map(SYSTEM, SYSTEM_BYTES, self._read_system, None, self._write_system, None)

    def run(self, timeout_s: float) -> str:
        self.cpu.reg_write(self.arm.UC_ARM_REG_SP, self.vector(0))
        try:
            self.cpu.emu_start(self.vector(1) | 1, NOWHERE, timeout=int(timeout_s * 1e6))
        except self.unicorn.UcError as error:
            where = self.cpu.reg_read(self.arm.UC_ARM_REG_PC)
            raise EmulatorError(f"the runner stopped at 0x{where:08x}: {error}", pc=where) from error
        if not self.ended:
            raise EmulatorError(
                f"{self.machine.name} in Unicorn did not end within {timeout_s:g} s: "
                "give a longer timeout_s or fewer inputs",
                timeout_s=timeout_s,
            )
        return self.uart.decode("ascii", "replace")

    def _read(self, _cpu: Any, offset: int, _size: int, _data: object) -> int:
        return self.timer() if offset == TIMER_VALUE else 0  # the UART is always ready

    def _write(self, _cpu: Any, offset: int, _size: int, value: int, _data: object) -> None:
        if offset == UART_DATA:
            self.uart.append(value & 0xFF)

    def _read_system(self, *_: object) -> int:
        return 0

    def _write_system(self, _cpu: Any, offset: int, _size: int, _value: int, _data: object) -> None:
        if offset == RESET:
            self.ended = True
            self.cpu.emu_stop()
