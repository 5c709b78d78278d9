# SPDX-License-Identifier: Apache-2.0
"""Latencies of one model: slices of calls, at the quickest pace or beside a reference."""

from __future__ import annotations

import gc
import time
from typing import Callable

from .disturbance import pace_ns, settle

SLOW_PACE = 1.25  # times the quickest pace since the agent began; where nothing disturbs it varies by a tenth
MIN_INVOCATIONS = 30
SLICES = 5  # of a run, each with the pace before and after it
BESIDE_NS = 20_000_000  # of a slice beside the reference, of any run: how long one is shows in how quick its calls are
PATIENCE = 3  # times as long a run goes on at most, for slices at the quickest pace


def timed_slices(
    invoke: Callable[[], None], warmup_s: float, timed_s: float, cores: list[int] | None, quickest: float | None
) -> tuple[list[tuple[int, list[int]]], float]:
    """(pace, nanoseconds of each call) of the quietest slices that hold `timed_s` and MIN_INVOCATIONS, the quietest
    first, after `warmup_s` of calls; and the quickest pace of all.

    A slice is quiet at up to SLOW_PACE times the quickest pace. After one that is not, the next is timed on whichever
    of `cores` is the quickest then. Where there are too few, the run ends after PATIENCE times `timed_s`; where there
    is none at all, what disturbs it lasts, and it ends after `timed_s`.
    """
    clock = time.perf_counter_ns
    least = int(timed_s * 1e9)
    settle(cores)
    timed_slice(invoke, int(warmup_s * 1e9))
    slices: list[tuple[int, list[int]]] = []
    gc.collect()
    gc.disable()
    try:
        started = clock()
        before = pace_ns()
        while True:
            calls = timed_slice(invoke, least // SLICES)
            after = pace_ns()
            slices.append((max(before, after), calls))
            quickest = slices[-1][0] if quickest is None else min(quickest, slices[-1][0])
            slow = SLOW_PACE * quickest
            quiet = [one for one in slices if one[0] <= slow]
            patient = clock() - started < (PATIENCE if quiet else 1) * least
            if enough(quiet, least) or (not patient and enough(slices, least)):
                break
            before = after
            if slices[-1][0] > slow:
                before = settle(cores)
                invoke()  # what another core has not in its cache
    finally:
        gc.enable()
    slices.sort(key=lambda one: one[0])
    kept: list[tuple[int, list[int]]] = []
    while not enough(kept, least):
        kept.append(slices[len(kept)])
    return kept, quickest


def timed_beside(
    reference: Callable[[], None], invoke: Callable[[], None], warmup_s: float, timed_s: float
) -> tuple[list[int], float]:
    """Nanoseconds of each call, for `timed_s` and MIN_INVOCATIONS, and how many times as long as `reference` one takes.

    The reference is timed between slices of calls. Whatever slows the core slows both, so that their ratio repeats to
    2 % where the latencies themselves differ by half.
    """
    least = int(timed_s * 1e9)
    timed_slice(invoke, int(warmup_s * 1e9))
    taken: list[int] = []
    ratios = []
    gc.collect()
    gc.disable()
    try:
        before = middle(timed_slice(reference, BESIDE_NS // 3))
        while not enough([(0, taken)], least):
            calls = timed_slice(invoke, BESIDE_NS)
            after = middle(timed_slice(reference, BESIDE_NS // 3))
            ratios.append(2 * middle(calls) / (before + after))
            taken += calls
            before = after
    finally:
        gc.enable()
    return taken, sorted(ratios)[len(ratios) // 2]


def middle(calls: list[int]) -> int:
    """The median, without the first, which finds another model's data in the cache; of two the second."""
    rest = sorted(calls[1:] or calls)
    return rest[len(rest) // 2]


def timed_slice(invoke: Callable[[], None], length: int) -> list[int]:
    """Nanoseconds of each call, for that many nanoseconds, two calls at least."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    end = clock() + length
    while True:
        start = clock()
        invoke()
        stop = clock()
        taken.append(stop - start)
        if stop >= end and len(taken) > 1:
            return taken


def enough(slices: list[tuple[int, list[int]]], least: int) -> bool:
    """Whether they hold that many nanoseconds, and MIN_INVOCATIONS."""
    calls = [calls for _, calls in slices]
    return sum(map(len, calls)) >= MIN_INVOCATIONS and sum(map(sum, calls)) >= least
