# SPDX-License-Identifier: Apache-2.0
"""The runs of one timing, and which of them count."""

from __future__ import annotations

import itertools
from typing import Any

from .timing import SLOW_PACE

# A run is marked above (or below) these. The 10th percentile of an inference that is short against a time slice (about
# 3 ms) withstands more, that of a long one does not.
WAITED = 0.1  # share of the timed seconds in which the worker could not run
OTHERS = 0.25  # share of the whole processor that other programs used: one core of four
SLOWED = 0.9  # of the highest clock of the same request


class Runs:
    """The runs of one request: `processes` of each model, and `repeats` more at most where some were disturbed."""

    def __init__(self, models: int, processes: int, repeats: int, pace: float | None = None) -> None:
        self.pace = pace  # the quickest so far; None: not known
        self._runs: list[list[dict[str, Any]]] = [[] for _ in range(models)]
        self._processes, self._most = processes, processes + repeats
        self._ended = 0

    def planned(self) -> int:
        """How many runs the processes after the next one will make, repetitions left out."""
        return max(0, self._processes - self._ended - 1) * len(self._runs)

    def repeating(self) -> bool:
        """Whether the next process is a repetition."""
        return self._ended >= self._processes

    def wanted(self) -> list[int]:
        """The models that the next process is to time."""
        if not self.repeating():
            return list(range(len(self._runs)))
        if self._ended >= self._most:
            return []
        quiet = [sum(not self._marks(run) for run in runs) for runs in self._runs]
        if self._ended > self._processes and not any(quiet):
            return []  # what lasts is not waited out
        return [model for model, count in enumerate(quiet) if count < self._processes]

    def add(self, run: dict[str, Any]) -> None:
        """A run of the process that is at work."""
        self.pace = min((pace for pace in (self.pace, run["pace"]) if pace is not None), default=None)
        self._runs[run.pop("model")].append(dict(run, process=self._ended))

    def end(self, throttled: list[str]) -> None:
        """The process at work has ended, and was throttled by this."""
        for run in itertools.chain.from_iterable(self._runs):
            if run["process"] == self._ended:
                run["throttled"] = throttled
        self._ended += 1

    def _marks(self, run: dict[str, Any]) -> dict[str, tuple[float, str]]:
        # What disturbed it: how badly, and in words, by kind.
        marks = {name: (1.0, name) for name in run["throttled"]}
        for name, limit, text in (
            ("waited", WAITED, "waited {:.0%} of the time for other programs"),
            ("others", OTHERS, "other programs used {:.0%} of the processor"),
        ):
            share = run[name]
            if share is not None and share > limit:
                marks[name] = (share, text.format(share))
        highest = max((other["clock_mhz"] or 0 for other in itertools.chain.from_iterable(self._runs)), default=0)
        clock = run["clock_mhz"]
        if clock is not None and clock < SLOWED * highest:
            marks["clock"] = (highest - clock, f"clock {clock:.0f} MHz, {highest:.0f} in another process")
        slower = self._slower(run)
        if slower > SLOW_PACE:
            marks["pace"] = (slower, f"arithmetic took {slower:.1f} times as long as before")
        return marks

    def _slower(self, run: dict[str, Any]) -> float:
        # How many times as long as at the quickest pace everything took.
        pace: float | None = run["pace"]
        return 1.0 if pace is None or self.pace is None else pace / self.pace

    def _quietest(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # In the order of time.
        def noise(run: dict[str, Any]) -> tuple[int, float]:
            return len(self._marks(run)), self._slower(run) + (run["waited"] or 0) + (run["others"] or 0)

        return sorted(sorted(runs, key=noise)[: self._processes], key=lambda run: run["process"])

    def kept(self) -> list[list[dict[str, Any]]]:
        """Of each model the quietest runs, as many as there should be."""
        return [self._quietest(runs) for runs in self._runs]

    def repeats(self) -> list[int]:
        """Of each model how many runs were taken again."""
        return [len(runs) - self._processes for runs in self._runs]

    def marked(self) -> list[list[str]]:
        """Of each model what disturbed the runs kept: the worst of each kind, and in how many."""
        reasons = []
        for runs in self.kept():
            kinds: dict[str, list[tuple[float, str]]] = {}
            for run in runs:
                for kind, mark in self._marks(run).items():
                    kinds.setdefault(kind, []).append(mark)
            found = [f"{max(marks)[1]} ({len(marks)} of {len(runs)} processes)" for _, marks in sorted(kinds.items())]
            reasons.append(found)
        return reasons
