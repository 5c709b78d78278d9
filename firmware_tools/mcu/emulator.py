"""What every emulated board shares: the machines, the job that the runner is given, the report that it writes.

`firmware_tools/firmware/runner/main.c` reads the job and writes the report; both have to change together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from firmware_tools.errors import EmulatorError
from firmware_tools.plan.simulate import STATUSES

JOB_MAGIC = 0x424F4A45  # "EJOB"
PSRAM_BYTES = 16 << 20
CODE_BYTES = RAM_BYTES = 4 << 20
CODE, RAM = 0x00000000, 0x20000000

# An instruction takes 2^7 ns of virtual time, a tick of the timer 40 ns: 3.2 ticks, so that rounding is exact.
NS_SHIFT = 7
TICKS_PER_5_INSTRUCTIONS = 16


@dataclass(frozen=True)
class Machine:
    """An emulated board, named as QEMU names it; `psram` is the address of the job."""

    name: str
    core: str
    psram: int


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("mps2-an385", "cortex-m3", 0x21000000),
        Machine("mps2-an386", "cortex-m4", 0x21000000),
        Machine("mps2-an500", "cortex-m7", 0x60000000),
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


def job(plan: bytes, inputs: Sequence[bytes]) -> bytes:
    """What the runner reads from PSRAM: a header of six words, the plan, the inputs.

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
    if len(blob) > PSRAM_BYTES:
        raise EmulatorError(
            f"plan and inputs take {len(blob)} bytes, the board has {PSRAM_BYTES}: give fewer inputs", bytes=len(blob)
        )
    return blob


def instructions(ticks: int) -> int:
    """Instructions executed in `ticks` of the timer, exactly: the error of a difference is below one tick."""
    return (ticks * 5 + TICKS_PER_5_INSTRUCTIONS // 2) // TICKS_PER_5_INSTRUCTIONS


def parse(text: str) -> Report:
    """The report in what the runner wrote to its UART.

    Raises EmulatorError where it reports a fault or is incomplete.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    fault = next((words for words in lines if words[0] == "fault"), None)
    if fault is not None:
        raise EmulatorError(f"the runner stopped with exception {int(fault[1], 16)} at 0x{fault[2]}", text=text)
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
    first_run = next(words[1:] for words in lines if words[0] == "run")
    total = _elapsed([int(word, 16) for word in first_run], values["empty"])
    hooked = _elapsed(values["hooked"], values["empty"])
    return Report(
        status,
        failed,
        total,
        _per_operator(values["operators"], hooked - total),
        values["arena"][0],
        values["stack"][0],
        outputs,
    )


def _elapsed(ticks: Sequence[int], empty: Sequence[int]) -> int:
    """Instructions of a function; the empty one, which is subtracted, has itself one instruction, its return."""
    return _between(ticks[0], ticks[1]) - _between(empty[0], empty[1]) + 1


def _between(start: int, end: int) -> int:
    """Instructions between two values of a timer that counts down and wraps at 2^32."""
    return instructions((start - end) % 2**32)


def _per_operator(ticks: Sequence[int], hooks: int) -> tuple[int, ...]:
    """Differences without the hook's own cost, which is what the run with it took longer, by calls of it."""
    cost = hooks // len(ticks)
    return tuple(_between(start, end) - cost for start, end in pairwise(ticks))
