# SPDX-License-Identifier: Apache-2.0
"""The peripherals of ST's microcontrollers in Unicorn, as far as the firmware and QEMU's machines use them: RM0090."""

from __future__ import annotations

from firmware_tools.mcu.unicorn_devices import NEVER, Board, Device, instructions, ticks

_FIRST_INTERRUPT = 16  # its exception: the processor's own come before


class Usart(Device):
    """As fast as the host is, and always ready to send."""

    STATE, DATA = 0x00, 0x04
    READY_TO_SEND, RECEIVED = 0xC0, 0x20

    def read(self, offset: int) -> int:
        """The next byte, or whether there is one."""
        received = self.board.received
        if offset == self.DATA:
            return received.popleft() if received else 0
        if offset == self.STATE:
            return self.READY_TO_SEND | (self.RECEIVED if received else 0)
        return 0

    def write(self, offset: int, value: int) -> None:
        """A byte for the host."""
        if offset == self.DATA:
            self.board.transmit(value & 0xFF)


class Timer(Device):
    """Counts up, enabled or not, as QEMU's does; at its limit it interrupts, if that is enabled, and counts on."""

    CONTROL, INTERRUPT, COUNT, PRESCALER, LIMIT = 0x00, 0x0C, 0x24, 0x28, 0x2C

    def __init__(self, board: Board, irq: int) -> None:
        super().__init__(board, irq)
        self.words: dict[int, int] = {}
        self.zero = self._now()  # the count is what passed since
        self.interrupts = False

    def read(self, offset: int) -> int:
        """The count, or what was written."""
        return (self._now() - self.zero) % 2**32 if offset == self.COUNT else self.words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """The count goes on from a new value, and from where it was with a new prescaler."""
        count = value if offset == self.COUNT else self._now() - self.zero
        self.words[offset] = value
        self.zero = self._now() - count
        self._wait()

    def _now(self) -> int:
        return ticks(self.board, self.board.executed) // self._divider()

    def _divider(self) -> int:
        return self.words.get(self.PRESCALER, 0) + 1

    def _wait(self) -> None:
        """The board has one alarm: only a timer that interrupts, or did so until now, may set it."""
        did, self.interrupts = self.interrupts, bool(self.words.get(self.CONTROL) and self.words.get(self.INTERRUPT))
        left = self.words.get(self.LIMIT, 0) - (self._now() - self.zero)
        if self.interrupts:
            self.board.set_alarm(self.board.executed + instructions(self.board, left * self._divider()), self._ring)
        elif did:
            self.board.set_alarm(NEVER, self._ring)

    def _ring(self) -> None:
        self.board.set_alarm(NEVER, self._ring)
        self.board.interrupt(_FIRST_INTERRUPT + self.irq)


KINDS: dict[str, type[Device]] = {"stm32-usart": Usart, "stm32-timer": Timer}
