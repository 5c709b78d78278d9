# SPDX-License-Identifier: Apache-2.0
"""A Cortex-M processor in Unicorn with its memories and peripherals, that counts what it executes.

Time is the number of executed instructions: those of all blocks that were entered, the present one included. Unicorn
tells the place in a block only at the price of a hook on every load, and it cancels out where times are compared that
were read by the same instructions.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

from firmware_tools.errors import EmulatorError
from firmware_tools.interrupts import held
from firmware_tools.mcu import unicorn_devices, unicorn_stm32
from firmware_tools.mcu.emulator import Machine, Peripheral
from firmware_tools.mcu.unicorn_devices import Device
from firmware_tools.mcu.unicorn_semihosting import BKPT_AB, Semihosting

NOWHERE = 0xFFFFFFFE  # where a run would end by itself; its devices end it
_PAGE_BYTES = 0x1000
_KINDS = {**unicorn_devices.KINDS, **unicorn_stm32.KINDS}
_SYSTEM = Peripheral("system", 0xE000E000)


class Processor(ABC):
    """`machine`'s processor with `image` in its code memory, its RAM and its peripherals; the flash is its users'.

    Subclasses say how bytes leave, and what becomes of alarms and exceptions. Raises EmulatorError if Unicorn is
    missing or has no such processor.
    """

    def __init__(self, machine: Machine, image: bytes) -> None:
        try:
            self.unicorn: Any = import_module("unicorn")
        except ImportError as error:
            message = "the emulator unicorn is not installed: pip install unicorn"
            raise EmulatorError(message, module="unicorn") from error
        if not machine.in_unicorn:
            message = f"unicorn has no {machine.core}, the processor of {machine.name}: use qemu"
            raise EmulatorError(message, machine=machine.name)
        self.machine, self.image = machine, image
        self.executed = 0  # instructions of all blocks that were entered
        self.lengths: dict[int, int] = {}  # of a block: its address and its size in bytes, see enter
        self.received: deque[int] = deque()
        self.resetting = self.faulted = False
        self._halted = False  # a signal came: the program goes on where `start` was called
        self._failure: BaseException | None = None
        self.arm: Any = self.unicorn.arm_const
        self.cpu: Any = self.unicorn.Uc(
            self.unicorn.UC_ARCH_ARM, self.unicorn.UC_MODE_THUMB | self.unicorn.UC_MODE_MCLASS
        )
        self.cpu.ctl_set_cpu_model(getattr(self.arm, "UC_CPU_ARM_" + machine.core.upper().replace("-", "_")))
        for region in (machine.code, *machine.ram):
            self.cpu.mem_map(region.address, region.bytes)
        self.cpu.mem_write(machine.code.address, image)
        self.devices: dict[int, Device] = {}
        self.new_devices()
        for page in sorted({address & -_PAGE_BYTES for address in self.devices}):
            self.cpu.mmio_map(page, _PAGE_BYTES, self._guarded(self._read), page, self._guarded(self._write), page)
        self._hook_blocks()

    def vector(self, number: int) -> int:
        """Entry `number` of the vector table: 0 is the stack, 1 the reset handler."""
        return int.from_bytes(self.image[4 * number : 4 * number + 4], "little")

    def new_devices(self) -> None:
        """All peripherals as they are after a reset, by the address of their registers."""
        own = sorted((*self.machine.peripherals, _SYSTEM), key=lambda one: one.address)
        self.devices = {one.address: _KINDS[one.kind](self, one.irq) for one in own}

    def map_semihosting(self, file: BinaryIO) -> None:
        """The flash is memory that only semihosting changes; `file` is what lies in it."""
        self.cpu.mem_map(*self.machine.flash, self.unicorn.UC_PROT_READ)
        self.semihosting = Semihosting(file)
        self.cpu.hook_add(self.unicorn.UC_HOOK_INTR, self._guarded(self._serve))

    def start(self, address: int, timeout_s: float = 0.0) -> None:
        """Execute from `address` until something stops the processor, at the latest after `timeout_s` (0: never).

        Raises unicorn.UcError for a fault, and what a hook raised. An interrupt stops the processor and is raised.
        """
        self._halted = False
        # C calls the hooks and would lose an exception that the handler of a signal raises in one.
        with held(self._halt):
            self.cpu.emu_start(address | 1, NOWHERE, timeout=int(timeout_s * 1e6))
        if (failure := self._failure) is not None:
            self._failure = None
            raise failure

    @abstractmethod
    def transmit(self, byte: int) -> None:
        """See unicorn_devices.Board."""

    def restart(self) -> None:
        """See unicorn_devices.Board."""
        self.resetting = True
        self.cpu.emu_stop()

    @abstractmethod
    def interrupt(self, exception: int) -> None:
        """See unicorn_devices.Board."""

    @abstractmethod
    def set_alarm(self, at: int, ring: Callable[[], None]) -> None:
        """See unicorn_devices.Board."""

    def enter(self, _cpu: Any, address: int, size: int, _data: object) -> None:
        """Called for every block, a million times a second: nearly all the time of a run is spent here."""
        try:
            self.executed += self.lengths[address << 16 | size]
        except KeyError:
            self._enter_new(address, size)

    def _enter_new(self, address: int, size: int) -> None:
        """A block whose length is not known, as none is after a signal."""
        self.lengths[address << 16 | size] = length = self._instructions(address, size)
        self.executed += length
        if self._halted:
            self.cpu.emu_stop()

    def _halt(self) -> None:
        """Stop at the next block, also one of a run that only begins."""
        self._halted = True
        self.lengths.clear()

    def _guarded(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """`hook` for C to call: what it raises stops the processor, and `start` raises it."""

        def call(*arguments: Any) -> Any:
            try:
                return hook(*arguments)
            except BaseException as error:  # noqa: BLE001  # C has nobody to tell it to
                self._failure = self._failure or error
                self.cpu.emu_stop()
                return 0

        return call

    def _hook_blocks(self) -> None:
        """Call enter for every block: as hook_add does, without the two functions that it puts around.

        Not guarded either, for the price of it: enter raises nothing.
        """
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

    def _serve(self, cpu: Any, _exception: int, _data: object) -> None:
        """The processor takes an exception of its own: BKPT 0xAB is a call of semihosting, others are faults."""
        arm, at = self.arm, cpu.reg_read(self.arm.UC_ARM_REG_PC)
        if bytes(cpu.mem_read(at, 2)) != BKPT_AB:
            self.faulted = True
            cpu.emu_stop()
            return
        operation, parameters = cpu.reg_read(arm.UC_ARM_REG_R0), cpu.reg_read(arm.UC_ARM_REG_R1)
        cpu.reg_write(arm.UC_ARM_REG_R0, self.semihosting.serve(cpu, operation, parameters))
        cpu.reg_write(arm.UC_ARM_REG_PC, at + 2 | 1)

    def _read(self, _cpu: Any, offset: int, _size: int, page: int) -> int:
        start = self._start(page + offset)
        return self.devices[start].read(page + offset - start) if start else 0

    def _write(self, _cpu: Any, offset: int, _size: int, value: int, page: int) -> None:
        start = self._start(page + offset)
        if start:
            self.devices[start].write(page + offset - start, value & 0xFFFFFFFF)

    def _start(self, address: int) -> int:
        """Where the peripheral's registers begin that `address` belongs to; 0: there is none before it in its page."""
        page = address & -_PAGE_BYTES
        return max((start for start in self.devices if page <= start <= address), default=0)

    def _instructions(self, address: int, size: int) -> int:
        """How many Thumb instructions `size` bytes are: those that begin with 11101, 11110 or 11111 take 4 bytes."""
        start = address - self.machine.code.address
        code = self.image[start : start + size]
        at = number = 0
        while at + 1 < len(code):
            at += 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
            number += 1
        return number
