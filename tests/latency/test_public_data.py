# SPDX-License-Identifier: Apache-2.0
"""The models on public measurements, a quick part of benchmarks/latency_models.py; skipped where the data is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency_models
from benchmarks.latency_data import lightnas, nasbench201
from edgenas import latency

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "latency").is_dir(), reason=f"no public latencies in {DATA}/latency")


def figures(device: str, count: int, name: str = latency.DEFAULT) -> latency_models.Figures:
    data = next(latency_models.datasets(DATA / "latency", [device]))
    model = latency_models.unfitted(name, data)
    assert model is not None
    return latency_models.judge(model, data, *latency_models.split(data, count, 0))


@needs_data
def test_a_processor_is_known_after_a_hundred_networks_and_better_by_terms_of_parts() -> None:
    auto, features = figures("gold_6240", 100), figures("gold_6240", 100, "features")
    assert auto.mape < 3.0 < features.mape
    assert 80 < auto.covered < 97


@needs_data
@pytest.mark.parametrize(("device", "least"), [("raspi4", 0.82), ("rice_edgegpu", 0.83)])  # one split
def test_a_hundred_cells_rank_the_others(device: str, least: float) -> None:
    assert figures(device, 100).tau > least


@needs_data
def test_the_published_predictor_gives_what_is_published_through_this_encoding() -> None:
    found = latency_models.lightnets(DATA / "lightnas")
    assert len(found) == len(lightnas.PUBLISHED_MS)
    for row in found:
        assert row["predicted_ms"] == pytest.approx(row["published_ms"], abs=0.01)


@needs_data
def test_no_held_out_cell_computes_what_a_measured_one_does() -> None:
    data = next(latency_models.datasets(DATA / "latency", ["rice_edgegpu"]))
    measured, held_out = latency_models.split(data, 1000, 0)
    assert len(measured) == 1000
    assert len(held_out) > 300
    assert not set(data.group[measured]) & set(data.group[held_out])


def test_a_convolution_with_a_zero_folded_into_it_runs_although_nothing_needs_it() -> None:
    def run(*ops: int) -> set[int]:
        return {part.place for part in nasbench201.Cell(ops).network("folded") if isinstance(part, nasbench201.Edge)}

    assert np.array_equal(sorted(run(1, 3, 0, 3, 0, 0)), [1, 3, 4, 5])  # edge 1 alone feeds edge 5, which is zero
    assert run(1, 4, 0, 3, 0, 0) == {3, 4, 5}  # a pooling has no weights to fold a zero into
    assert run(1, 3, 3, 3, 0, 0) == {3, 4, 5}  # neither has a sum
    assert run(3, 3, 0, 3, 0, 1) == {0, 1, 2, 3, 4, 5}
