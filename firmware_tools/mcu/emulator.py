# SPDX-License-Identifier: Apache-2.0
"""What every emulated board shares: the machines, the job that the runner is given, the report that it writes.

`firmware_tools/firmware/runner/main.c` reads the job and writes the report; both have to change together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from firmware_tools.errors import EmulatorError
from firmware_tools.plan.simulate import STATUSES

JOB_MAGIC = 0x424F4A45  # "EJOB"

FLASH_FILE = "flash.bin"  # in the board's folder

# An instruction takes 2^7 ns of virtual time: more than two ticks of any board's timer, so that rounding is exact.
NS_SHIFT = 7


class Region(NamedTuple):
    """Memory: where it begins, and its size in bytes."""

    address: int
    bytes: int


class Peripheral(NamedTuple):
    """A device of a board in Unicorn: a key of `unicorn_devices.KINDS`, its registers, its interrupt's number."""

    kind: str
    address: int
    irq: int = 0


@dataclass(frozen=True)
class Machine:
    """An emulated board, named as QEMU names it.

    The image is loaded where `code` begins, with the table of vectors first. `flash` holds the slots, or the runner's
    job; a file of as many bytes plays it: "memory" is the board's memory itself, by QEMU's memory-backend-file; with
    "semihosting" the firmware reads and writes the file, and only that changes the memory.
    `peripherals` are for Unicorn, `timer_hz` is their clock.
    """

    name: str
    core: str
    code: Region
    ram: tuple[Region, ...]
    flash: Region
    flash_file: Literal["memory", "semihosting"] = "memory"
    peripherals: tuple[Peripheral, ...] = ()
    timer_hz: int = 25_000_000
    in_unicorn: bool = True


def _mps2(name: str, core: str, psram: int) -> Machine:
    return Machine(
        name,
        core,
        code=Region(0x00000000, 4 << 20),
        ram=(Region(0x20000000, 4 << 20),),
        flash=Region(psram, 16 << 20),
        peripherals=(
            Peripheral("cmsdk-timer", 0x40000000),
            Peripheral("cmsdk-dual-timer", 0x40002000, irq=10),
            Peripheral("cmsdk-uart", 0x40004000),
        ),
    )


_AN505 = Machine(
    "mps2-an505",
    "cortex-m33",
    code=Region(0x10000000, 4 << 20),
    ram=(Region(0x38000000, 4 << 20),),
    flash=Region(0x80000000, 16 << 20),
    peripherals=(
        Peripheral("cmsdk-timer", 0x50000000),
        Peripheral("cmsdk-dual-timer", 0x50002000, irq=5),
        Peripheral("cmsdk-uart", 0x50200000),
    ),
    timer_hz=20_000_000,
)

_AN547 = Machine(
    "mps3-an547",
    "cortex-m55",
    code=Region(0x10000000, 512 << 10),
    ram=(Region(0x31000000, 4 << 20),),
    flash=Region(0x11000000, 2 << 20),
    flash_file="semihosting",
    in_unicorn=False,
)

_NETDUINO = Machine(
    "netduinoplus2",
    "cortex-m4",
    code=Region(0x08000000, 128 << 10),
    ram=(Region(0x20000000, 128 << 10),),
    flash=Region(0x08020000, 768 << 10),
    flash_file="semihosting",
    peripherals=(
        Peripheral("stm32-timer", 0x40000000),
        Peripheral("stm32-timer", 0x40000C00, irq=50),
        Peripheral("stm32-usart", 0x40011000),
    ),
    timer_hz=1_000_000_000,
)

MACHINES = {
    machine.name: machine
    for machine in (
        _mps2("mps2-an385", "cortex-m3", 0x21000000),
        _mps2("mps2-an386", "cortex-m4", 0x21000000),
        _mps2("mps2-an500", "cortex-m7", 0x60000000),
        _AN505,
        _AN547,
        _NETDUINO,
    )
}


@dataclass(frozen=True)
class Report:
    """One plan on one emulated board.

    `status` is what en_load answered ("EN_OK", ..); unless that is "EN_OK" everything else is 0 or empty, but for
    `failed_operator`, the index of the operator that was refused. `instructions` are those of en_run without a hook, on
    the first input; `per_operator` the same for each operator, with the loop around it, so that their sum lacks only
    en_run's own beginning and end. `arena_bytes` is what the plan needs, `stack_bytes` what en_run took. `outputs` has
    one output tensor, as int8 bytes, for each input.
    """

    status: str
    failed_operator: int
    instructions: int
    per_operator: tuple[int, ...]
    arena_bytes: int
    stack_bytes: int
    outputs: tuple[bytes, ...]


def job(machine: Machine, plan: bytes, inputs: Sequence[bytes]) -> bytes:
    """What the runner reads from the flash: a header of six words, the plan, the inputs.

    Raises ValueError for no inputs, or inputs of different sizes, EmulatorError for more bytes than the board has.
    """
    sizes = {len(data) for data in inputs}
    if len(sizes) != 1:
        raise ValueError(f"a job needs inputs of one size, got {len(inputs)} inputs of sizes {sorted(sizes)}")
    header_bytes = 24
    padded = plan + bytes(-len(plan) % 4)
    header = struct.pack(
        "<6I", JOB_MAGIC, header_bytes, len(plan), header_bytes + len(padded), len(inputs), sizes.pop()
    )
    blob = header + padded + b"".join(inputs)
    if len(blob) > machine.flash.bytes:
        message = f"plan and inputs take {len(blob)} bytes, {machine.name} has {machine.flash.bytes}"
        raise EmulatorError(f"{message}: give fewer inputs", bytes=len(blob))
    return blob


def parse(text: str) -> Report:
    """The report in what the runner wrote to its UART.

    Raises EmulatorError where it reports a fault or is incomplete.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    fault = next((words for words in lines if words[0] == "fault"), None)
    if fault is not None:
        raise EmulatorError(f"the runner stopped at 0x{int(fault[2], 16):08x}", text=text)
    if not lines or lines[-1] != ["end"] or lines[0][0] != "status":
        raise EmulatorError(
            f"the runner gave no whole report, its last line is {lines[-1] if lines else None}", text=text
        )
    values = {words[0]: [int(word, 16) for word in words[1:]] for words in lines if words[0] != "output"}
    code, failed = values["status"]
    status = STATUSES[code] if code < len(STATUSES) else f"status {code}"
    if code != 0:
        return Report(status, failed, 0, (), 0, 0, ())
    if "refused" in values:
        raise EmulatorError("the runner refused the job: inputs of another size than the plan's, or too many operators")
    outputs = tuple(bytes.fromhex(words[1]) for words in lines if words[0] == "output")
    total = next(int(words[1], 16) for words in lines if words[0] == "run")
    return Report(
        status,
        failed,
        total,
        _per_operator(values["operators"], values["hooked"][0] - total),
        values["arena"][0],
        values["stack"][0],
        outputs,
    )


def _per_operator(ticks: Sequence[int], hooks: int) -> tuple[int, ...]:
    """Differences without the hook's own cost, which is what the run with it took longer, by calls of it."""
    cost = hooks // len(ticks)
    return tuple(end - start - cost for start, end in pairwise(ticks))
