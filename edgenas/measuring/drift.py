# SPDX-License-Identifier: Apache-2.0
"""Drift of a board while it is measured: heat and clocks make everything slower or faster with time.

A reference network is timed in turn with each of the others, where the device can do that: how many times as long a
network takes repeats to 2 % on a computer that others keep so busy that latencies differ by half. What it takes itself
is measured first, and the product is what is learnt from.

A session may begin while the board is slow. Its fastest decile tells what its reference takes undisturbed.

Elsewhere the reference is timed between the others. How much slower it runs than at the session's start is how much
slower the others ran, too: the ratio goes into their conditions, and whoever learns from them divides by it. That holds
as long as the change is smooth. Where the board jumps to another level, the networks were timed partly here and partly
there, so they are timed again. What the device has marked as disturbed tells nothing of the board, as long as there
is anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

from edgenas.measuring.retiming import Retiming
from edgenas.profiles.reference_speed import SMOOTH, fastest_decile
from firmware_tools.device import Device, Progress, Timing, TimingPlan
from firmware_tools.timing import interval95

_APART = 6  # networks between two timings of the reference
_REPEATS = 2  # of a batch at most


class ReferencedDevice:
    """A device whose `time` says in `Conditions.reference_ratio` how much slower than at first a reference ran.

    device: the one that times. reference: the model. first_ms: what it took at the session's start; None: what it takes
    now. retiming: what timing a batch again may cost, together with whatever else the session times again. ratios: of
    every batch, in order of time. told: of every network. repeated: how many batches were timed again.
    """

    def __init__(
        self,
        device: Device,
        reference: bytes,
        first_ms: float | None = None,
        say: Callable[[str], None] | None = None,
        retiming: Retiming | None = None,
    ) -> None:
        self.device, self.reference, self._say = device, reference, say or (lambda line: None)
        self._retiming = retiming or Retiming()
        self._first_ms = self._before_ms = first_ms
        self._quiet = first_ms is not None  # whether what it took at first was undisturbed
        self.ratios: list[float] = []
        self.told: list[float] = []
        self.repeated = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        """As `Device.time`; a batch in which the board jumped is timed again, twice at most and as far as afforded.

        A level that repeats is believed: it is where the board has settled. A batch that the device has marked is taken
        as it is: the device has repeated what was disturbed, and a third time would be no quieter.
        """
        if not models:
            return []
        timings = (self._paired if self.device.pairs else self._between)(models, plan, progress)
        if models != [self.reference]:
            self.told += [timing.conditions.reference_ratio or 1.0 for timing in timings]
        return timings

    @property
    def session_speed(self) -> float:
        """How many times as long as at first the reference takes undisturbed, by what was timed so far."""
        return fastest_decile(self.told)

    def _paired(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None) -> list[Timing]:
        if self._first_ms is None:
            self._first_ms = self.device.time([self.reference], plan)[0].latency_ms
        # What disturbs slows the reference as much: nothing is gained by waiting for a quiet moment.
        timings = self.device.time(models, replace(plan, reference=self.reference, repeats=0), progress)
        # How many times as long as itself the reference takes is known: measured, it would be off by 1 or 2 %, and the
        # session with it, where another one is linked to it.
        relative = [1.0 if model == self.reference else t.relative for model, t in zip(models, timings, strict=True)]
        ratios = [t.latency_ms / (r * self._first_ms) if r else 1.0 for t, r in zip(timings, relative, strict=True)]
        self.ratios.append(median(ratios))
        return [_told(timing, ratio) for timing, ratio in zip(timings, ratios, strict=True)]

    def _between(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None) -> list[Timing]:
        levels = [] if self._before_ms is None else [self._before_ms]
        for attempt in range(1 + _REPEATS):
            started = time.monotonic()
            with self._retiming.spend(len(models), again=True) if attempt else nullcontext():
                timings, references = self._interleaved(models, plan, progress)
            took = time.monotonic() - started
            quiet = [timing for timing in references if not timing.conditions.marked]
            references = quiet or references
            level = median(_values(references))
            change = max(_spread(references), min((_change(level, known) for known in levels), default=0.0))
            if change <= SMOOTH or not quiet or attempt == _REPEATS or not self._retiming.affords(took):
                break
            levels.append(level)
            self.repeated += 1
            self._say(f"the board changed by {change:.0%} while it was measured: measured again (said once)")
        if quiet:
            self._before_ms = level
        if self._first_ms is None or (quiet and not self._quiet):
            self._first_ms, self._quiet = level, bool(quiet)
        low, high = interval95(_values(references))
        # Within its own noise the reference says nothing of the board.
        ratio = 1.0 if low <= self._first_ms <= high else level / self._first_ms
        self.ratios.append(ratio)
        return [_told(timing, ratio if quiet or timing.conditions.marked else 1.0) for timing in timings]

    def _interleaved(
        self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None
    ) -> tuple[list[Timing], list[Timing]]:
        """The models' timings and the reference's, which is timed first, last and between."""
        order: list[bytes] = [self.reference]
        for start in range(0, len(models), _APART):
            order += [*models[start : start + _APART], self.reference]
        timings = self.device.time(order, plan, progress)
        places = {*range(0, len(order), _APART + 1), len(order) - 1}
        mine = [timing for place, timing in enumerate(timings) if place not in places]
        return mine, [timings[place] for place in sorted(places)]


def _told(timing: Timing, ratio: float) -> Timing:
    return replace(timing, conditions=replace(timing.conditions, reference_ratio=round(ratio, 4)))


def _values(references: Sequence[Timing]) -> list[float]:
    return [value for timing in references for value in timing.per_process_ms]


def _spread(references: Sequence[Timing]) -> float:
    """The reference's largest relative change within a batch: from place to place, and from process to process, since a
    device may time all models in one process before the next.
    """
    places = [median(timing.per_process_ms) for timing in references]
    processes = [median(values) for values in zip(*(t.per_process_ms for t in references), strict=False)]
    return max(_change(max(values), min(values)) for values in (places, processes))


def _change(one: float, other: float) -> float:
    return max(one, other) / min(one, other) - 1
