"""What a search handles and what it is given: candidates, the problem, the evaluator, the Protocol of strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edgenas.costs.limits import Limits
from edgenas.latency import AdditiveModel
from edgenas.search.lattice import GRID, Edge, Lattice
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.training.recipe import Outcome
from edgenas.units import MS, Unit

HEADROOM = 0.985  # candidates aim at this part of the budget: two sessions on one device differ by about 1 %
FIRST_RUNG, LAST_RUNG = 1 / 8, 1 / 2  # parts of the full recipe after which a search looks at the training loss
SLACK = 0.90  # and must reach this part, or a larger network would have been possible


@dataclass(frozen=True)
class Candidate:
    """An architecture on its way through a search. `measured_ms` is of random weights, on the device."""

    architecture: Architecture
    origin: str  # template:NAME, random, mutated or supernet
    baseline: bool = False
    predicted_ms: float = float("nan")
    measured_ms: float = float("nan")
    outcome: Outcome | None = None

    @property
    def template(self) -> bool:
        """Whether it is a filled template."""
        return self.origin.startswith("template:")

    def trained(self, outcome: Outcome) -> Candidate:
        """With what its training said."""
        return replace(self, outcome=outcome)


class Evaluator(Protocol):
    """Prices and ranks architectures; the only door to the device and to training."""

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        """Measured latencies in ms on the device, of random weights; `model()` knows them afterwards.

        Infinite for what does not fit the board, however fast it would be.
        """

    def model(self) -> AdditiveModel:
        """The latency model fitted on all that was measured so far, most right near the budget."""

    def train(self, architectures: Sequence[Architecture], until: float) -> list[Outcome]:
        """Train each for `until` (0 to 1) of the full recipe, going on where an earlier call stopped."""


@dataclass(frozen=True)
class Problem:
    """One search: the space, the budget and the board's limits.

    `target_ms` is what to fill: the budget, or the space's slowest where that is less, which is a `loose` budget.
    `proposals(lattice, high_ms)` are a cached supernet's best guesses for a budget; empty without one. `unit` is the
    latencies', for messages.
    """

    space: SearchSpace
    budget_ms: float
    target_ms: float
    limits: Limits
    precision: str
    seed: int
    proposals: Callable[[Lattice, float], list[Architecture]] = lambda lattice, high: []
    unit: Unit = MS
    loose: bool = False

    def lattice(self, model: AdditiveModel) -> Lattice:
        """The space priced by a latency model, under the board's limits."""
        return Lattice(self.space, model.block_ms, model.bias_ms, self.limits, self.precision)

    def on(self, lattice: Lattice) -> Problem:
        """With what a loose budget's target is as `lattice` prices it: the board may have changed its speed since.

        Candidates that aim at it keep no headroom below the slowest, only below the budget.
        """
        if not self.loose:
            return self
        rounding = 1 + (1 + len(lattice.stages)) / GRID  # of prices to the grid on which candidates are filled
        slowest = rounding * lattice.price(lattice.extremes()[1])
        return replace(self, target_ms=min(self.budget_ms, slowest / HEADROOM))


@dataclass(frozen=True)
class Projection:
    """Relative error of the chosen architecture's predicted latency to the budget, before and after the repair."""

    before: float
    after: float


@dataclass(frozen=True)
class Found:
    """A search's result: finalists, best first, all measured within the budget; `projection` of gradient strategies."""

    finalists: tuple[Candidate, ...]
    tried: tuple[Candidate, ...]
    projection: Projection | None = None


class Strategy(Protocol):
    """A way to search: `edgenas.search.STRATEGIES` registers them by name."""

    def __call__(self, problem: Problem, evaluator: Evaluator, say: Callable[[str], None]) -> Found:
        """Search; `say` gets a line for each step. Raises InfeasibleError if nothing within the budget was found."""


def operator_weight(lattice: Lattice) -> Callable[[int, Edge], float]:
    """Weights that give each operator the same chance in a stage, however many kernels and expansions it has."""
    bodies = lattice.space.bodies()
    share = {op: 1.0 / sum(body[0] == op for body in bodies) for op in lattice.space.operators}

    def weight(index: int, edge: Edge) -> float:
        return 1.0 if edge.stage is None else share[edge.stage.operator]

    return weight


def mutate(
    lattice: Lattice, rng: np.random.Generator, parent: Architecture, low: float, high: float
) -> Architecture | None:
    """A relative of `parent` in [low, high]: each stage keeps its genes with a probability of about two thirds."""
    kept = parent.stages
    weight = operator_weight(lattice)

    def likeness(index: int, edge: Edge) -> float:
        if edge.stage is None:
            return 8.0 if edge.target == (parent.stem_stride, parent.stem_width) else 1.0
        mine, theirs = edge.stage, kept[index]
        same_body = (mine.operator, mine.kernel, mine.expansion) == (theirs.operator, theirs.kernel, theirs.expansion)
        near = abs(mine.width - theirs.width) + 16 * abs(mine.blocks - theirs.blocks)
        return weight(index, edge) * (40.0 if same_body else 1.0) * float(np.exp(-near / 24))

    for _ in range(4):
        child = lattice.sample(rng, low, high, likeness)
        if child is None or child != parent:
            return child
    return None
