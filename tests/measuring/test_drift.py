# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, cast

import pytest

from edgenas.measuring.drift import ReferencedDevice
from edgenas.measuring.retiming import Retiming
from edgenas.profiles.reference_speed import fastest_decile
from firmware_tools.device import Conditions, Device, Progress, Timing, TimingPlan
from firmware_tools.timing import summarise

REFERENCE = b"reference"
MET = Conditions("litert", "2", 1, None, None, None, None, None, None, "3", "2024-01-01T00:00:00Z")
TAKES = {REFERENCE: 2.0, b"small": 1.0, b"large": 8.0}


@dataclass
class Clock:
    """A board whose speed is known: for every call, how much slower each of three processes is than at first.

    marked: for every call, which models it marks as disturbed; none of those beyond its end.
    """

    slower: list[Sequence[float]]
    marked: Sequence[Collection[bytes]] = ()
    pairs: bool = False  # whether it times models in turn with a reference
    calls: list[list[bytes]] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)  # that every call asked for

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        if list(models) == [REFERENCE]:
            return [_timing(REFERENCE, EVEN, False)]
        factors = self.slower[len(self.calls)]
        marked = self.marked[len(self.calls)] if len(self.calls) < len(self.marked) else ()
        self.calls.append(list(models))
        self.repeats.append(plan.repeats)
        found = [_timing(model, factors, model in marked) for model in models]
        if self.pairs:
            assert plan.reference == REFERENCE
            return [replace(t, relative=TAKES[m] / TAKES[REFERENCE]) for t, m in zip(found, models, strict=True)]
        return found


def _timing(model: bytes, factors: Sequence[float], marked: bool) -> Timing:
    runs: list[dict[str, Any]] = []
    for factor in factors:
        nanoseconds = 1e6 * factor * TAKES[model]
        runs.append({**dict.fromkeys(("min", "p10", "p50", "p95", "max"), nanoseconds), "n": 30, "ram_bytes": None})
    return summarise("sha", "p10", runs, replace(MET, marked=("other programs",) if marked else ()))


def timed(
    *slower: Sequence[float], first_ms: float | None = None, marked: Sequence[Collection[bytes]] = ()
) -> tuple[ReferencedDevice, list[list[Timing]], Clock]:
    """One batch of three networks after the other until the calls are used up."""
    clock = Clock(list(slower), marked)
    device = ReferencedDevice(cast("Device", clock), REFERENCE, first_ms, retiming=Retiming(lambda: 0.0))
    found = []
    while len(clock.calls) < len(slower):
        found.append(device.time([b"small", b"large", b"small"], TimingPlan(3)))
    return device, found, clock


EVEN = (1.0, 1.0, 1.0)


def test_a_board_that_gets_warm_is_corrected_by_its_reference() -> None:
    device, found, clock = timed(EVEN, (1.05, 1.06, 1.07), (1.12, 1.12, 1.12))
    assert clock.calls == [[REFERENCE, b"small", b"large", b"small", REFERENCE]] * 3
    for batch, ratio in zip(found, (1.0, 1.06, 1.12), strict=True):
        assert [t.conditions.reference_ratio for t in batch] == pytest.approx([ratio] * 3)
        assert [t.latency_ms for t in batch] == pytest.approx([ratio, 8 * ratio, ratio])  # raw
    assert (device.repeated, device.ratios) == (0, pytest.approx([1.0, 1.06, 1.12]))


def test_beside_its_reference_a_network_takes_what_it_always_takes() -> None:
    clock = Clock([(1.5, 1.1, 1.9), EVEN], pairs=True)
    device = ReferencedDevice(cast("Device", clock), REFERENCE)
    for factor in (1.5, 1.0):
        found = device.time([b"small", b"large"], TimingPlan(3))
        assert [t.latency_ms for t in found] == pytest.approx([factor, 8 * factor])  # raw
        assert [t.conditions.reference_ratio for t in found] == pytest.approx([factor, factor])
    assert (device.ratios, device.repeated) == (pytest.approx([1.5, 1.0]), 0)
    assert clock.repeats == [0, 0]  # what disturbs slows the reference as much


def test_the_reference_takes_as_long_as_itself_whatever_is_measured() -> None:
    class Rough(Clock):
        def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
            return [t if t.relative is None else replace(t, relative=1.02) for t in super().time(models, plan)]

    device = ReferencedDevice(cast("Device", Rough([(1.5, 1.5, 1.5)], pairs=True)), REFERENCE)
    (one, other) = device.time([REFERENCE, b"small"], TimingPlan(3))
    assert (one.conditions.reference_ratio, other.conditions.reference_ratio) == (
        1.5,
        pytest.approx(1.5 * 0.5 / 1.02, abs=1e-4),
    )


