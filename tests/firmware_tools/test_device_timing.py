# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from firmware_tools.device import Conditions, TimingPlan
from firmware_tools.timing import interval95, summarise


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 9, 20])
def test_interval_covers_the_median_of_a_normal_population_at_least_95_times_in_100(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = 0
    for sample in 10 + rng.standard_normal((4000, n)) * 0.1:
        low, high = interval95(sample.tolist())
        covered += low <= 10 <= high
    assert covered / 4000 > 0.94  # 4000 samples of a 95 % interval fall below this once in 500
    assert covered / 4000 < 0.99  # and it is not merely wide


def test_interval_of_six_is_their_range_and_of_equal_values_a_point() -> None:
    assert interval95([3, 1, 2, 6, 5, 4]) == (1, 6)
    assert interval95([2.0, 2.0]) == (2.0, 2.0)
    assert interval95([0.1, 10.0])[0] == 0.0
    with pytest.raises(ValueError, match="2 values"):
        interval95([1.0])


@pytest.mark.parametrize(
    "wrong", [{"statistic": "mean"}, {"processes": 1}, {"threads": 0}, {"timed_s": 0}, {"warmup_s": -1}]
)
def test_a_plan_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TimingPlan(**wrong)  # type: ignore[arg-type]


def test_summary_takes_the_median_over_processes_of_each_statistic() -> None:
    conditions = Conditions("litert", "2", 1, None, None, None, None, None, None, "3", "2024-01-01T00:00:00Z")
    runs = [
        {"min": k * 1e6, "p10": k * 2e6, "p50": k * 3e6, "p95": k * 4e6, "max": k * 5e6, "n": 10, "ram_bytes": ram}
        for k, ram in ((1, 5), (9, None), (2, 7))
    ]
    timing = summarise("x", "p95", runs, conditions)
    assert (timing.min_ms, timing.p10_ms, timing.p50_ms, timing.p95_ms, timing.max_ms) == (2, 4, 6, 8, 10)
    assert timing.latency_ms == timing.p95_ms
    assert timing.per_process_ms == (4, 36, 8)
    assert (timing.n, timing.processes, timing.peak_ram_bytes) == (30, 3, 6)
    assert timing.ci95_ms[0] <= timing.latency_ms <= timing.ci95_ms[1]
