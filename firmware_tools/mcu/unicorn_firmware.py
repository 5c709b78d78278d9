# SPDX-License-Identifier: Apache-2.0
"""The firmware's board in Unicorn, a program of its own: the UART is its stdin and stdout, the flash a file.

    python -m firmware_tools.mcu.unicorn_firmware MACHINE IMAGE FLASH

It runs until stdin ends. At WFI this program waits for bytes without using the processor that it runs on.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_tools.mcu.emulator import MACHINES, Machine
from firmware_tools.mcu.unicorn_core import Processor
from firmware_tools.mcu.unicorn_devices import NEVER

HARD_FAULT = 3
TO_THREAD_MODE = 0xFFFFFFF9  # what LR holds in an exception's handler


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


class Board(Processor):
    """The board; `run` does not return."""

    def __init__(self, machine: Machine, image: bytes, flash: Path) -> None:
        self.alarm, self.ring = NEVER, _nothing
        super().__init__(machine, image)
        self.input, self.output = Input(), bytearray()
        self.received = self.input.bytes
        self.expired = False
        if machine.flash_file == "semihosting":
            self.map_semihosting(flash.open("r+b", buffering=0))
        else:
            self._map_flash(flash)

    def _map_flash(self, path: Path) -> None:
        size = self.machine.flash.bytes
        with path.open("r+b") as file:
            self.flash = mmap.mmap(file.fileno(), size)
        memory = (ctypes.c_char * size).from_buffer(self.flash)
        self.cpu.mem_map_ptr(*self.machine.flash, self.unicorn.UC_PROT_ALL, ctypes.addressof(memory))

    def run(self) -> None:
        """From reset to reset, as a board that is on."""
        while True:
            self._reset()
            at = self.vector(1)
            while not self.resetting:
                faulted = self._go(at)
                if self.expired:
                    self.expired = False
                    self.ring()
                elif faulted:
                    self._fault()
                at = self.cpu.reg_read(self.arm.UC_ARM_REG_PC)

    def transmit(self, byte: int) -> None:
        """To stdout, frame by frame."""
        self.output.append(byte)
        if byte == 0:
            self._flush()

    def set_alarm(self, at: int, ring: Callable[[], None]) -> None:
        """See Processor."""
        self.alarm, self.ring = at, ring

    def enter(self, _cpu: Any, address: int, size: int, _data: object) -> None:
        """Count, and look at the alarm."""
        super().enter(_cpu, address, size, _data)
        if self.executed >= self.alarm:
            self.expired = True
            self.cpu.emu_stop()

    def _go(self, at: int) -> bool:
        """Execute from `at` until something stops the processor; whether that was a fault. WFI waits for a byte."""
        try:
            self.start(at)
        except self.unicorn.UcError:
            return True
        if self.faulted:
            self.faulted = False
            return True
        if not self.expired and not self.resetting:  # it executed WFI
            self._flush()
            self.input.wait()
        return False

    def _reset(self) -> None:
        """As after power-on, but memories keep what they hold."""
        self._flush()
        self.resetting = self.expired = False
        self.new_devices()
        for name, value in (("XPSR", 1 << 24), ("CONTROL", 0), ("PRIMASK", 0), ("MSP", self.vector(0))):
            self.cpu.reg_write(getattr(self.arm, f"UC_ARM_REG_{name}"), value)

    def _fault(self) -> None:
        """A fault in a fault's handler locks a real processor up, until a watchdog resets it: it is reset at once."""
        self.resetting = self.cpu.reg_read(self.arm.UC_ARM_REG_IPSR) == HARD_FAULT
        if not self.resetting:
            self.interrupt(HARD_FAULT)

    def interrupt(self, exception: int) -> None:
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

    def _flush(self) -> None:
        while self.output:
            del self.output[: os.write(1, self.output)]


def _nothing() -> None:
    """No alarm was set."""


def main(machine: str, image: str, flash: str) -> None:
    """Run the board until stdin ends."""
    Board(MACHINES[machine], Path(image).read_bytes(), Path(flash)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
