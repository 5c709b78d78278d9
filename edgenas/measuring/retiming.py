# SPDX-License-Identifier: Apache-2.0
"""Timing again: what that may cost, and what of several timings of one model counts.

On a computer that others keep busy everything is disturbed, all the time. To time it again until it is quiet would take
for ever, so timing again has a share of the time that the first timings took, and what was measured is then used: the
undisturbed timings, else the quickest processes of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import ceil
from statistics import median
from typing import Any

from edgenas.profiles.measurement import Measurement
from firmware_tools.device import Timing
from firmware_tools.timing import interval95

SHARE = 1 / 3  # of the seconds of a session's first timings: timing again takes at most so many
_DOUBTED = 0.25  # of the models timed together: so many at most are timed again because they contradict the profile
_AGAIN = 2  # times at most

Time = Callable[[Sequence[int]], list[Timing]]  # the models with these places
Record = Callable[[Sequence[int], Sequence[Timing], Mapping[int, float]], list[Measurement]]
Doubts = Callable[[Sequence[Timing]], Mapping[int, float]]


@dataclass
class Effort:
    """How many models were timed in a session, how many of those timings were disturbed and repeated, in what time.

    seconds: of first timings. repeated_s: of the others.
    """

    timings: int = 0
    disturbed: int = 0
    repeated: int = 0
    seconds: float = 0.0
    repeated_s: float = 0.0

    def __str__(self) -> str:
        of = f"{self.disturbed} of {self.timings} timings were disturbed"
        return f"{of}; {self.repeated} were repeats, {self.repeated_s:.0f} s beside {self.seconds:.0f}"

    def count(self, timings: Sequence[Timing]) -> list[str]:
        """Add timings; what disturbed them, one line for each that was."""
        marked = [timing.conditions.marked[0] for timing in timings if timing.conditions.marked]
        self.timings += len(timings)
        self.disturbed += len(marked)
        return marked

    def to_json(self) -> dict[str, Any]:
        """As in a deploy's result."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Retiming:
    """Bounds a session's timing again: by `SHARE`, or once where even that is too short for it.

    clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.effort = Effort()

    @contextmanager
    def spend(self, models: int, *, again: bool) -> Iterator[None]:
        """Around a timing of so many models; one inside another counts for itself alone."""
        effort, started = self.effort, self._clock()
        inside = effort.seconds + effort.repeated_s
        try:
            yield
        finally:
            took = self._clock() - started - (effort.seconds + effort.repeated_s - inside)
            if again:
                effort.repeated_s += took
                effort.repeated += models
            else:
                effort.seconds += took

    def affords(self, seconds: float) -> bool:
        """Whether timing again may take so many more seconds; the first time in a session it always may."""
        spent = self.effort.repeated_s
        return spent == 0 or spent + seconds <= SHARE * self.effort.seconds

    def settled(self, count: int, timed: Time, doubts: Doubts, record: Record) -> list[Measurement]:
        """Time `count` models, record them, and return what is to be believed of each, in their order.

        What `doubts` (predictions by place, the worst first) is timed again before it is believed, at most a quarter of
        the models: once, a second time if that differs, too; all as long as it is afforded.
        """
        everything = range(count)
        started = self._clock()
        with self.spend(count, again=False):
            timings = timed(everything)
        each_s = (self._clock() - started) / max(1, count)
        doubted = doubts(timings)
        repeats = [[m] for m in record(everything, timings, doubted)]
        again = list(doubted)[: ceil(_DOUBTED * count)]
        for _ in range(_AGAIN):
            while again and not self.affords(each_s * len(again)):
                again = again[:-1]
            if not again:
                break
            with self.spend(len(again), again=True):
                timings = timed(again)
            for place, measurement in zip(again, record(again, timings, {}), strict=True):
                repeats[place].append(measurement)
            again = [place for place in again if not _agree(*repeats[place][-2:])]
        return [believed(each) for each in repeats]


def believed(repeats: Sequence[Measurement]) -> Measurement:
    """The middle one of a model's measurements in a session, or of the undisturbed ones if that is quicker.

    Of two the quicker is the middle one: what disturbs makes slower.
    """
    quiet = [m for m in repeats if not m.disturbed]
    middles = [sorted(each, key=_speed)[(len(each) - 1) // 2] for each in (quiet, repeats) if each]
    return min(middles, key=_speed)


def _speed(measurement: Measurement) -> float:
    return measurement.corrected_ms


def counted(timings: Sequence[Timing]) -> Timing:
    """The timing that counts of a model's: the middle one of the undisturbed, of two the slower.

    Where all were disturbed, the quickest processes of all together, as many as one timing has; the interval reaches up
    to what all processes together say.
    """
    quiet = [timing for timing in timings if not timing.conditions.marked]
    taken = sorted(quiet or timings, key=lambda timing: timing.latency_ms)
    if quiet or len(taken) == 1:
        return taken[len(taken) // 2]
    return _quickest(taken)


def _quickest(timings: Sequence[Timing]) -> Timing:
    best = timings[0]
    values = sorted(value for timing in timings for value in timing.per_process_ms)
    kept = values[: best.processes]
    latency_ms = median(kept)
    return replace(
        best,
        latency_ms=latency_ms,
        per_process_ms=tuple(kept),
        ci95_ms=(interval95(kept)[0], max(interval95(kept)[1], interval95(values)[1])),
        n=round(sum(timing.n for timing in timings) * len(kept) / len(values)),
        **{f"{best.statistic}_ms": latency_ms},  # type: ignore[arg-type]
    )


def _agree(one: Measurement, other: Measurement) -> bool:
    """Whether the intervals of two measurements have anything in common."""
    (low, high), (other_low, other_high) = one.ci95_ms, other.ci95_ms
    return low <= other_high and other_low <= high