def test_the_quick_moments_tell_what_the_reference_takes_undisturbed() -> None:
    assert (fastest_decile([]), fastest_decile([1.3, 1.2]), fastest_decile([0.5, 1.0])) == (1.0, 1.0, 0.5)
    assert fastest_decile([0.2, 0.5, *[1.0] * 18]) == 0.5  # one of twenty is luck
    clock = Clock([(1.3, 1.3, 1.3), (0.5, 0.5, 0.5)], pairs=True)
    device = ReferencedDevice(cast("Device", clock), REFERENCE)
    levels = []
    for model in (REFERENCE, b"small", b"large"):
        device.time([model], TimingPlan(3))
        levels.append(device.session_speed)
    assert levels == pytest.approx([1.0, 1.0, 0.5])


def test_what_is_within_the_noise_of_the_reference_is_no_drift() -> None:
    device, _, _ = timed(EVEN, (0.97, 1.02, 1.03))
    assert device.ratios == [1.0, 1.0]


@pytest.mark.parametrize("jump", [(1.0, 1.0, 1.5), (1.4, 1.4, 1.4)])
def test_a_batch_with_a_jump_is_timed_again(jump: Sequence[float]) -> None:
    device, found, _ = timed(EVEN, jump, EVEN, EVEN)
    assert device.repeated == 1
    assert [t.latency_ms for t in found[1]] == [1.0, 8.0, 1.0]


def test_a_level_that_repeats_is_believed_and_corrected() -> None:
    device, found, _ = timed(EVEN, (1.5, 1.5, 1.5), (1.5, 1.5, 1.5), (1.52, 1.52, 1.52))
    assert device.repeated == 1
    assert device.ratios == pytest.approx([1.0, 1.5, 1.52])
    assert [t.latency_ms / t.conditions.reference_ratio for t in found[1]] == pytest.approx([1.0, 8.0, 1.0])  # type: ignore[operator]


def test_a_board_that_never_rests_ends_after_two_repetitions() -> None:
    device, found, clock = timed(EVEN, (1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 4.0, 1.0))
    assert (len(found), len(clock.calls), device.repeated) == (2, 4, 2)


def test_a_batch_is_not_timed_again_where_that_would_take_more_than_its_share() -> None:
    clock = Clock([EVEN, (1.0, 2.0, 3.0), EVEN])
    retiming = Retiming(lambda: 0.0)
    retiming.effort.seconds, retiming.effort.repeated_s = 30.0, 11.0
    device = ReferencedDevice(cast("Device", clock), REFERENCE, retiming=retiming)
    for _ in range(2):
        device.time([b"small", b"large", b"small"], TimingPlan(3))
    assert (len(clock.calls), device.repeated) == (2, 0)


def test_what_the_device_has_marked_is_not_timed_again() -> None:
    device, found, _ = timed(EVEN, (1.0, 1.0, 1.5), marked=((), (REFERENCE, b"large")))
    assert (len(found), device.repeated) == (2, 0)


def test_a_disturbed_reference_speaks_for_what_was_disturbed_alone() -> None:
    _, found, _ = timed(EVEN, (1.5, 1.5, 1.5), marked=((), (REFERENCE, b"large")))
    assert [t.conditions.reference_ratio for t in found[1]] == [1.0, 1.5, 1.0]


def test_a_session_that_began_disturbed_is_not_brought_to_that_level() -> None:
    device, found, _ = timed((1.6, 1.6, 1.6), EVEN, (1.1, 1.1, 1.1), marked=(tuple(TAKES),))
    assert device.ratios == pytest.approx([1.0, 1.0, 1.1])
    assert [t.conditions.reference_ratio for t in found[1]] == [1.0, 1.0, 1.0]


def test_a_session_that_goes_on_keeps_its_first_reference() -> None:
    device, found, _ = timed((1.1, 1.1, 1.1), first_ms=2.0)
    assert device.ratios == pytest.approx([1.1])
    assert median(t.latency_ms for t in found[0]) == pytest.approx(1.1)


def test_the_reference_is_timed_again_in_a_long_batch() -> None:
    clock = Clock([EVEN])
    device = ReferencedDevice(cast("Device", clock), REFERENCE)
    timings = device.time([b"small"] * 14, TimingPlan(3))
    assert len(timings) == 14
    assert [i for i, model in enumerate(clock.calls[0]) if model == REFERENCE] == [0, 7, 14, 17]
    assert device.time([], TimingPlan(3)) == []
