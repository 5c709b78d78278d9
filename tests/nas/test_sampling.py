# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgenas import latency
from edgenas.costs import estimate
from edgenas.nas import sampling
from edgenas.nas.lattice import Lattice
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace

TINY = SearchSpace.load("tiny", (1, 28, 28), 10)
COUNTED = Path(__file__).parents[1] / "latency" / "mps2_an386_counted.json"


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    return Lattice(TINY, lambda block: estimate.macs([block]) + 2e4)


def test_a_pool_spreads_over_the_log_of_the_latency(lattice: Lattice) -> None:
    pool = sampling.pool(lattice, np.random.default_rng(0))
    low, high = map(lattice.price, lattice.extremes())
    assert len(set(pool)) == len(pool) > 150
    assert all(TINY.contains(a) for a in pool)
    prices = np.log([lattice.price(a) for a in pool])
    counts, _ = np.histogram(prices, 8, (np.log(low), np.log(high)))
    assert counts[1:].min() > len(pool) / 25


def variance(lattice: Lattice, measured: Sequence[Architecture], others: Sequence[Architecture]) -> float:
    """The mean variance of predictions of `others` from `measured`, up to a factor."""
    rows = sampling._rows(TINY, lattice.price, [*measured, *others])
    known, pool = rows[: len(measured)], rows[len(measured) :]
    precision = sampling._RIDGE * np.eye(rows.shape[1]) + known.T @ known
    return float(np.mean(np.einsum("ij,ji->i", pool, np.linalg.solve(precision, pool.T))))


def test_half_is_drawn_and_the_others_say_more_of_the_pool_than_a_random_draw(lattice: Lattice) -> None:
    rng = np.random.default_rng(1)
    pool = sampling.pool(lattice, rng)
    measured, fresh = pool[:12], pool[12:]
    found = sampling.choose(TINY, lattice.price, measured, fresh, 12)
    assert len(set(found)) == 12
    drawn, chosen = found[:6], found[6:]
    assert drawn == fresh[:6]
    assert set(chosen) <= set(fresh[6:])
    # the variance of the pool's predictions that is left
    left = variance(lattice, [*measured, *found], pool)
    others = [[fresh[6 + i] for i in rng.choice(len(fresh) - 6, 6, replace=False)] for _ in range(30)]
    assert left < min(variance(lattice, [*measured, *drawn, *other], pool) for other in others)


def test_networks_chosen_among_counted_ones_predict_the_others() -> None:
    networks = json.loads(COUNTED.read_text())["networks"]
    truth = {Architecture.parse(m["architecture"]): m["instructions"] for m in networks}
    known = list(truth)[:12]
    model = latency.create("engine").fit([TINY.blocks(a) for a in known], [truth[a] for a in known])
    lattice = Lattice(TINY, model.block_ms, model.bias_ms)
    taken = known + sampling.choose(TINY, lattice.price, known, list(truth)[12:], 24)
    rest = [a for a in truth if a not in taken]
    model = latency.create("engine").fit([TINY.blocks(a) for a in taken], [truth[a] for a in taken])
    mean, _ = model.predict([TINY.blocks(a) for a in rest])
    assert np.mean(np.abs(mean / [truth[a] for a in rest] - 1)) < 0.02


def test_no_more_is_chosen_than_there_is(lattice: Lattice) -> None:
    ends = list(lattice.extremes())
    assert set(sampling.choose(TINY, lattice.price, [], ends, 12)) == set(ends)
    assert sampling.choose(TINY, lattice.price, ends, [], 12) == []
    assert sampling.choose(TINY, lattice.price, [], ends, 0) == []


def test_coverage_counts_operators_and_parts_of_the_latency(lattice: Lattice) -> None:
    pool = sampling.pool(lattice, np.random.default_rng(0))
    assert sampling.coverage(lattice, []) == sampling.Coverage(0.0, 0.0)
    ends = sampling.coverage(lattice, lattice.extremes())
    assert 0 < ends.operators < 0.3
    assert ends.latencies == pytest.approx(0.2)
    assert sampling.coverage(lattice, [*pool, *lattice.extremes()]) == sampling.Coverage(1.0, 1.0)


def test_many_draws_keep_to_their_bands(lattice: Lattice) -> None:
    low, high = map(lattice.price, lattice.extremes())
    bands = [(part * high * 0.9, part * high) for part in (1.0, 0.5, 0.2)]
    drawn = lattice.samples(np.random.default_rng(0), [*bands, (0.0, low / 2)], lambda index, edge: 1.0)
    assert len(drawn) == 3
    for architecture, (least, most) in zip(drawn, bands, strict=True):
        assert 0.98 * least <= lattice.price(architecture) <= most
