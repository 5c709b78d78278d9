# SPDX-License-Identifier: Apache-2.0
"""Both emulators restart a board as a real one would: watchdog, faults, reset; and what its PSRAM holds stays."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from helpers.mcu.mcu_boards import heard, missing

from firmware_tools.link.pipes import ProcessPipe
from firmware_tools.mcu.board_folder import BoardFolder
from firmware_tools.mcu.emulated import board_command
from firmware_tools.mcu.emulator import MACHINES

# Tells by letters what happens to it: R reset, W the watchdog's interrupt, F a fault; else does what a byte asks for.
PROGRAM = """
#include <stdint.h>
#define REGISTER(address) (*(volatile uint32_t *)(address))
static void say(uint32_t letter) { REGISTER(0x40004000) = letter; }
static void restart(void) { REGISTER(0xE000ED0C) = 0x05FA0004; for (;;) {} }
static uint32_t next(void) {
    while ((REGISTER(0x40004004) & 2u) == 0u) __asm__ volatile("wfi");
    const uint32_t byte = REGISTER(0x40004000);
    REGISTER(0x4000400C) = 2;
    REGISTER(0xE000E280) = 1;
    return byte;
}
static void watch(void) {
    REGISTER(0x40002020) = 1000;
    REGISTER(0x40002028) = 0xAB;
    __asm__ volatile("cpsie i");
}
void reset(void) {
    __asm__ volatile("cpsid i");
    REGISTER(0x40004010) = 217;
    REGISTER(0x40004008) = 11;
    REGISTER(0xE000E100) = 1u << 10 | 1;
    say('R');
    for (;;) {
        switch (next()) {
        case 'w': watch(); for (;;) {}
        case 'f': (void)REGISTER(0x70000000); break;
        case 'r': restart(); break;
        case 'p': REGISTER(0x21000010) = next(); break;
        case 'g': say(REGISTER(0x21000010)); break;
        default: say('?');
        }
    }
}
static void watchdog(void) { say('W'); restart(); }
static void fault(void) { say('F'); restart(); }
__attribute__((section(".vectors"), used)) static void *const vectors[27] =
    {(void *)0x20010000, reset, fault, fault, fault, fault, fault, [26] = watchdog};
"""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emulators")
    (folder / "program.c").write_text(PROGRAM)
    (folder / "program.ld").write_text("SECTIONS { .text 0 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } }")
    elf = folder / "program.elf"
    command = ["arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4", "-O1", "-ffreestanding", "-nostdlib"]
    subprocess.run([*command, f"-T{folder / 'program.ld'}", "-o", elf, folder / "program.c"], check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", elf, folder / "program.bin"], check=True)
    return folder / "program.bin"


@pytest.mark.parametrize("name", ["qemu", "unicorn"])
def test_restarts(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    reason = missing(name)
    if reason:
        pytest.skip(reason)
    image = request.getfixturevalue("image")
    asked = ((b"x", b"?"), (b"r", b"R"), (b"f", b"FR"), (b"pA", b""), (b"r", b"R"), (b"g", b"A"), (b"w", b"WR"))
    machine = MACHINES["mps2-an386"]
    with closing(BoardFolder(name, tmp_path, machine.flash.bytes)) as folder:
        command = board_command(name, machine, image, folder.flash)
        with closing(ProcessPipe(command, name)) as pipe:
            assert heard(pipe, 1) == b"R"
            pipe.write(b"g")
            assert heard(pipe, 1) == b"\xff"  # erased
            for byte, answer in asked:
                pipe.write(byte)
                assert heard(pipe, len(answer)) == answer, byte
        with closing(ProcessPipe(command, name)) as pipe:
            pipe.write(b"g")
            assert heard(pipe, 2) == b"RA"
