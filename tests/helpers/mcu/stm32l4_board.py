# SPDX-License-Identifier: Apache-2.0
"""An STM32L4R5 in Unicorn, as far as its port uses it: a pipe to the firmware, registers that behave as RM0432 says.

Nobody has run the port on hardware. This runs all of its code, and refuses what the manual forbids: a clock that is too
fast for the wait states, flash that is written while it is locked, without an erase or by less than 64 bits.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

FLASH, BANK_BYTES, PAGE_BYTES = 0x08000000, 1 << 20, 4096
BANK_2 = FLASH + BANK_BYTES
RAM, RAM_BYTES = 0x20000000, 640 << 10
UNIQUE_ID = bytes(range(1, 13))
NOWHERE = BANK_2 - 4  # where a handler returns to: no code lies there
MMIO = ((0x40000000, 0x30000), (0x48000000, 0x2000), (0xE0000000, 0x10000))

IWDG_KR, IWDG_RLR = 0x40003000, 0x40003008
PWR_CR2, PWR_CR5 = 0x40007004, 0x40007080
LPUART_CR1, LPUART_BRR, LPUART_ISR, LPUART_RDR, LPUART_TDR = (0x40008000 + i for i in (0, 0x0C, 0x1C, 0x24, 0x28))
RCC_CR, RCC_CFGR, RCC_PLLCFGR, RCC_CSR = (0x40021000 + i for i in (0, 0x08, 0x0C, 0x94))
FLASH_ACR, FLASH_KEYR, FLASH_SR, FLASH_CR, FLASH_ECCR, FLASH_OPTR = (0x40022000 + i for i in (0, 8, 16, 20, 24, 32))
CYCCNT, AIRCR = 0xE0001004, 0xE000ED0C
RESET_VALUES = {RCC_CR: 0x63, PWR_CR5: 0x100, FLASH_ACR: 0x600, FLASH_CR: 1 << 31, FLASH_OPTR: 0xFFEFF8AA}
PROGRAM, ERASE, BANK_2_BIT, START, LOCK = 1, 2, 1 << 11, 1 << 16, 1 << 31
PROGRAM_ERROR, SEQUENCE_ERROR = 1 << 3, 1 << 7
WATCHDOG_RESET, FORGET = 1 << 29, 1 << 23
LPUART_VECTOR = 16 + 70


class Board:
    """The pipe. `flash` is what bank 2 holds; the watchdog bites at `bite_in` kicks after its start, at 0 never."""

    baud = None

    def __init__(self, image: Path, flash: bytes = b"\xff" * BANK_BYTES) -> None:
        unicorn = self.unicorn = import_module("unicorn")
        self.arm: Any = unicorn.arm_const
        self.image = image.read_bytes()
        self.input, self.output = bytearray(), bytearray()
        self.cycles, self.bite_in, self.resets = 0, 0, 0
        self.clock_hz = 4_000_000
        self.writes: list[int] = []  # the addresses of flash words
        self.cpu: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.cpu.ctl_set_cpu_model(self.arm.UC_CPU_ARM_CORTEX_M4)
        self.cpu.mem_map(FLASH, 2 * BANK_BYTES)
        self.cpu.mem_write(FLASH, self.image)
        self.cpu.mem_write(BANK_2, flash)
        self.cpu.mem_map(RAM, RAM_BYTES)
        self.cpu.mem_map(0x1FFF7000, 0x1000)
        self.cpu.mem_write(0x1FFF7590, UNIQUE_ID)
        for start, size in MMIO:
            self.cpu.mmio_map(start, size, self._read, start, self._write, start)
        self.cpu.hook_add(unicorn.UC_HOOK_BLOCK, self._count)
        self.cpu.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._program, begin=FLASH, end=FLASH + 2 * BANK_BYTES - 1)
        self.reset(0)

    def write(self, data: bytes) -> None:
        self.input += data

    def read(self, timeout_s: float) -> bytes:
        """Run until a frame is out, or the board sleeps for want of bytes."""
        while True:
            if self.input and self.registers[LPUART_CR1] & 1:
                self.call(LPUART_VECTOR)
            self._go(self.cpu.reg_read(self.arm.UC_ARM_REG_PC))
            if self.resetting:
                self.reset(self.resetting)
            elif self.output.endswith(b"\0") or not self.input:
                break
        data, self.output = bytes(self.output), bytearray()
        return data

    def close(self) -> None: ...

    def reset(self, reason: int) -> None:
        """Registers as after a reset, memory as it was."""
        self.registers: dict[int, int] = {**RESET_VALUES, LPUART_CR1: 0, RCC_CSR: reason}
        self.resetting, self.unlocking, self.resets = 0, 0, self.resets + 1
        for name, value in (("XPSR", 1 << 24), ("CONTROL", 0), ("PRIMASK", 0), ("MSP", self.vector(0))):
            self.cpu.reg_write(getattr(self.arm, f"UC_ARM_REG_{name}"), value)
        self.cpu.reg_write(self.arm.UC_ARM_REG_PC, self.vector(1) | 1)

    def vector(self, number: int) -> int:
        return int.from_bytes(self.image[4 * number : 4 * number + 4], "little")

    def call(self, vector: int) -> None:
        """Run an interrupt's handler, and go back to where the processor was."""
        context = self.cpu.context_save()
        frame_bytes = 32  # what the processor pushes
        self.cpu.reg_write(self.arm.UC_ARM_REG_SP, self.cpu.reg_read(self.arm.UC_ARM_REG_SP) - frame_bytes)
        self.cpu.reg_write(self.arm.UC_ARM_REG_LR, NOWHERE | 1)
        self._go(self.vector(vector))
        if not self.resetting:
            self.cpu.context_restore(context)

    def bank_2(self) -> bytes:
        return bytes(self.cpu.mem_read(BANK_2, BANK_BYTES))

    def _go(self, at: int) -> None:
        self.cpu.emu_start(at | 1, NOWHERE)

    def _count(self, _cpu: object, _address: int, size: int, _data: object) -> None:
        self.cycles += size // 2

    def _read(self, _cpu: object, offset: int, _size: int, start: int) -> int:
        at = start + offset
        value = self.registers.get(at, 0)
        if at == RCC_CR:
            return value | (value & 1 << 8) << 2 | (value & 1 << 24) << 1  # what is on is ready
        if at == RCC_CFGR:
            return value | (value & 3) << 2
        if at == LPUART_ISR:
            return 0xC0 | (0x20 if self.input else 0)
        if at == LPUART_RDR:
            return self.input.pop(0)
        return self.cycles & 0xFFFFFFFF if at == CYCCNT else value

    def _write(self, _cpu: object, offset: int, _size: int, value: int, start: int) -> None:
        at = start + offset
        if at in (FLASH_SR, FLASH_ECCR):
            value = self.registers.get(at, 0) & ~value
        elif at == LPUART_TDR:
            self.output.append(value & 0xFF)
        elif at == FLASH_KEYR:
            self._unlock(value)
        elif at == FLASH_CR:
            value = self._control(value)
        elif at == RCC_CFGR:
            self._clock(value)
        elif at == RCC_CSR and value & FORGET:
            value = 0
        elif at == AIRCR:
            self._restart(1 << 28)
        elif at == IWDG_KR:
            self._watch(value)
        self.registers[at] = value

    def _restart(self, reason: int) -> None:
        self.resetting = reason
        self.cpu.emu_stop()

    def _watch(self, value: int) -> None:
        if value == 0xAAAA and self.registers.get(IWDG_RLR) == 0xFFF and self.bite_in:
            self.bite_in -= 1
            if self.bite_in == 0:
                self._restart(WATCHDOG_RESET)

    def _clock(self, value: int) -> None:
        """RM0432: above 80 MHz the boost, and 5 wait states from 100 MHz on."""
        pll, registers = self.registers.get(RCC_PLLCFGR, 0), self.registers
        assert (value & 3, registers[RCC_CR] >> 24 & 1, pll & 3, pll >> 24 & 1) == (3, 1, 2, 1)  # HSI16, PLL, on
        input_hz = 16_000_000 // ((pll >> 4 & 15) + 1)
        vco_hz = input_hz * (pll >> 8 & 127)
        assert 2_660_000 <= input_hz <= 16_000_000
        assert 64_000_000 <= vco_hz <= 344_000_000
        was_hz, self.clock_hz = self.clock_hz, vco_hz // (2 * (pll >> 25 & 3) + 2) // (2 if value >> 4 & 8 else 1)
        assert self.clock_hz <= 80_000_000 or was_hz >= self.clock_hz // 2 > 26_000_000
        assert (registers[PWR_CR5] >> 8 & 1, registers[FLASH_ACR] & 15) == (0, 5)

    def _unlock(self, value: int) -> None:
        assert value == (0x45670123, 0xCDEF89AB)[self.unlocking], "a wrong key locks the flash until a reset"
        self.unlocking = 1 - self.unlocking
        if not self.unlocking:
            self.registers[FLASH_CR] &= ~LOCK

    def _control(self, value: int) -> int:
        if self.registers[FLASH_CR] & LOCK:
            return self.registers[FLASH_CR]
        if value & START and value & ERASE:
            assert value & BANK_2_BIT, "the firmware's own bank"
            self.cpu.mem_write(BANK_2 + (value >> 3 & 255) * PAGE_BYTES, b"\xff" * PAGE_BYTES)
        return value & ~START

    def _program(self, _cpu: object, _kind: int, at: int, size: int, _value: int, _data: object) -> None:
        """Called before a word of the flash changes."""
        control = self.registers[FLASH_CR]
        blank = self.cpu.mem_read(at & ~7, 8) == b"\xff" * 8
        second = at % 8 == 4 and bool(self.writes) and self.writes[-1] == at - 4
        cache = self.registers[FLASH_ACR] >> 10 & 1
        assert (size, at >= BANK_2, cache) == (4, True, 0)
        assert second or at % 8 == 0
        if control & LOCK or not control & PROGRAM:
            self.registers[FLASH_SR] = SEQUENCE_ERROR
        elif not blank and not second:
            self.registers[FLASH_SR] = PROGRAM_ERROR
        self.writes.append(at)
