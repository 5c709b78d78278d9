# SPDX-License-Identifier: Apache-2.0
"""How much other programs are in a timing's way."""

from __future__ import annotations

import os
import time

from .cores import processor_use


class Disturbance:
    """How much other programs were in this process's way, from its making to `shares`."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[int, int, float, tuple[float, float] | None]:
        return time.perf_counter_ns(), time.thread_time_ns(), time.process_time(), processor_use()

    def shares(self, threads: int) -> dict[str, float | None]:
        """`waited`, of the time, where one thread computes all the time; `others`, of the whole processor."""
        (wall, ran, own, use), (wall0, ran0, own0, use0) = self._now(), self._start
        waited, others = None, None
        if threads == 1:
            waited = max(0.0, 1 - (ran - ran0) / (wall - wall0))
        if use is not None and use0 is not None and use[1] > use0[1]:
            others = max(0.0, (use[0] - use0[0] - (own - own0)) / (use[1] - use0[1]))
        return {"waited": waited, "others": others}


def pace_ns() -> int:
    """Nanoseconds of a fixed piece of arithmetic, the least of three.

    It tells what no counter of a virtual machine does: that a core is slower than before, by its clock or because
    others use its second thread. A model then takes up to twice its time, for seconds.
    """
    least = None
    for _ in range(3):
        start = time.perf_counter_ns()
        total = 0
        for number in range(1000):
            total += number * number
        took = time.perf_counter_ns() - start
        least = took if least is None else min(least, took)
    assert least is not None
    return least


def settle(cores: list[int] | None) -> int:
    """Move this thread to that one of `cores` where arithmetic is done soonest; its pace there."""
    if cores is None or len(cores) < 2:
        return pace_ns()

    def soonest(core: int) -> int:
        start = time.perf_counter_ns()
        os.sched_setaffinity(0, [core])  # returns there, after whoever is at work
        pace_ns()
        return time.perf_counter_ns() - start

    os.sched_setaffinity(0, [min(cores, key=soonest)])
    return pace_ns()


def pace_on(cores: list[int] | None) -> int:
    """The pace on the best of `cores` now; this thread stays where it is."""
    if cores is None:
        return pace_ns()
    before = os.sched_getaffinity(0)
    try:
        return settle(cores)
    finally:
        os.sched_setaffinity(0, before)
