# SPDX-License-Identifier: Apache-2.0
"""The types of a search: candidates, the problem, the evaluator, the result, and the Protocol of strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edgenas.costs.limits import Limits
from edgenas.latency import AdditiveModel
from edgenas.nas.lattice import GRID, Edge, Lattice
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.training.recipe import Outcome
from edgenas.units import MS, Unit

TARGET_FILL = 0.985  # aim at 98.5 % of the budget, because repeated sessions on one device differ by about 1 %
MIN_FILL = 0.90  # a candidate below 90 % of the budget wastes it: a larger network would have been possible
FIRST_RUNG, LAST_RUNG = 1 / 8, 1 / 2  # parts of the full recipe after which a search compares training losses


@dataclass(frozen=True)
class Candidate:
    """An architecture on its way through a search. `measured_ms` is of random weights, on the device."""

    architecture: Architecture
    origin: str  # the family that proposed it: template:NAME, random, mutated or supernet
    baseline: bool = False
    predicted_ms: float = float("nan")
    measured_ms: float = float("nan")
    outcome: Outcome | None = None

    @property
    def template(self) -> bool:
        """Whether it is a filled template."""
        return self.origin.startswith("template:")

    def trained(self, outcome: Outcome) -> Candidate:
        """The candidate with the outcome of its training."""
        return replace(self, outcome=outcome)


class Evaluator(Protocol):
    """Measures and trains architectures; strategies reach the device and the training only through it."""

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        """Latencies in ms, measured on the device with random weights; `model()` is fitted on them afterwards.

        Infinite for an architecture that does not fit the board.
        """

    def model(self) -> AdditiveModel:
        """The latency model fitted on all measurements so far, most accurate near the budget."""

    def train(self, architectures: Sequence[Architecture], until: float) -> list[Outcome]:
        """Train each for `until` (0 to 1) of the full recipe; training resumes where an earlier call stopped."""


@dataclass(frozen=True)
class Problem:
    """One search: the space, the budget and the board's limits.

    target_ms: the latency to aim at: the budget, or that of the space's slowest architecture if it is less.
    loose: whether it is less. proposals: a cached supernet's best architectures for (lattice, highest latency in ms);
    empty without a supernet. unit: of latencies, for messages.
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
        """The problem with a loose budget's target as `lattice` prices it: the board may have changed its speed.

        The target is set so that TARGET_FILL of it is the slowest architecture: only the budget needs a margin.
        """
        if not self.loose:
            return self
        rounding = 1 + (1 + len(lattice.stages)) / GRID  # the lattice rounds prices up to its grid
        slowest = rounding * lattice.price(lattice.extremes()[1])
        return replace(self, target_ms=min(self.budget_ms, slowest / TARGET_FILL))


@dataclass(frozen=True)
class Projection:
    """Relative error of the chosen architecture's predicted latency to the budget, before and after the repair."""

    before: float
    after: float


@dataclass(frozen=True)
class SearchResult:
    """Finalists, best first, all measured within the budget, and all candidates that were trained.

    projection: of gradient strategies; None for the others.
    """

    finalists: tuple[Candidate, ...]
    tried: tuple[Candidate, ...]
    projection: Projection | None = None


class Strategy(Protocol):
    """A way to search: `edgenas.nas.STRATEGIES` registers them by name."""

    def __call__(self, problem: Problem, evaluator: Evaluator, say: Callable[[str], None]) -> SearchResult:
        """Search; `say` receives a line for each step. Raises InfeasibleError if nothing measures within the budget."""


def operator_weight(lattice: Lattice) -> Callable[[int, Edge], float]:
    """Sampling weights that give operators equal chances in a stage, however many kernels and expansions each has."""
    bodies = lattice.space.stage_bodies()
    share = {op: 1.0 / sum(body[0] == op for body in bodies) for op in lattice.space.operators}

    def weight(index: int, edge: Edge) -> float:
        return 1.0 if edge.stage is None else share[edge.stage.operator]

    return weight


def mutate(
    lattice: Lattice, rng: np.random.Generator, parent: Architecture, low: float, high: float
) -> Architecture | None:
    """A variant of `parent` within [low, high]: each stage keeps its genes with a probability of about two thirds.

    None if nothing lies there, or if four draws gave `parent` itself.
    """
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
