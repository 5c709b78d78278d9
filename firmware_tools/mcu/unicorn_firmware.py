"""The firmware's board in Unicorn, a program of its own: the UART is its stdin and stdout, the flash a file.

    python -m firmware_tools.mcu.unicorn_firmware MACHINE IMAGE FLASH

It runs until stdin ends. Beside the processor there are the UART, the timer, the watchdog and the system control
registers that the firmware uses. There is no interrupt controller: the firmware polls, and waits with WFI, at which
this program waits for bytes without using the processor that it runs on.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from firmware_tools.mcu.emulator import MACHINES, PSRAM_BYTES, TICKS_PER_5_INSTRUCTIONS, Machine
from firmware_tools.mcu.unicorn_core import NOWHERE, Processor

PERIPHERALS, PERIPHERALS_BYTES = 0x40000000, 0x10000
TIMER_VALUE = 0x0004
UART_DATA, UART_STATE, UART_INTERRUPT = 0x4000, 0x4004, 0x400C
UART_RECEIVED = 2
WATCHDOG_LOAD, WATCHDOG_VALUE, WATCHDOG_CONTROL, WATCHDOG_CLEAR, WATCHDOG_RAW = (0x8000 + 4 * i for i in range(5))
WATCHDOG_ENABLED, WATCHDOG_RESETS = 1, 2
SYSTEM, SYSTEM_BYTES = 0xE000E000, 0x1000
RESET = 0xD0C
NMI, HARD_FAULT = 2, 3
TO_THREAD_MODE = 0xFFFFFFF9  # what LR holds in an exception's handler
NEVER = 1 << 63


class Input:
    """Bytes from stdin, read by a thread; at its end the whole program ends."""

    def __init__(self) -> None:
        self.bytes: deque[int] = deque()
        self._arrived = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self) -> None:
        """Return when there is a byte."""
        while not self.bytes:
            self._arrived.clear()
            if not self.bytes:
                self._arrived.wait()

    def _read(self) -> None:
        while data := os.read(0, 1 << 16):
            self.bytes.extend(data)
            self._arrived.set()
        os._exit(0)  # whatever the firmware does: a host that went away must not leave boards behind


class Watchdog:
    """The CMSDK's: counts down at the timer's 25 MHz, first asks for an NMI and then, if nobody answered, resets."""

    def __init__(self) -> None:
        self.load, self.control, self.asked = 0xFFFFFFFF, 0, False
        self.deadline = NEVER  # in executed instructions

    def start(self, now: int) -> None:
        """Count from the load value on."""
        enabled = self.control & WATCHDOG_ENABLED
        self.deadline = now + self.load * 5 // TICKS_PER_5_INSTRUCTIONS if enabled else NEVER

    def value(self, now: int) -> int:
        """What is left, in ticks."""
        return self.load if self.deadline == NEVER else (self.deadline - now) * TICKS_PER_5_INSTRUCTIONS // 5

    def write(self, offset: int, value: int, now: int) -> None:
        """A register is written."""
        if offset == WATCHDOG_LOAD:
            self.load = value
        elif offset == WATCHDOG_CONTROL:
            self.control = value
        elif offset == WATCHDOG_CLEAR:
            self.asked = False
        else:
            return
        self.start(now)


class Board(Processor):
    """The board; `run` does not return."""

    def __init__(self, machine: Machine, image: bytes, flash: Path) -> None:
        super().__init__(machine, image)
        self.input, self.output = Input(), bytearray()
        self.watchdog = Watchdog()
        self.system = bytearray(SYSTEM_BYTES)
        self.resetting = self.expired = False
        with flash.open("r+b") as file:
            self.flash = mmap.mmap(file.fileno(), PSRAM_BYTES)
        memory = (ctypes.c_char * PSRAM_BYTES).from_buffer(self.flash)
        self.cpu.mem_map_ptr(machine.psram, PSRAM_BYTES, self.unicorn.UC_PROT_ALL, ctypes.addressof(memory))
        self.cpu.mmio_map(PERIPHERALS, PERIPHERALS_BYTES, self._read, None, self._write, None)
        self.cpu.mmio_map(SYSTEM, SYSTEM_BYTES, self._read_system, None, self._write_system, None)

    def run(self) -> None:
        """From reset to reset, as a board that is on."""
        while True:
            self._reset()
            at = self.vector(1)
            while not self.resetting:
                faulted = self._go(at)
                if self.expired:
                    self._expire()
                elif faulted:
                    self._fault()
                at = self.cpu.reg_read(self.arm.UC_ARM_REG_PC)

    def enter(self, _cpu: Any, address: int, size: int, _data: object) -> None:
        """Count, and look at the watchdog."""
        super().enter(_cpu, address, size, _data)
        if self.executed >= self.watchdog.deadline:
            self.expired = True
            self.cpu.emu_stop()

    def _go(self, at: int) -> bool:
        """Execute from `at` until something stops the processor; whether that was a fault. WFI waits for a byte."""
        try:
            self.cpu.emu_start(at | 1, NOWHERE)
        except self.unicorn.UcError:
            return True
        if not self.expired and not self.resetting:  # it executed WFI
            self._flush()
            self.input.wait()
        return False

    def _reset(self) -> None:
        """As after power-on, but memories keep what they hold."""
        self._flush()
        self.resetting = self.expired = False
        self.watchdog = Watchdog()
        self.system = bytearray(SYSTEM_BYTES)
        for name, value in (("XPSR", 1 << 24), ("CONTROL", 0), ("PRIMASK", 0), ("MSP", self.vector(0))):
            self.cpu.reg_write(getattr(self.arm, f"UC_ARM_REG_{name}"), value)

    def _expire(self) -> None:
        self.expired = False
        if self.watchdog.asked:
            self.resetting = self.resetting or bool(self.watchdog.control & WATCHDOG_RESETS)
            return
        self.watchdog.asked = True
        self.watchdog.start(self.executed)
        self._take(NMI)

    def _fault(self) -> None:
        """A fault in a fault's handler locks a real processor up, until a watchdog resets it: it is reset at once."""
        self.resetting = self.cpu.reg_read(self.arm.UC_ARM_REG_IPSR) in (NMI, HARD_FAULT)
        if not self.resetting:
            self._take(HARD_FAULT)

    def _take(self, exception: int) -> None:
        """Enter a handler as the processor does: eight registers on the stack, the exception's number in IPSR."""
        arm, cpu = self.arm, self.cpu
        names = ("R0", "R1", "R2", "R3", "R12", "LR", "PC", "XPSR")
        frame = [cpu.reg_read(getattr(arm, f"UC_ARM_REG_{name}")) for name in names]
        stack = (cpu.reg_read(arm.UC_ARM_REG_SP) - 4 * len(frame)) & ~7
        try:
            cpu.mem_write(stack, struct.pack(f"<{len(frame)}I", *frame))
        except self.unicorn.UcError:  # the stack itself is what is wrong
            self.resetting = True
            return
        cpu.reg_write(arm.UC_ARM_REG_SP, stack)
        cpu.reg_write(arm.UC_ARM_REG_LR, TO_THREAD_MODE)
        cpu.reg_write(arm.UC_ARM_REG_XPSR, 1 << 24 | exception)
        cpu.reg_write(arm.UC_ARM_REG_PC, self.vector(exception) | 1)

    def _read(self, _cpu: Any, offset: int, _size: int, _data: object) -> int:
        if offset == UART_STATE:
            return UART_RECEIVED if self.input.bytes else 0
        if offset == UART_DATA:
            return self.input.bytes.popleft() if self.input.bytes else 0
        if offset == TIMER_VALUE:
            return self.timer()
        if offset == WATCHDOG_VALUE:
            return self.watchdog.value(self.executed)
        if offset == WATCHDOG_RAW:
            return int(self.watchdog.asked)
        if offset == UART_INTERRUPT:
            return UART_RECEIVED if self.input.bytes else 0
        return 0

    def _write(self, _cpu: Any, offset: int, _size: int, value: int, _data: object) -> None:
        if offset == UART_DATA:
            self.output.append(value & 0xFF)
            if value & 0xFF == 0:  # a frame's end
                self._flush()
        else:
            self.watchdog.write(offset, value, self.executed)

    def _flush(self) -> None:
        while self.output:
            del self.output[: os.write(1, self.output)]

    def _read_system(self, _cpu: Any, offset: int, size: int, _data: object) -> int:
        return int.from_bytes(self.system[offset : offset + size], "little")

    def _write_system(self, _cpu: Any, offset: int, size: int, value: int, _data: object) -> None:
        if offset == RESET:
            self.resetting = True
            self.cpu.emu_stop()
        else:
            self.system[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def main(machine: str, image: str, flash: str) -> None:
    """Run the board until stdin ends."""
    Board(MACHINES[machine], Path(image).read_bytes(), Path(flash)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
