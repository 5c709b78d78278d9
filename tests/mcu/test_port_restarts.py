# SPDX-License-Identifier: Apache-2.0
"""Ports as a program over port.h sees them, in both emulators: watchdog, faults, reset, flash."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from helpers.mcu.mcu_boards import heard, missing

from firmware_tools.link.pipes import ProcessPipe
from firmware_tools.mcu.board_folder import BoardFolder
from firmware_tools.mcu.emulated import board_command
from firmware_tools.mcu.emulator import MACHINES
from firmware_tools.mcu.images import FIRMWARE

# Tells by letters what happens to it: R reset, N the watchdog, F a fault; else does what a byte asks for.
PROGRAM = """
#include "core.h"
#include "port.h"
static void say(int letter) { const uint8_t byte = (uint8_t)letter; port_send(&byte, 1); }
void core_fault(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address) {
    (void)pc, (void)lr, (void)cfsr, (void)address;
    say(kind == CORE_WATCHDOG ? 'N' : 'F');
}
static __attribute__((noinline)) void hang(void) {
    for (;;) __asm__ volatile(".rept 1000\\n nop\\n .endr"); /* long blocks: an emulator runs them faster */
}
static int put(const uint8_t *to) {
    const uint8_t unit[8] = "ABCDEFGH";
    return port_erase(to) && port_write(to + 8, unit) && !port_write(to + 8, unit);
}
void core_run(void) {
    const uint8_t *const plan = port_slot_at(1)->plan;
    say('R');
    for (;;) {
        const int byte = port_receive();
        switch (byte) {
        case -1: port_wait(); break;
        case 'w': port_watchdog_start(0); port_watchdog_stop(); port_watchdog_start(0); hang(); break;
        case 'f': (void)*(volatile uint32_t *)0x70000000; break;
        case 'r': port_reset();
        case 'k': say('0' + (int)(port_kept()[0] = (port_kept()[0] + 1u) % 8u)); break;
        case 'p': say(put(plan) ? 'y' : 'n'); break;
        case 'g': say(plan[8]); break;
        default: say('?');
        }
    }
}
"""
SOURCES = {"netduinoplus2": ("stm32f405", "stm32f405.ld", "semihosting_flash.c")}


@pytest.fixture(scope="session", params=SOURCES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A machine, and the image of the program for it."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc: apt-get install gcc-arm-none-eabi")
    family, script, *shared = SOURCES[request.param]
    folder, ports = tmp_path_factory.mktemp("restarts"), FIRMWARE / "ports"
    (folder / "program.c").write_text(PROGRAM)
    include = [f"-I{path}" for path in (FIRMWARE, FIRMWARE / "core", ports, ports / "include", ports / family)]
    command = [
        "arm-none-eabi-gcc",
        "-mthumb",
        f"-mcpu={MACHINES[request.param].core}",
        "-O1",
        "-ffreestanding",
        *include,
    ]
    command += ["-nostdlib", '-DBOARD_NAME="x"', "-fno-tree-loop-distribute-patterns", f"-L{ports}"]
    command += [f"-T{ports / family / script}", "-o", str(folder / "program.elf"), str(folder / "program.c")]
    command += [str(ports / name) for name in (f"{family}/port.c", "cortex_m.c", "memory.c", *shared)]
    subprocess.run(command, check=True)
    copy = ["arm-none-eabi-objcopy", "-O", "binary", folder / "program.elf", folder / "program.bin"]
    subprocess.run(copy, check=True)
    return request.param, folder / "program.bin"


@pytest.mark.parametrize("emulator", ["qemu", "unicorn"])
def test_restarts(emulator: str, built: tuple[str, Path], tmp_path: Path) -> None:
    reason = missing(emulator)
    if reason:
        pytest.skip(reason)
    machine, image = MACHINES[built[0]], built[1]
    asked = (b"x?", b"g\xff", b"py", b"gA", b"rR", b"gA", b"fFR", b"gA", b"wNR", b"gA")
    with closing(BoardFolder(emulator, tmp_path, machine.flash.bytes)) as folder:
        command = board_command(emulator, machine, image, folder.flash)
        with closing(ProcessPipe(command, emulator)) as pipe:
            assert heard(pipe, 1) == b"R"
            pipe.write(b"k")
            kept = heard(pipe, 1)[0]
            for byte, *answer in asked:
                pipe.write(bytes((byte,)))
                assert heard(pipe, len(answer)) == bytes(answer), chr(byte)
            pipe.write(b"k")
            assert heard(pipe, 1)[0] == ord("0") + (kept - ord("0") + 1) % 8
        with closing(ProcessPipe(command, emulator)) as pipe:
            assert heard(pipe, 1) == b"R"  # what is sent before may be lost
            pipe.write(b"g")
            assert heard(pipe, 1) == b"A"
