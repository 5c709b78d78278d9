# SPDX-License-Identifier: Apache-2.0
"""Timings: process after process, until enough of each model's runs are undisturbed."""

from __future__ import annotations

import os
import platform
import random
import time
from typing import Any, Callable

from .cores import clock_mhz, fast_cores, governor_of, throttling, tools
from .disturbance import pace_on
from .governor import GOVERNOR, Governor
from .lines import field
from .runs import Runs
from .runtimes.registry import choose_runtime
from .slots import Store
from .system import load, temperature_c, utc
from .timing import SLOW_PACE
from .workers import Workers

SHUFFLE_SEED = 20240229
COOL_S = 5.0  # how long a throttled or disturbed device may recover before a repetition, if the last run took as long


class Timings:
    """Times models; `progress(done, total)` is called after each run."""

    def __init__(self, workers: Workers, progress: Callable[[int, int], None]) -> None:
        self._workers = workers
        self._progress = progress
        self._pace: float | None = None  # the quickest of all timings

    def time(self, store: Store, request: dict[str, Any], models: list[str]) -> dict[str, Any]:
        """The answer to a request to time the files `models`."""
        runtime, version = choose_runtime(request.get("runtime"))
        processes, threads = field(request, "processes", int), field(request, "threads", int)
        statistic = field(request, "statistic", str) if request.get("statistic") is not None else "p50"
        job = {"do": "time", "runtime": runtime, "models": models, "threads": threads, "statistic": statistic}
        reference = field(request, "reference", str) if request.get("reference") is not None else None
        job["reference"] = None if reference is None else store.stored(reference)
        job.update({name: field(request, name, (int, float)) for name in ("warmup_s", "timed_s")})
        repeats, silence_s = field(request, "repeats", int), field(request, "silence_s", (int, float))
        governor = field(request, "governor", str) if request.get("governor") is not None else None
        cores = job["cores"] = fast_cores(threads)
        with Governor(governor, cores, os.path.join(store.root, GOVERNOR)):
            conditions = {
                "runtime": runtime,
                "runtime_version": version,
                "threads": threads,
                "python_version": platform.python_version(),
                "started_utc": utc(),
                "affinity": cores,
                "governor": governor_of(cores),
                "clock_mhz_before": clock_mhz(cores),
                "load_before": load(),
            }
            runs = self._runs(store, job, silence_s, Runs(len(models), processes, repeats, self._pace))
            self._pace = runs.pace
            conditions.update(
                clock_mhz_after=clock_mhz(cores), load_after=load(), temperature_c=temperature_c(), tools=tools()
            )
        return {"runs": runs.kept(), "marked": runs.marked(), "repeats": runs.repeats(), "conditions": conditions}

    def _runs(self, store: Store, job: dict[str, Any], silence_s: float, runs: Runs) -> Runs:
        # Process after process, until each model has enough runs that nothing disturbed, or repetitions are used up.
        shuffle = random.Random(SHUFFLE_SEED).shuffle
        now, counts = throttling(job["cores"])
        done, took = 0, 0.0
        while True:
            order = runs.wanted()
            if not order:
                return runs
            if runs.repeating():
                now = self._cooled(job["cores"], runs.pace, min(COOL_S, took))
            started = time.monotonic()
            shuffle(order)
            total = done + len(order) + runs.planned()
            for run in self._workers.answers(store, dict(job, order=order, pace=runs.pace), silence_s):
                runs.add(run)
                done += 1
                self._progress(done, total)
            earlier = counts
            now, counts = throttling(job["cores"])
            grown = [name for name, count in counts.items() if count > earlier[name]]
            runs.end(sorted(set(now + grown)))
            took = time.monotonic() - started

    def _cooled(self, cores: list[int] | None, pace: float | None, most_s: float) -> list[str]:
        # What still throttles after at most that long, or as soon as nothing does and the pace is the quickest again.
        end = time.monotonic() + most_s
        while True:
            now = throttling(cores)[0]
            slow = pace is not None and pace_on(cores) > SLOW_PACE * pace
            if not (now or slow) or time.monotonic() > end or self._workers.host_gone.wait(0.5):
                return now
