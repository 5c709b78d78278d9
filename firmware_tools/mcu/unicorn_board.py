"""The board in Unicorn, QEMU's processor without devices: needs only `pip install unicorn`, and counts the same.

The UART, the timer and the reset register that the runner uses are here. Time is the number of executed instructions:
those of all blocks that were entered, the present one included. Unicorn tells the place in a block only at the price of
a hook on every load, and it cancels out: the runner compares times that were read by the same instructions.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from pathlib import Path
from typing import Any

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import (
    CODE,
    CODE_BYTES,
    PSRAM_BYTES,
    RAM,
    RAM_BYTES,
    TICKS_PER_5_INSTRUCTIONS,
    Machine,
)

PERIPHERALS, PERIPHERALS_BYTES = 0x40000000, 0x5000
TIMER_VALUE, UART_DATA = 0x0004, 0x4000
SYSTEM, SYSTEM_BYTES = 0xE000E000, 0x1000
RESET = 0xD0C
NOWHERE = 0xFFFFFFFE  # where a run would end by itself; the runner ends it by a reset


def run(machine: Machine, image: Path, job: bytes, timeout_s: float) -> str:
    """What the runner in `image` writes to its UART when `job` lies in PSRAM.

    Raises EmulatorError if Unicorn is missing, or does not end within `timeout_s` seconds.
    """
    try:
        unicorn = import_module("unicorn")
    except ImportError as error:
        raise EmulatorError("the emulator unicorn is not installed: pip install unicorn", module="unicorn") from error
    return _Board(unicorn, machine, image.read_bytes(), job).run(timeout_s)


class _Board:
    def __init__(self, unicorn: Any, machine: Machine, image: bytes, job: bytes) -> None:
        self.unicorn, self.machine, self.image = unicorn, machine, image
        self.uart = bytearray()
        self.executed = 0  # instructions of all blocks that were entered
        self.lengths: dict[int, int] = {}  # of a block: its address and its size in bytes, see _enter
        self.ended = False
        self.arm = unicorn.arm_const
        self.cpu = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.cpu.ctl_set_cpu_model(getattr(self.arm, "UC_CPU_ARM_" + machine.core.upper().replace("-", "_")))
        self._map(job)

    def _map(self, job: bytes) -> None:
        cpu = self.cpu
        for start, size in ((CODE, CODE_BYTES), (RAM, RAM_BYTES), (self.machine.psram, PSRAM_BYTES)):
            cpu.mem_map(start, size)
        cpu.mem_write(CODE, self.image)
        cpu.mem_write(self.machine.psram, job)
        cpu.mmio_map(PERIPHERALS, PERIPHERALS_BYTES, self._read, None, self._write, None)
        cpu.mmio_map(SYSTEM, SYSTEM_BYTES, self._read_system, None, self._write_system, None)
        self._hook_blocks()

    def _hook_blocks(self) -> None:
        """Call _enter for every block: as hook_add does, without the two functions that it puts around."""
        try:
            library, handle = import_module("unicorn.unicorn_py3.unicorn").uclib, self.cpu._uch
        except (ImportError, AttributeError):  # another version of the bindings
            self.cpu.hook_add(self.unicorn.UC_HOOK_BLOCK, self._enter)
            return
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
        self.callback = kind(self._enter)  # to be kept as long as the processor
        hook, function = ctypes.c_size_t(), ctypes.cast(self.callback, ctypes.c_void_p)
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        library.uc_hook_add(handle, ctypes.byref(hook), self.unicorn.UC_HOOK_BLOCK, function, None, *everywhere)

    def run(self, timeout_s: float) -> str:
        stack, entry = (int.from_bytes(self.image[at : at + 4], "little") for at in (0, 4))
        self.cpu.reg_write(self.arm.UC_ARM_REG_SP, stack)
        try:
            self.cpu.emu_start(entry | 1, NOWHERE, timeout=int(timeout_s * 1e6))
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

    def _enter(self, _cpu: Any, address: int, size: int, _data: object) -> None:
        """Called for every block, a million times a second: nearly all the time of a run is spent here."""
        try:
            self.executed += self.lengths[address << 16 | size]
        except KeyError:
            self.lengths[address << 16 | size] = length = self._instructions(address, size)
            self.executed += length

    def _instructions(self, address: int, size: int) -> int:
        """How many Thumb instructions `size` bytes are: those that begin with 11101, 11110 or 11111 take 4 bytes."""
        code = self.image[address : address + size]
        at = number = 0
        while at + 1 < len(code):
            at += 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
            number += 1
        return number

    def _read(self, _cpu: Any, offset: int, _size: int, _data: object) -> int:
        if offset != TIMER_VALUE:
            return 0  # the UART is always ready
        return (0xFFFFFFFF - self.executed * TICKS_PER_5_INSTRUCTIONS // 5) % 2**32

    def _write(self, _cpu: Any, offset: int, _size: int, value: int, _data: object) -> None:
        if offset == UART_DATA:
            self.uart.append(value & 0xFF)

    def _read_system(self, *_: object) -> int:
        return 0

    def _write_system(self, _cpu: Any, offset: int, _size: int, _value: int, _data: object) -> None:
        if offset == RESET:
            self.ended = True
            self.cpu.emu_stop()
