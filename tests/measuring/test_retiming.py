# SPDX-License-Identifier: Apache-2.0
"""What timing again may cost and what counts then: on devices and a clock that are known to the second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from edgenas.measuring.install import _timed as timed_staged
from edgenas.measuring.retiming import SHARE, Retiming, believed, counted
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import ProfileKey
from firmware_tools.device import Conditions, Timing
from firmware_tools.timing import summarise

KEY = ProfileKey("host", "litert", "2", "int8", 1, "p10", "")
MET = Conditions("litert", "2", 1, None, None, None, None, None, None, "3", "2026-01-01T00:00:00Z")
TRUTH = 2.0
MARK = ("other programs used 60% of the processor (3 of 3 processes)",)


@dataclass
class Busy:
    """A computer on which timing a model takes a second; slower(second): how many times as long one process takes.

    marks: whether it tells when that is not 1. It says what it timed to a profile that predicts the truth.
    """

    slower: Callable[[float], float]
    marks: bool = True
    now: float = 0.0
    retiming: Retiming = field(init=False)

    def __post_init__(self) -> None:
        self.retiming = Retiming(lambda: self.now)

    def one(self) -> Timing:
        factors = [self.slower(self.now + part) for part in (0.0, 0.3, 0.6)]
        self.now += 1.0
        runs: list[dict[str, Any]] = [
            {**dict.fromkeys(("min", "p10", "p50", "p95", "max"), 1e6 * TRUTH * factor), "n": 30, "ram_bytes": None}
            for factor in factors
        ]
        marked = MARK if self.marks and any(factor != 1 for factor in factors) else ()
        return summarise("sha", "p10", runs, replace(MET, marked=marked))

    def batch(self, count: int) -> list[Measurement]:
        def record(places: Sequence[int], timings: Sequence[Timing], doubts: Mapping[int, float]) -> list[Measurement]:
            return [measurement(timing) for timing in timings]

        return self.retiming.settled(count, lambda places: [self.one() for _ in places], doubts, record)


def doubts(timings: Sequence[Timing]) -> dict[int, float]:
    return {place: TRUTH for place, timing in enumerate(timings) if abs(timing.latency_ms / TRUTH - 1) > 0.05}


def measurement(timing: Timing) -> Measurement:
    values = (timing.latency_ms, timing.p10_ms, timing.p50_ms, timing.p95_ms, timing.n, timing.ci95_ms, None)
    conditions = {"marked": list(timing.conditions.marked)}
    return Measurement(KEY, "a", (1, 8, 8), 10, "tiny", *values, "sha", False, "s", "2026-01-01", conditions)


def always(second: float) -> float:
    return 1.2 + float(np.random.default_rng(int(1e3 * second)).random())


def bursts(second: float) -> float:
    return 1.8 if second % 7 < 3 else 1.0


def faster_then_half_as_fast(second: float) -> float:
    return 1.0 if second < 20 else 2.0


@pytest.mark.parametrize("slower", [always, bursts, faster_then_half_as_fast])
@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_timing_again_has_a_share_of_the_time_whatever_the_device_does(
    slower: Callable[[float], float], marks: bool, count: int
) -> None:
    computer = Busy(slower, marks)
    for _ in range(30):
        computer.batch(count)
        effort = computer.retiming.effort
        assert effort.seconds + effort.repeated_s == pytest.approx(computer.now)
        assert effort.repeated_s <= max(SHARE * effort.seconds, -(-count // 4))  # or once, of a quarter
    assert effort.repeated > 0
    assert effort.seconds == 30 * count


def test_what_is_timed_again_in_a_quiet_moment_is_believed() -> None:
    computer = Busy(lambda second: 1.8 if 3 <= second < 6 else 1.0)
    found = computer.batch(12)
    assert [round(m.latency_ms / TRUTH, 3) for m in found] == [1, 1, 1, *[1] * 3, *[1] * 6]
    assert computer.retiming.effort.repeated == 4  # one of them a second time, as far as a third of 12 s goes


def test_of_two_that_differ_the_quicker_is_believed_and_an_undisturbed_one_before_slower_ones() -> None:
    quick, slow = (measurement(Busy(lambda second, by=by: by, marks=False).one()) for by in (1.0, 1.5))  # type: ignore[misc]
    assert believed([slow, quick]) == believed([quick, slow, quick]) == quick
    marked = replace(slow, conditions={"marked": list(MARK)})
    assert believed([marked, quick, marked]) == quick
    also = replace(quick, conditions={"marked": list(MARK)})
    assert believed([also, slow, also]) == also  # nothing that disturbs makes quicker
    ahead = replace(slow, conditions={"reference_ratio": 3.0})  # of a slow moment: in truth half as long as the quick
    assert believed([quick, ahead]) == ahead


def test_one_timing_inside_another_counts_once() -> None:
    computer = Busy(always)
    with computer.retiming.spend(3, again=False):
        computer.now += 2
        with computer.retiming.spend(3, again=True):
            computer.now += 5
    effort = computer.retiming.effort
    assert (effort.seconds, effort.repeated_s, effort.repeated) == (2, 5, 3)


def test_where_all_were_disturbed_the_quickest_processes_count_with_a_wider_interval() -> None:
    factors = iter([1.3, 1.0, 1.5, 1.6, 1.01, 1.7, 1.02, 1.4, 1.9])
    timings = [Busy(lambda second: next(factors)).one() for _ in range(3)]
    found = counted(timings)
    assert found.per_process_ms == pytest.approx([TRUTH, 1.01 * TRUTH, 1.02 * TRUTH])
    assert found.latency_ms == found.p10_ms == pytest.approx(1.01 * TRUTH)
    assert found.ci95_ms[0] <= found.latency_ms
    assert found.ci95_ms[1] >= 1.5 * TRUTH
    assert (found.processes, found.n, found.conditions.marked) == (3, 90, MARK)


def test_an_undisturbed_timing_counts_before_all_disturbed_ones() -> None:
    computer = Busy(bursts)
    timings = [computer.one() for _ in range(7)]
    assert [bool(timing.conditions.marked) for timing in timings].count(False) == 4
    assert counted(timings).latency_ms == TRUTH
    assert not counted(timings).conditions.marked


@pytest.mark.parametrize(
    ("slower", "budget_ms", "timed"),
    [
        (lambda second: 1.0, TRUTH, 1),
        (lambda second: 1.0, 0.5 * TRUTH, 1),  # undisturbed and far over: no chance
        (lambda second: 1.3 if second < 105 else 1.0, TRUTH, 6),  # until a quiet moment comes
        (lambda second: 1.3, TRUTH, 1 + 33),  # what lasts is given up: a third of 100 s and of the first timing
    ],
)
def test_a_disturbed_miss_is_timed_again_as_far_as_that_is_afforded(
    slower: Callable[[float], float], budget_ms: float, timed: int
) -> None:
    computer = Busy(slower, now=100.0)
    computer.retiming.effort.seconds = 100.0
    timings = timed_staged(computer.one, budget_ms, lambda timing: False, computer.retiming)
    assert len(timings) == timed
    quiet = slower(1e3) == 1.0 and budget_ms == TRUTH
    assert (counted(timings).latency_ms <= budget_ms) == quiet


def test_without_a_share_a_disturbed_miss_is_timed_three_times() -> None:
    computer = Busy(always)
    assert len(timed_staged(computer.one, TRUTH, lambda timing: False, computer.retiming)) == 3
