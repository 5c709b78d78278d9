# SPDX-License-Identifier: Apache-2.0
"""The dynamic programs against brute force, on a space small enough to list."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from edgenas.costs import estimate
from edgenas.costs.limits import Limits
from edgenas.errors import InfeasibleError
from edgenas.nas.lattice import GRID, Edge, Lattice
from edgenas.spaces.architecture import Architecture, Block, Stage
from edgenas.spaces.space import SearchSpace, StageChoices

SPACE = SearchSpace(
    name="test",
    stem_strides=(1, 2),
    stem_widths=(4, 8),
    operators=("plain", "residual", "mbconv"),
    blocks_choices=(1, 2),
    kernels=(3, 5),
    expansions=(2,),
    stage_macs_per_pixel=1200,
    depthwise_weight=4,
    stages=(StageChoices(1, (4, 8)), StageChoices(2, (8, 12, 16))),
    templates=(),
    input_shape=(1, 8, 8),
    classes=4,
)
SMALL = SearchSpace(**{**vars(SPACE), "operators": ("plain", "mbconv"), "blocks_choices": (1,), "kernels": (3,)})
HIGHS = [high for high in (50, 80, 100, 125, 160, 200, 250, 400, 500, 800) if GRID % high == 0]


def price(block: Block) -> float:
    """Whole numbers, different for almost every block, so that the grid holds sums exactly."""
    return float(1 + (block.c_in * 7 + block.c_out * 13 + block.kernel * 5 + block.stride * 3 + block.h_in) % 41)


def everything(space: SearchSpace) -> list[Architecture]:
    genes = [
        [Stage(op, w, b, k, e) for (op, b, k, e), w in product(space.stage_bodies(), s.widths)] for s in space.stages
    ]
    stems = product(space.stem_strides, space.stem_widths)
    listed = (Architecture(*stem, stages) for stem, stages in product(stems, product(*genes)))
    return [architecture for architecture in listed if space.contains(architecture)]


def latency(space: SearchSpace, architecture: Architecture) -> float:
    return sum(map(price, space.blocks(architecture)))


def ram(architecture: Architecture) -> int:
    return max(estimate.block_ram_bytes(block, "int8") for block in SPACE.blocks(architecture))


def flash(architecture: Architecture) -> int:
    return estimate.flash_bytes(SPACE.blocks(architecture), "int8")


class Scores:
    """A random score for every choice, widths coupled, as edges see it and as whole architectures do."""

    def __init__(self, seed: int) -> None:
        self._rng, self._known = np.random.default_rng(seed), dict[tuple[object, ...], float]()

    def _of(self, *key: object) -> float:
        if key not in self._known:
            self._known[key] = float(self._rng.normal())
        return self._known[key]

    def edge(self, index: int, edge: Edge) -> float:
        return self._of(index, edge.source, edge.target, edge.stage)

    def total(self, architecture: Architecture) -> float:
        stride, before = architecture.stem_stride, architecture.stem_width
        total = self._of(-1, (0, 0), (stride, before), None)
        for index, stage in enumerate(architecture.stages):
            total += self._of(index, (stride, before), (stride, stage.width), stage)
            before = stage.width
        return total


ALL = everything(SPACE)
PRICES = {architecture: latency(SPACE, architecture) for architecture in ALL}


def test_the_space_is_worth_the_test() -> None:
    listed = sum(1 for _ in product(*([SPACE.stage_bodies()] * 2), range(4), range(2), range(3)))
    assert 500 < len(ALL) < listed  # `allows` leaves some out
    assert min(HIGHS) > min(PRICES.values())


def test_prices_are_those_of_the_walk() -> None:
    lattice = Lattice(SPACE, price, bias=2.0)
    assert all(lattice.price(a) == PRICES[a] + 2.0 for a in ALL[::17])


def test_extremes() -> None:
    fastest, slowest = Lattice(SPACE, price, bias=3.0).extremes()
    assert PRICES[fastest] == min(PRICES.values())
    assert PRICES[slowest] == max(PRICES.values())


@pytest.mark.parametrize("high", HIGHS)
def test_best_is_the_best(high: int) -> None:
    lattice = Lattice(SPACE, price)
    for seed, low in ((0, 0.97 * high), (1, 0.5 * high), (2, 0.0)):
        scores = Scores(seed)
        inside = [a for a in ALL if low <= PRICES[a] <= high]
        found = lattice.best(scores.edge, low, high)
        if not inside:
            assert found is None
            continue
        assert found is not None
        assert low <= PRICES[found] <= high
        assert scores.total(found) == pytest.approx(max(map(scores.total, inside)))


def test_the_first_best_is_the_best_of_the_first_band_that_holds_anything() -> None:
    scores = Scores(3)
    lattice = Lattice(SPACE, price, limits=Limits(flash_bytes=9000))
    for high in HIGHS:
        lows = [1.5 * high, 0.99 * high, 0.8 * high, 0.0]
        found = [lattice.best(scores.edge, low, high) for low in lows]
        assert lattice.first_best(scores.edge, lows, high) == next((a for a in found if a is not None), None)


def test_the_bias_counts() -> None:
    lattice = Lattice(SPACE, price, bias=20.0)
    found = lattice.best(lambda i, e: e.latency, 0.0, 100.0)
    assert found is not None
    assert PRICES[found] == max(p for p in PRICES.values() if p <= 80)


def test_nothing_below_the_fastest_and_nothing_above_the_slowest() -> None:
    lattice, rng = Lattice(SPACE, price), np.random.default_rng(0)
    fastest, slowest = min(PRICES.values()), max(PRICES.values())
    for low, high in ((0.0, 0.9 * fastest), (1.1 * slowest, 1.2 * slowest)):
        assert lattice.best(lambda i, e: 0.0, low, high) is None
        assert lattice.sample(rng, low, high, lambda i, e: 1.0) is None


def test_ram_is_a_mask() -> None:
    limit = int(np.median([ram(a) for a in ALL]))
    fitting = [a for a in ALL if ram(a) <= limit]
    assert len(fitting) < len(ALL)
    lattice, scores = Lattice(SPACE, price, limits=Limits(ram_bytes=limit)), Scores(3)
    found = lattice.best(scores.edge, 0.0, 400.0)
    assert found is not None
    assert scores.total(found) == pytest.approx(max(map(scores.total, fitting)))
    fastest, slowest = lattice.extremes()
    assert (PRICES[fastest], PRICES[slowest]) == (min(map(PRICES.get, fitting)), max(map(PRICES.get, fitting)))  # type: ignore[type-var]
    drawn = [lattice.sample(np.random.default_rng(seed), 0.0, 400.0, lambda i, e: 1.0) for seed in range(20)]
    assert all(a is not None and ram(a) <= limit for a in drawn)


def test_ram_that_nothing_fits_is_infeasible() -> None:
    lattice = Lattice(SPACE, price, limits=Limits(ram_bytes=1))
    with pytest.raises(InfeasibleError, match="ram_bytes=1"):
        lattice.extremes()
    assert lattice.best(lambda i, e: 0.0, 0.0, 400.0) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_flash_holds(share: float) -> None:
    limit = int(np.quantile([flash(a) for a in ALL], share))
    lattice, scores = Lattice(SPACE, price, limits=Limits(flash_bytes=limit)), Scores(4)
    fitting = [a for a in ALL if flash(a) <= limit and PRICES[a] <= 400]
    found = lattice.best(scores.edge, 0.0, 400.0)
    assert found is not None
    assert flash(found) <= limit
    # A price on bytes instead of an exact limit: not always the best, but never far down the list.
    rank = sorted(map(scores.total, fitting), reverse=True).index(pytest.approx(scores.total(found)))
    assert rank <= 0.05 * len(fitting)
    drawn = [lattice.sample(np.random.default_rng(seed), 0.0, 400.0, lambda i, e: 1.0) for seed in range(10)]
    assert all(a is not None and flash(a) <= limit for a in drawn)


def test_flash_that_does_not_bind_changes_nothing() -> None:
    scores, limit = Scores(5), max(map(flash, ALL))
    free = Lattice(SPACE, price).best(scores.edge, 0.0, 400.0)
    assert Lattice(SPACE, price, limits=Limits(flash_bytes=limit)).best(scores.edge, 0.0, 400.0) == free


def test_flash_that_nothing_fits_finds_nothing() -> None:
    lattice = Lattice(SPACE, price, limits=Limits(flash_bytes=1))
    assert lattice.best(lambda i, e: 0.0, 0.0, 400.0) is None


def test_samples_are_inside_and_as_frequent_as_weighted() -> None:
    lattice, rng, scores = Lattice(SMALL, price), np.random.default_rng(0), Scores(6)
    prices = {a: latency(SMALL, a) for a in everything(SMALL)}
    low, high = 60.0, 125.0
    inside = [a for a, spent in prices.items() if low <= spent <= high]
    assert 15 < len(inside) < len(prices)
    mass = np.exp([0.5 * scores.total(a) for a in inside])
    n = 1200
    drawn = Counter(
        lattice.sample(rng, low, high, lambda i, e: float(np.exp(0.5 * scores.edge(i, e)))) for _ in range(n)
    )
    assert set(drawn) <= set(inside)
    observed, expected = np.array([drawn[a] for a in inside]), n * mass / mass.sum()
    rare = expected < 5  # joined, as the test asks for
    parts = [(observed[~rare], expected[~rare]), (observed[rare].sum(keepdims=True), expected[rare].sum(keepdims=True))]
    joined = [np.concatenate([part[which] for part in parts if part[1].sum() > 0]) for which in (0, 1)]
    assert chisquare(*joined).pvalue > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.0, 1.0), st.floats(0.2, 1.0), st.floats(0.0, 5.0))
def test_any_result_is_inside(seed: int, low_share: float, high_share: float, bias: float) -> None:
    scale = np.random.default_rng(seed).uniform(0.01, 3.0)
    lattice = Lattice(SMALL, lambda block: scale * price(block) ** 1.1, bias)
    high = high_share * lattice.price(lattice.extremes()[1])
    low = low_share * high
    rounding = (1 + len(SMALL.stages)) * high / GRID
    scores = Scores(seed)
    for found in (
        lattice.best(scores.edge, low, high),
        lattice.sample(np.random.default_rng(seed), low, high, lambda i, e: 1.0),
    ):
        if found is None:  # then nothing is inside by more than the rounding
            assert not any(low <= lattice.price(a) <= high - rounding for a in everything(SMALL))
        else:
            assert low - rounding <= lattice.price(found) <= high * (1 + 1e-9)


def test_a_part_that_is_priced_below_nothing_costs_nothing() -> None:
    space = SearchSpace.load("tiny", (1, 28, 28), 10)
    lattice = Lattice(space, lambda block: -1.0 if block.operator == "plain" else 1.0, -0.5)
    drawn = lattice.sample(np.random.default_rng(0), 0.0, 8.0, lambda index, edge: 1.0)
    assert drawn is not None
    assert -0.5 <= lattice.price(drawn) <= 8
