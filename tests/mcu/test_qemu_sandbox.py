# SPDX-License-Identifier: Apache-2.0
"""What an image in QEMU can ask of the host by Arm's semihosting: no program."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu import qemu
from firmware_tools.mcu.emulator import MACHINES

# SYS_SYSTEM, then SYS_EXIT.
PROGRAM = """
typedef unsigned int word;
static word ask(word operation, word parameter) {
    register word r0 __asm__("r0") = operation;
    register word r1 __asm__("r1") = parameter;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
void reset(void) {
    static const char line[] = "touch " MARK;
    const word words[2] = {(word)line, sizeof line - 1u};
    ask(0x12, (word)words);
    ask(0x18, 0x20026);
    for (;;) {}
}
__attribute__((section(".vectors"), used)) static void *const vectors[2] = {(void *)0x20010000, reset};
"""


def test_an_image_starts_no_program_of_the_host(tmp_path: Path) -> None:
    for tool in (qemu.PROGRAM, "arm-none-eabi-gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    if not qemu._sandbox(qemu.program()):
        pytest.skip("this QEMU, or this system, has no sandbox")
    mark, machine = tmp_path / "PWNED", MACHINES["netduinoplus2"]
    (tmp_path / "program.c").write_text(PROGRAM)
    script = f"SECTIONS {{ .text {machine.code.address:#x} : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) }} }}"
    (tmp_path / "program.ld").write_text(script)
    command = ["arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4", "-O1", "-ffreestanding", "-nostdlib"]
    command.append(f'-DMARK="{mark}"')
    elf, image = tmp_path / "program.elf", tmp_path / "program.bin"
    subprocess.run([*command, f"-T{tmp_path / 'program.ld'}", "-o", elf, tmp_path / "program.c"], check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", elf, image], check=True)
    with suppress(EmulatorError):  # the filter of system calls ends it
        qemu.run(machine, image, b"", 60.0)
    assert not mark.exists()
