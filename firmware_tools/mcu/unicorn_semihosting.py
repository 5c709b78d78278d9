# SPDX-License-Identifier: Apache-2.0
"""The four calls of Arm's semihosting that the firmware uses for its flash, as QEMU serves them."""

from __future__ import annotations

from typing import Any, BinaryIO

from firmware_tools.mcu.emulator import FLASH_FILE

BKPT_AB = b"\xab\xbe"
FAILED = 0xFFFFFFFF
_OPEN, _WRITE, _READ, _SEEK = 0x01, 0x05, 0x06, 0x0A
_HANDLE = 1


class Semihosting:
    """One file, whatever it is on the host, under the name of the flash's."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def serve(self, cpu: Any, operation: int, parameters: int) -> int:
        """What the call answers. `parameters` is the address of its three words, `cpu` a unicorn.Uc."""
        words = bytes(cpu.mem_read(parameters, 12))
        first, second, third = (int.from_bytes(words[at : at + 4], "little") for at in (0, 4, 8))
        if operation == _OPEN:
            return _HANDLE if bytes(cpu.mem_read(first, third)) == FLASH_FILE.encode() else FAILED
        if operation == _SEEK and first == _HANDLE:
            self.file.seek(second)
            return 0
        if operation == _WRITE and first == _HANDLE:
            return third - self.file.write(bytes(cpu.mem_read(second, third)))
        if operation == _READ and first == _HANDLE:
            data = self.file.read(third)
            cpu.mem_write(second, data)
            return third - len(data)
        return FAILED
