# SPDX-License-Identifier: Apache-2.0
"""One small deploy, its parts where faults are let in, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from firmware_tools.connect import connect
from firmware_tools.device import Device, DeviceStatus, Progress, Timing, TimingPlan
from helpers.short_deploys import SMALL

# A budget that a busy computer meets, too; what is slowed down by SLOWED misses it.
OPTIONS: dict[str, Any] = {"data": "digits", "space": SMALL, "latency": "1ms", "epochs": 8, "rounds": 2}
SLOWED = 10_000.0


class StoppedError(Exception):
    """A reporter that was told to stop."""


@dataclass
class Recorder:
    """A Reporter that remembers, and stops where it is told to."""

    stop_at: str | None = None
    stages: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    units: set[str] = field(default_factory=set)

    def stage(self, name: str) -> None:
        self.stages.append(name)
        if name == self.stop_at:
            raise StoppedError(name)

    def progress(self, done: int, total: int, unit: str) -> None:
        assert 0 <= done <= total
        self.units.add(unit)

    def say(self, line: str) -> None:
        assert "\n" not in line
        self.lines.append(line)

    def status(self, text: str) -> None:
        self.say(text)


@dataclass
class Slow:
    """The real device, but what is staged takes `factor` times as long; `staged` are its latencies."""

    device: Device
    factor: float
    staged: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def __enter__(self) -> Slow:
        self.device.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.device.__exit__(kind, error, at)

    def time_staged(self, plan: TimingPlan, progress: Progress | None = None) -> Timing:
        timing = self.device.time_staged(plan, progress)
        self.staged.append(self.factor * timing.latency_ms)
        return replace(timing, latency_ms=self.staged[-1])


@dataclass(frozen=True)
class Place:
    """A user's folder and where the runs go."""

    home: Path
    runs: Path

    def files(self, pattern: str = "stages/*.json") -> dict[str, tuple[int, bytes]]:
        """The only run's files by their path in it: time of change and content."""
        (run,) = self.runs.iterdir()
        return {
            str(path.relative_to(run)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(run.glob(pattern))
        }

    def run(self) -> Path:
        (run,) = self.runs.iterdir()
        return run

    def status(self) -> DeviceStatus:
        with connect("local:", home=self.home) as device:
            return device.status()


Copy = Callable[[Place], Place]
