# SPDX-License-Identifier: Apache-2.0
"""The peripherals of emulated boards in Unicorn, which has none: one class for each kind, as far as it is used.

There is no interrupt controller: the firmware polls for bytes, and waits with WFI.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from firmware_tools.mcu.emulator import NS_SHIFT, Machine

NEVER = 1 << 63
FIRST_IRQ = 16  # among the exceptions


class Board(Protocol):
    """What a peripheral may ask of its board. `executed` is the time, `received` the bytes that the host sent."""

    machine: Machine
    executed: int
    received: deque[int]

    def transmit(self, byte: int) -> None:
        """Send a byte to the host."""

    def restart(self) -> None:
        """Reset the board."""

    def interrupt(self, exception: int) -> None:
        """Take an exception; only to be called when the alarm rings."""

    def set_alarm(self, at: int, ring: Callable[[], None]) -> None:
        """Call `ring` once `at` instructions were executed, in place of any earlier wish."""


class Device:
    """Registers that read as 0 and take what is written; `irq` is its interrupt's number. A reset makes a new one."""

    def __init__(self, board: Board, irq: int) -> None:
        self.board, self.irq = board, irq

    def read(self, offset: int) -> int:
        """The register at `offset` bytes is read."""
        return 0

    def write(self, offset: int, value: int) -> None:
        """The register at `offset` bytes is written."""


class System(Device):
    """The registers that every Cortex-M has at 0xE000E000: they keep what they are given; one of them resets."""

    RESET = 0xD0C

    def __init__(self, board: Board, irq: int) -> None:
        super().__init__(board, irq)
        self.words: dict[int, int] = {}

    def read(self, offset: int) -> int:
        """What was written there last."""
        return self.words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Keep it; the reset register restarts the board."""
        self.words[offset] = value
        if offset == self.RESET:
            self.board.restart()


class CmsdkTimer(Device):
    """Counts down from 2^32 - 1, from the start of the program on."""

    VALUE = 4

    def read(self, offset: int) -> int:
        """The count."""
        return (0xFFFFFFFF - ticks(self.board, self.board.executed)) % 2**32 if offset == self.VALUE else 0


class CmsdkUart(Device):
    """As fast as the host is, and always ready to send."""

    DATA, STATE, INTERRUPT = 0, 4, 12
    RECEIVED = 2

    def read(self, offset: int) -> int:
        """The next byte, or whether there is one."""
        received = self.board.received
        if offset == self.DATA:
            return received.popleft() if received else 0
        return self.RECEIVED if offset in (self.STATE, self.INTERRUPT) and received else 0

    def write(self, offset: int, value: int) -> None:
        """A byte for the host."""
        if offset == self.DATA:
            self.board.transmit(value & 0xFF)


class CmsdkDualTimer(Device):
    """Two timers that count every 256th tick down: one from 2^32 - 1 on, the other once, to an interrupt."""

    VALUE, LOAD, CONTROL = 0x04, 0x20, 0x28
    ENABLED, PRESCALER = 0x80, 256

    def __init__(self, board: Board, irq: int) -> None:
        super().__init__(board, irq)
        self.load, self.control = 0, 0
        self._count()

    def read(self, offset: int) -> int:
        """The first one's count."""
        count = ticks(self.board, self.board.executed) // self.PRESCALER
        return (0xFFFFFFFF - count) % 2**32 if offset == self.VALUE else 0

    def write(self, offset: int, value: int) -> None:
        """The second one counts from the load value on."""
        if offset == self.LOAD:
            self.load = value
            self._count()
        elif offset == self.CONTROL:
            self.control = value
            self._count()

    def _count(self) -> None:
        wait = instructions(self.board, self.load * self.PRESCALER) if self.control & self.ENABLED else NEVER
        self.board.set_alarm(self.board.executed + wait, self._end)

    def _end(self) -> None:
        self.control &= ~self.ENABLED
        self._count()
        self.board.interrupt(FIRST_IRQ + self.irq)


def ticks(board: Board, number: int) -> int:
    """Ticks of the board's timers that begin while so many instructions are executed."""
    return (number << NS_SHIFT) * board.machine.timer_hz // 10**9


def instructions(board: Board, number: int) -> int:
    """Instructions that are executed in so many ticks."""
    return number * 10**9 // board.machine.timer_hz >> NS_SHIFT


KINDS: dict[str, type[Device]] = {
    "system": System,
    "cmsdk-timer": CmsdkTimer,
    "cmsdk-uart": CmsdkUart,
    "cmsdk-dual-timer": CmsdkDualTimer,
}
