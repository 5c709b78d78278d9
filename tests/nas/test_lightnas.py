# SPDX-License-Identifier: Apache-2.0
"""The gradient search on a supernet of the built-in digits, against a synthetic board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from edgenas import tasks
from edgenas.costs import estimate
from edgenas.costs.limits import Limits
from edgenas.errors import InfeasibleError
from edgenas.nas.lattice import Lattice
from edgenas.nas.lightnas import BAND, Alpha, lightnas, propose, train_alpha
from edgenas.nas.problem import LAST_RUNG, Problem
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.operators import STAGE_OPERATORS
from edgenas.spaces.space import SearchSpace, StageChoices
from edgenas.supernet import training
from edgenas.supernet.additive import Surrogate, fit_surrogate
from edgenas.supernet.cache import obtain, supernet_file
from edgenas.supernet.training import SupernetState
from edgenas.tasks.dataset import Dataset
from edgenas.training import Outcome, Recipe

SPACE = SearchSpace(
    name="test",
    stem_strides=(1, 2),
    stem_widths=(4, 8),
    operators=tuple(STAGE_OPERATORS),
    blocks_choices=(1, 2),
    kernels=(3, 5),
    expansions=(2, 3),
    stage_macs_per_pixel=2500,
    depthwise_weight=4,
    stages=(StageChoices(1, (4, 8, 12)), StageChoices(2, (8, 12, 16, 24))),
    templates=(),
    input_shape=(1, 8, 8),
    classes=10,
)
RECIPE = Recipe(1, {"flip": False, "crop": 1}, batch=64)
pytestmark = pytest.mark.usefixtures("one_thread")


def block_ms(block: Block) -> float:
    return 0.001 + estimate.macs([block]) / 5e7


LATTICE = Lattice(SPACE, block_ms, bias=0.002)
FASTEST_MS, SLOWEST_MS = map(LATTICE.price, LATTICE.extremes())
BUDGETS_MS = [FASTEST_MS + share * (SLOWEST_MS - FASTEST_MS) for share in (0.2, 0.4, 0.6, 0.8)]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tasks.load("digits")


@pytest.fixture(scope="module")
def state(data: Dataset, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[SupernetState]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(training, "_JUDGED", 80)
        patch.setattr(training, "_STEPS", 100)
        patch.setattr("edgenas.nas.lightnas._STEPS", 100)
        yield obtain(SPACE, data, 0, RECIPE)


class Board:
    """An evaluator whose board is `factor` slower than the model, until the model has seen a measurement."""

    def __init__(self, factor: float) -> None:
        self.bias_ms, self._factor, self._known = 0.002, factor, 1.0
        self.waves: list[list[Architecture]] = []

    def block_ms(self, block: Block) -> float:
        return self._known * block_ms(block)

    def model(self) -> Board:
        return self

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        self.waves.append(list(architectures))
        self._known = self._factor
        return [0.002 + self._factor * sum(map(block_ms, SPACE.blocks(a))) for a in architectures]

    def train(self, architectures: Sequence[Architecture], until: float) -> list[Outcome]:
        assert until == LAST_RUNG
        return [Outcome(str(a), 1, 1.0 / (1 + index), 1.0, 0.5, 0.1) for index, a in enumerate(architectures)]


def problem(budget_ms: float) -> Problem:
    return Problem(SPACE, budget_ms, budget_ms, Limits(), "int8", seed=0)


@pytest.mark.parametrize("high_ms", BUDGETS_MS)
def test_proposals_are_within_the_band(state: SupernetState, data: Dataset, high_ms: float) -> None:
    proposed = propose(state, LATTICE, data, high_ms, seed=0, n=3)
    assert len(set(proposed)) == 3
    assert all(SPACE.contains(a) for a in proposed)
    assert all(BAND * high_ms <= LATTICE.price(a) <= high_ms for a in proposed)


def test_the_seed_decides_the_proposals(state: SupernetState, data: Dataset) -> None:
    first, again, other = (propose(state, LATTICE, data, BUDGETS_MS[1], seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_an_architecture_above_the_slowest_or_below_the_fastest(state: SupernetState, data: Dataset) -> None:
    above = propose(state, LATTICE, data, 3 * SLOWEST_MS, seed=0, n=1)
    assert len(above) == 1
    assert propose(state, LATTICE, data, 0.9 * FASTEST_MS, seed=0) == []


def test_limits_leave_out_what_does_not_fit(state: SupernetState, data: Dataset) -> None:
    limits = Limits(ram_bytes=900)
    lattice = Lattice(SPACE, block_ms, 0.002, limits)
    slowest = lattice.price(lattice.extremes()[1])
    assert slowest < SLOWEST_MS
    for architecture in propose(state, lattice, data, 0.7 * slowest, seed=0):
        assert max(estimate.block_ram_bytes(block, "int8") for block in SPACE.blocks(architecture)) <= 900
    alpha = train_alpha(fit_surrogate(SPACE, state.losses), lattice, 0.7 * slowest, seed=0)
    assert max(estimate.block_ram_bytes(block, "int8") for block in SPACE.blocks(alpha.argmax)) <= 900


def flat(seed: int) -> Surrogate:
    """A loss that falls with blocks and width, as real ones do."""
    rng = np.random.default_rng(seed)
    body = np.array(
        [[-0.8 * blocks + rng.normal(0, 0.2) for _, blocks, _, _ in SPACE.stage_bodies()] for _ in SPACE.stages]
    )
    widths = tuple(-0.8 * np.log2(np.array(choices.widths)) for choices in SPACE.stages)
    return Surrogate(np.array([-0.5, 0.5]), np.array([0.0, -0.3]), body, widths)


def test_lambda_brings_alpha_to_the_latency() -> None:
    # Not exactly, which is what the projection is for; but not to the slowest, which has the least loss, either.
    for high_ms in BUDGETS_MS[:3]:
        argmax = train_alpha(flat(0), LATTICE, high_ms, seed=0).argmax
        assert LATTICE.price(argmax) == pytest.approx(high_ms, rel=0.35)


def test_scores_are_log_probabilities() -> None:
    alpha: Alpha = train_alpha(flat(1), LATTICE, BUDGETS_MS[1], seed=0)
    for table in (alpha.stem_stride, alpha.stem_width, *alpha.body, *alpha.width):
        assert sum(np.exp(list(table.values()))) == pytest.approx(1.0, abs=1e-4)
    assert all(alpha.score(-1, edge) < 0 for edge in LATTICE.stem)
    assert all(alpha.score(0, edge) < 0 for edge in LATTICE.stages[0])


def test_a_second_budget_trains_nothing(state: SupernetState, data: Dataset) -> None:
    path = supernet_file(SPACE, data, 0, RECIPE)
    before = path.stat().st_mtime_ns
    weights = [p.clone() for p in state.net.parameters()]
    again = obtain(SPACE, data, 0, RECIPE, lambda done, total: pytest.fail("trained again"))
    assert propose(again, LATTICE, data, BUDGETS_MS[2], 0) == propose(state, LATTICE, data, BUDGETS_MS[2], 0)
    assert path.stat().st_mtime_ns == before
    assert all(torch.equal(a, b) for a, b in zip(weights, state.net.parameters(), strict=True))


@pytest.mark.parametrize(("factor", "waves"), [(1.0, 1), (1.3, 2)])
def test_the_strategy_measures_and_repairs(state: SupernetState, data: Dataset, factor: float, waves: int) -> None:
    board, said = Board(factor), []
    found = lightnas(state, data)(problem(BUDGETS_MS[1]), board, said.append)
    assert waves <= len(board.waves) <= 3
    assert 1 <= len(found.finalists) <= 2
    assert set(found.finalists) <= set(found.tried)
    losses = [c.outcome.train_loss for c in found.tried if c.outcome]
    assert losses == sorted(losses)
    assert all(c.origin == "supernet" and c.measured_ms <= BUDGETS_MS[1] for c in found.finalists)
    assert found.projection is not None
    assert BAND - 1 <= found.projection.after <= 0
    assert any("projection" in line for line in said)


def test_a_board_that_is_too_slow_is_infeasible(state: SupernetState, data: Dataset) -> None:
    with pytest.raises(InfeasibleError, match="ask for at least"):
        lightnas(state, data)(problem(BUDGETS_MS[0]), Board(40.0), lambda line: None)


def test_the_cache_is_under_the_users_folder(state: SupernetState, data: Dataset, tmp_path: Path) -> None:
    assert supernet_file(SPACE, data, 0, RECIPE).parent.name == "supernets"
    assert not list(tmp_path.iterdir())
