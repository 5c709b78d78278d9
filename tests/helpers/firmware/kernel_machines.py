# SPDX-License-Identifier: Apache-2.0
"""Machines that run one kernel of the engine: this one, and emulated Cortex-M processors."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from pathlib import Path
from typing import Protocol

import numpy as np

from helpers.firmware.kernel_cases import CONV, DENSE, DEPTHWISE, Bytes, Case, Layout, plan_of

_FIRMWARE = Path(__file__).parents[3] / "firmware_tools" / "firmware"
_KERNELS = {CONV: "en_conv", DENSE: "en_dense", DEPTHWISE: "en_depthwise"}
_ENGINE = _FIRMWARE / "engine"
_C_FILES = sorted(map(str, _ENGINE.rglob("*.c")))
_ASSEMBLY = sorted(map(str, _ENGINE.rglob("*.S")))
_MEMORY = """
#include <string.h>
void *memcpy(void *to, const void *from, size_t n) {
    for (size_t i = 0; i < n; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}
void *memset(void *to, int value, size_t n) {
    for (size_t i = 0; i < n; i++) ((volatile char *)to)[i] = (char)value;
    return to;
}
"""


class Machine(Protocol):
    """Something that runs one operator and checks that it kept to its memory."""

    def run(self, case: Case, layout: Layout) -> Bytes:
        """The operator's output."""


class Model(ctypes.Structure):
    """en_model; the header is not read by a kernel."""

    _fields_ = (
        ("plan", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("header", ctypes.c_void_p),
        ("op", ctypes.c_uint32),
    )


class Host:
    """The portable kernels, compiled for this machine; guard bytes around the arena."""

    def __init__(self, compiler: str, folder: Path) -> None:
        library = folder / "engine.so"
        flags = ["-std=c11", "-O2", "-shared", "-fPIC", f"-I{_ENGINE}"]
        subprocess.run([compiler, *flags, "-o", str(library), *_C_FILES], check=True)
        self._library = ctypes.CDLL(str(library))

    def run(self, case: Case, layout: Layout) -> Bytes:
        plan = plan_of(case, layout)
        guard = 64
        memory = np.full(layout.bytes + 2 * guard, 0x5A, np.int8)
        skew = -(memory.ctypes.data + guard) % 4
        arena = memory[guard + skew :]
        arena[layout.input : layout.input + case.input.size] = case.input.reshape(-1)
        words = np.frombuffer(plan.ljust((len(plan) + 3) // 4 * 4, b"\0"), np.uint32).copy()
        model = Model(words.ctypes.data, arena.ctypes.data, None, 0)
        kernel = getattr(self._library, _KERNELS[case.kind])
        kernel(ctypes.byref(model), ctypes.c_void_p(words.ctypes.data))
        assert (memory[: guard + skew] == 0x5A).all(), "wrote before the arena"
        assert (arena[layout.bytes :] == 0x5A).all(), "wrote behind the arena"
        return arena[layout.output : layout.output + case.expected.size].reshape(case.expected.shape).copy()


class Emulated:
    """The kernels compiled for a Cortex-M, in unicorn; plan and arena border on unmapped pages, in turn."""

    _CODE, _END, _STACK, _MODEL, _PLAN, _ARENA = 0x10000, 0x3F000, 0x103E00, 0x103F00, 0x200000, 0x400000

    def __init__(self, cpu: str, folder: Path) -> None:
        self._cpu, self._runs = cpu, 0
        memory, elf, image = folder / "memory.c", folder / "kernels.elf", folder / "kernels.bin"
        memory.write_text(_MEMORY)
        flags = ["-mthumb", f"-mcpu={cpu}", "-mfloat-abi=soft", "-O2", "-std=c11", "-ffreestanding", "-fbuiltin"]
        flags += [
            "-fno-tree-loop-distribute-patterns",
            "-nostdlib",
            f"-I{_ENGINE}",
            f"-I{_FIRMWARE / 'ports' / 'include'}",
        ]
        link = [f"-Ttext={self._CODE:#x}", "-Wl,-e,en_conv", "-Wl,--build-id=none"]
        command = ["arm-none-eabi-gcc", *flags, *link, "-o", str(elf), str(memory), *_C_FILES, *_ASSEMBLY, "-lgcc"]
        subprocess.run(command, check=True)
        subprocess.run(
            ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text*", "-j", ".rodata*", elf, image], check=True
        )
        self._image = image.read_bytes()
        symbols = subprocess.run(["arm-none-eabi-nm", str(elf)], check=True, capture_output=True, text=True).stdout
        self._symbols = {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}
        sections = subprocess.run(["arm-none-eabi-objdump", "-h", elf], check=True, capture_output=True, text=True)
        wanted = [line.split() for line in sections.stdout.splitlines() if " .text" in line or " .rodata" in line]
        self._base = min(int(words[3], 16) for words in wanted)

    def run(self, case: Case, layout: Layout) -> Bytes:
        import unicorn
        from unicorn import arm_const as arm

        machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        machine.ctl_set_cpu_model(getattr(arm, "UC_CPU_ARM_" + self._cpu.upper().replace("-", "_")))
        machine.mem_map(0, 0x40000)
        machine.mem_write(self._base, self._image)
        machine.mem_map(0x100000, 0x4000)
        plan = plan_of(case, layout)
        plan = plan.ljust((len(plan) + 3) // 4 * 4, b"\0")
        memory = np.full(layout.bytes, 0x5A, np.int8)
        memory[layout.input : layout.input + case.input.size] = case.input.reshape(-1)
        at_end = self._runs % 2 == 1
        self._runs += 1
        plan_at = self._place(machine, self._PLAN, plan, at_end)
        arena_at = self._place(machine, self._ARENA, memory.tobytes(), at_end)
        machine.mem_write(self._MODEL, struct.pack("<4I", plan_at, arena_at, 0, 0))
        arguments = {arm.UC_ARM_REG_R0: self._MODEL, arm.UC_ARM_REG_R1: plan_at}
        kept = {getattr(arm, f"UC_ARM_REG_R{n}"): 0x1234 + n for n in range(4, 12)}
        fixed = {arm.UC_ARM_REG_SP: self._STACK, arm.UC_ARM_REG_LR: self._END | 1}
        for register, value in {**arguments, **kept, **fixed}.items():
            machine.reg_write(register, value)
        machine.emu_start(self._symbols[_KERNELS[case.kind]] | 1, self._END, timeout=20_000_000)
        assert machine.reg_read(arm.UC_ARM_REG_PC) & ~1 == self._END, "did not return"
        assert machine.reg_read(arm.UC_ARM_REG_SP) == self._STACK
        assert {register: machine.reg_read(register) for register in kept} == kept, "a callee's register was lost"
        found = np.frombuffer(bytes(machine.mem_read(arena_at, layout.bytes)), np.int8)
        return found[layout.output : layout.output + case.expected.size].reshape(case.expected.shape)

    @staticmethod
    def _place(machine: object, page: int, content: bytes, at_end: bool) -> int:
        size = max(0x1000, (len(content) + 0xFFF) // 0x1000 * 0x1000)
        machine.mem_map(page, size)  # type: ignore[attr-defined]
        at = page + size - (len(content) + 3) // 4 * 4 if at_end else page
        machine.mem_write(at, content)  # type: ignore[attr-defined]
        return at
