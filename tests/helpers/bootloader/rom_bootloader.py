# SPDX-License-Identifier: Apache-2.0
"""The bytes of the serial bootloader in ST's chips (AN3155), at the far end of a pty; its flash is a dict of bytes."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from operator import xor

ACK, NACK = b"\x79", b"\x1f"
_CHIP = 0x470  # STM32L4R5
_COMMANDS = bytes((0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x44))


class RomBootloader:
    """Serves until `close`; `port` is the pty's path. `erased` are pages, `started` is the address to start at."""

    def __init__(self) -> None:
        self.flash: dict[int, int] = {}
        self.erased: list[int] = []
        self.started: int | None = None
        self._fd, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._slave)  # the last one that holds it open: reading fails
        self._thread.join(10)
        os.close(self._fd)

    def _serve(self) -> None:
        commands: dict[int, Callable[[], None]] = {
            0x00: lambda: self._say(bytes((len(_COMMANDS), 0x31)) + _COMMANDS + ACK),
            0x01: lambda: self._say(b"\x31\x00\x00" + ACK),
            0x02: lambda: self._say(bytes((1, _CHIP >> 8, _CHIP & 0xFF)) + ACK),
            0x11: self._read,
            0x21: self._go,
            0x31: self._write,
            0x44: self._erase,
        }
        with suppress(OSError):
            while True:
                code = self._take(1)[0]
                if code == 0x7F:  # for the baud rate
                    self._say(ACK)
                elif self._take(1)[0] == code ^ 0xFF and code in commands:
                    self._say(ACK)
                    commands[code]()
                else:
                    self._say(NACK)

    def _read(self) -> None:
        address, count = self._address(), self._take(2)[0] + 1
        self._say(ACK + bytes(self.flash.get(address + i, 0xFF) for i in range(count)))

    def _go(self) -> None:
        self.started = self._take_address()  # before the answer: whoever sent this ends with it
        self._say(ACK)

    def _write(self) -> None:
        address, count = self._address(), self._take(1)
        data = self._take(count[0] + 1)
        if reduce(xor, data, count[0]) != self._take(1)[0]:
            self._say(NACK)
            return
        self.flash.update(enumerate(data, address))
        self._say(ACK)

    def _erase(self) -> None:
        count = int.from_bytes(head := self._take(2), "big") + 1
        body = self._take(2 * count)
        assert reduce(xor, head + body) == self._take(1)[0]
        self.erased += [int.from_bytes(body[i : i + 2], "big") for i in range(0, len(body), 2)]
        self._say(ACK)

    def _address(self) -> int:
        address = self._take_address()
        self._say(ACK)
        return address

    def _take_address(self) -> int:
        text = self._take(5)
        assert reduce(xor, text) == 0
        return int.from_bytes(text[:4], "big")

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += os.read(self._fd, count - len(data))
        return data

    def _say(self, data: bytes) -> None:
        os.write(self._fd, data)
