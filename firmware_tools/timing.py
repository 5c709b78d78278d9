# SPDX-License-Identifier: Apache-2.0
"""From the latencies of several processes to one Timing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from statistics import median
from typing import Any

from firmware_tools.device import STATISTICS, Conditions, Statistic, Timing

# By how many ranges [min, max] must be widened on either side to cover the median of a normal population 95 times in
# 100: the 0.95 quantile of max(min, -max) / (max - min) over 4,000,000 standard normal samples of each size.
_WIDENING = {2: 5.854, 3: 0.814, 4: 0.240, 5: 0.039}


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % confidence interval for the median of the population that `values` (two or more) are drawn from.

    From 6 values on it is the sign test's interval, between two order statistics, which assumes nothing about the
    distribution (Thompson 1936). With fewer, no such interval reaches 95 %: [min, max] of 5 covers the median only in
    93.75 % of the cases, of 4 in 87.5 %, of 3 in 75 %, of 2 in 50 %. Those are widened by the part of their range that
    makes it 95 % for a normal population. The lower end is never below 0. Values are taken as independent: a load that
    lasts through all processes shifts them together, and no interval from one session shows that.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs 2 values at least, got {len(values)}")
    ordered = sorted(values)
    n = len(ordered)
    if n in _WIDENING:
        extra = _WIDENING[n] * (ordered[-1] - ordered[0])
        return max(0.0, ordered[0] - extra), ordered[-1] + extra
    # Largest k such that P(fewer than k of n values lie below the median) <= 2.5 %.
    k, tail = 0, 0.0
    while tail + comb(n, k) / 2**n <= 0.025:
        tail += comb(n, k) / 2**n
        k += 1
    return ordered[k - 1], ordered[n - k]


def summarise(sha256: str, statistic: Statistic, runs: Sequence[Mapping[str, Any]], conditions: Conditions) -> Timing:
    """One Timing from `runs`, one mapping for each process: each statistic in nanoseconds, n, ram_bytes."""
    per_process = {name: tuple(run[name] / 1e6 for run in runs) for name in STATISTICS}
    middle = {f"{name}_ms": median(per_process[name]) for name in STATISTICS}
    rams = [run["ram_bytes"] for run in runs if run["ram_bytes"] is not None]
    relatives = [run["relative"] for run in runs if run.get("relative") is not None]
    computes = [run["compute"] / 1e6 for run in runs if "compute" in run]
    return Timing(
        sha256=sha256,
        statistic=statistic,
        latency_ms=middle[f"{statistic}_ms"],
        n=sum(run["n"] for run in runs),
        processes=len(runs),
        ci95_ms=interval95(per_process[statistic]),
        per_process_ms=per_process[statistic],
        peak_ram_bytes=int(median(rams)) if rams else None,
        conditions=conditions,
        compute_ms=median(computes) if computes else None,
        relative=median(relatives) if relatives else None,
        **middle,
    )
