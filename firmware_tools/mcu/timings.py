# SPDX-License-Identifier: Apache-2.0
"""From ticks of a board to a Timing: instructions where a board counts those, else milliseconds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from firmware_tools.device import Conditions, Timing, TimingPlan, Unit
from firmware_tools.errors import DeviceError, EmulatorError
from firmware_tools.link.messages import HelloAnswer, RunAnswer
from firmware_tools.mcu import Report, measure
from firmware_tools.mcu.emulator import Machine
from firmware_tools.timing import summarise

if TYPE_CHECKING:
    from firmware_tools.plan.compile import Plan

_MAX_TIMES = 32  # what a RUN takes
_MIN_TIMES = 3


@dataclass(frozen=True)
class Emulation:
    """What an emulated board runs in: `name` is a key of `firmware_tools.mcu.EMULATORS`."""

    name: str
    version: str
    machine: Machine

    @property
    def emulator(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def unit(hello: HelloAnswer) -> Unit:
    """The unit of a board's latencies."""
    return "Minsn" if hello.tick_unit == "instructions" else "ms"


def probe(size: int) -> bytes:
    """The input that models are timed on: noise, the same every time. Hardly any operator's time depends on it."""
    return random.Random(0).randbytes(size)


def measured(plan: Plan, emulation: Emulation) -> int:
    """Instructions of one inference on a bare board. Raises EmulatorError."""
    return _report(plan, emulation).instructions


def per_operator(plan: Plan, emulation: Emulation) -> list[float]:
    """Millions of instructions of each operator, in the plan's order, on a bare board. Raises EmulatorError."""
    return [instructions / 1e6 for instructions in _report(plan, emulation).per_operator]


def value(hello: HelloAnswer, ticks: int) -> float:
    """`ticks` in the board's unit. Raises DeviceError for ticks of unknown length."""
    return ticks * _nanoseconds(hello) / 1e6


def _report(plan: Plan, emulation: Emulation) -> Report:
    report = measure(plan.blob, [probe(plan.input.bytes)], emulation.machine.name, emulation.name)
    if report.status != "EN_OK":
        raise EmulatorError(
            f"{emulation.machine.name} in {emulation.name}: the engine refuses the plan with {report.status} at"
            f" operator {report.failed_operator}: it may be larger than the board, choose a smaller model",
            status=report.status,
            operator=report.failed_operator,
        )
    if report.instructions <= 0:
        raise EmulatorError(
            f"{emulation.machine.name} in {emulation.name}: {report.instructions} instructions: try again"
        )
    return report


def times(hello: HelloAnswer, ticks: int, plan: TimingPlan) -> int:
    """How often one RUN runs a model of so many ticks: for `plan.timed_s` seconds; once where counts are exact."""
    if hello.tick_unit == "instructions":
        return 1
    seconds = ticks / _rate(hello)
    return min(_MAX_TIMES, max(_MIN_TIMES, round(plan.timed_s / max(seconds, 1e-9))))


def timing(
    hello: HelloAnswer,
    sha256: str,
    plan: TimingPlan,
    runs: Sequence[RunAnswer],
    times: int,
    arena_bytes: int,
    conditions: Conditions,
) -> Timing:
    """One Timing of `runs`, each of `times` inferences. Raises DeviceError for ticks of unknown length."""
    scale = _nanoseconds(hello)
    values = [
        {
            "min": run.minimum * scale,
            "p10": run.minimum * scale,
            "p50": run.median * scale,
            "p95": run.maximum * scale,
            "max": run.maximum * scale,
            "n": times,
            "ram_bytes": arena_bytes,
        }
        for run in runs
    ]
    return replace(summarise(sha256, plan.statistic, values, conditions), unit=unit(hello))


def conditions(runtime: str, version: str, emulation: Emulation | None) -> Conditions:
    """The circumstances that can be known of a board without an operating system: little."""
    return Conditions(
        runtime=runtime,
        runtime_version=version,
        threads=1,
        governor=None,
        clock_mhz_before=None,
        clock_mhz_after=None,
        temperature_c=None,
        load_before=None,
        load_after=None,
        python_version="",
        started_utc=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        emulator=emulation.emulator if emulation else None,
    )


def _nanoseconds(hello: HelloAnswer) -> float:
    """Of a tick. What is taken for nanoseconds comes out in millions of instructions if instructions go in."""
    return 1.0 if hello.tick_unit == "instructions" else 1e9 / _rate(hello)


def _rate(hello: HelloAnswer) -> int:
    if hello.ticks_per_s == 0:
        message = f"{hello.board} counts cycles but does not say how many there are in a second"
        raise DeviceError(f"{message}: flash firmware with the clock of this board", board=hello.board)
    return hello.ticks_per_s
