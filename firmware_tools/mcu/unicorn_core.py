"""A Cortex-M processor in Unicorn that counts what it executes; the devices around it are its users'.

Time is the number of executed instructions: those of all blocks that were entered, the present one included. Unicorn
tells the place in a block only at the price of a hook on every load, and it cancels out where times are compared that
were read by the same instructions.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import (
    CODE,
    CODE_BYTES,
    RAM,
    RAM_BYTES,
    TICKS_PER_5_INSTRUCTIONS,
    Machine,
)

NOWHERE = 0xFFFFFFFE  # where a run would end by itself; its devices end it


class Processor:
    """`machine`'s processor with `image` in its code memory and with its RAM; devices are to be mapped by subclasses.

    Raises EmulatorError if Unicorn is missing.
    """

    def __init__(self, machine: Machine, image: bytes) -> None:
        try:
            self.unicorn: Any = import_module("unicorn")
        except ImportError as error:
            message = "the emulator unicorn is not installed: pip install unicorn"
            raise EmulatorError(message, module="unicorn") from error
        self.machine, self.image = machine, image
        self.executed = 0  # instructions of all blocks that were entered
        self.lengths: dict[int, int] = {}  # of a block: its address and its size in bytes, see enter
        self.arm: Any = self.unicorn.arm_const
        self.cpu: Any = self.unicorn.Uc(
            self.unicorn.UC_ARCH_ARM, self.unicorn.UC_MODE_THUMB | self.unicorn.UC_MODE_MCLASS
        )
        self.cpu.ctl_set_cpu_model(getattr(self.arm, "UC_CPU_ARM_" + machine.core.upper().replace("-", "_")))
        self.cpu.mem_map(CODE, CODE_BYTES)
        self.cpu.mem_map(RAM, RAM_BYTES)
        self.cpu.mem_write(CODE, image)
        self._hook_blocks()

    def vector(self, number: int) -> int:
        """Entry `number` of the vector table: 0 is the stack, 1 the reset handler."""
        return int.from_bytes(self.image[4 * number : 4 * number + 4], "little")

    def timer(self) -> int:
        """A timer that counts down from 2^32 - 1 at 25 MHz."""
        return (0xFFFFFFFF - self.executed * TICKS_PER_5_INSTRUCTIONS // 5) % 2**32

    def enter(self, _cpu: Any, address: int, size: int, _data: object) -> None:
        """Called for every block, a million times a second: nearly all the time of a run is spent here."""
        try:
            self.executed += self.lengths[address << 16 | size]
        except KeyError:
            self.lengths[address << 16 | size] = length = self._instructions(address, size)
            self.executed += length

    def _hook_blocks(self) -> None:
        """Call enter for every block: as hook_add does, without the two functions that it puts around."""
        try:
            library, handle = import_module("unicorn.unicorn_py3.unicorn").uclib, self.cpu._uch
        except (ImportError, AttributeError):  # another version of the bindings
            self.cpu.hook_add(self.unicorn.UC_HOOK_BLOCK, self.enter)
            return
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
        self.callback = kind(self.enter)  # to be kept as long as the processor
        hook, function = ctypes.c_size_t(), ctypes.cast(self.callback, ctypes.c_void_p)
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        library.uc_hook_add(handle, ctypes.byref(hook), self.unicorn.UC_HOOK_BLOCK, function, None, *everywhere)

    def _instructions(self, address: int, size: int) -> int:
        """How many Thumb instructions `size` bytes are: those that begin with 11101, 11110 or 11111 take 4 bytes."""
        code = self.image[address : address + size]
        at = number = 0
        while at + 1 < len(code):
            at += 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
            number += 1
        return number
