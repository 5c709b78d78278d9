# SPDX-License-Identifier: Apache-2.0
"""A device whose latencies are known by a formula, and training whose losses are: what a search needs, in milliseconds.

The device is additive, but not in the features that the latency model has: every operator has a factor of its own, and
each network a little noise. The latency model is the real one, fitted on what was measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgenas import latency
from edgenas.costs.limits import Limits
from edgenas.latency import AdditiveModel
from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import Problem
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace
from edgenas.training import Outcome

OVERHEAD_MS = 0.004


def noise(text: str, seed: int) -> float:
    """Standard normal, the same for the same text and seed."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal())


@dataclass
class SyntheticDevice:
    """An `Evaluator`. `factors`: how much slower an operator is; `stale`: what of it the profile missed."""

    space: SearchSpace
    seed: int
    factors: Mapping[str, float] = field(default_factory=dict)
    stale: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.003
    measured: dict[Architecture, float] = field(default_factory=dict)
    waves: list[list[Architecture]] = field(default_factory=list)
    trained: list[tuple[Architecture, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Profile: the extremes and some networks between them."""
        self.lattice = Lattice(self.space, lambda block: self._block(block, self.factors), OVERHEAD_MS)
        self.fastest, self.slowest = self.lattice.extremes()
        rng = np.random.default_rng(self.seed)
        found = {self.fastest, self.slowest}
        for part in np.linspace(0.2, 1, 24):
            drawn = self.lattice.sample(rng, 0, self.between(float(part)), lambda index, edge: 1.0)
            assert drawn is not None
            found.add(drawn)
        off = {name: factor / self.stale.get(name, 1.0) for name, factor in self._all().items()}
        self._known = [(a, self.latency(a, off)) for a in sorted(found)]
        self._model: tuple[int, AdditiveModel] | None = None

    def _all(self) -> dict[str, float]:
        return {name: self.factors.get(name, 1.0) for name in (*self.space.operators, "stem", "head")}

    def _block(self, block: Block, factors: Mapping[str, float]) -> float:
        micros = sum(1 + layer.macs / 20_000 + layer.elements_out / 4_000 for layer in block.layers())
        return 1e-3 * micros * factors.get(block.operator, 1.0)

    def latency(self, architecture: Architecture, factors: Mapping[str, float] | None = None) -> float:
        """What measuring says."""
        exact = OVERHEAD_MS + sum(self._block(b, factors or self.factors) for b in self.space.blocks(architecture))
        return exact * (1 + self.noise * noise(str(architecture), self.seed))

    def between(self, part: float) -> float:
        """A latency between the fastest (0) and the slowest (1) architecture."""
        fastest, slowest = self.latency(self.fastest), self.latency(self.slowest)
        return fastest + part * (slowest - fastest)

    def problem(self, part: float) -> Problem:
        """To search at that latency."""
        budget = self.between(part)
        return Problem(self.space, budget, budget, Limits(), "int8", self.seed)

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        """As `Evaluator.measure`."""
        self.waves.append(list(architectures))
        self.measured.update({a: self.latency(a) for a in architectures})
        return [self.measured[a] for a in architectures]

    def model(self) -> AdditiveModel:
        """As `Evaluator.model`; recent measurements count more, as in a real profile."""
        rows = [*self._known, *self.measured.items()]
        if self._model is None or self._model[0] != len(rows):
            weights = [0.5] * len(self._known) + [1.0] * len(self.measured)
            blocks = [self.space.blocks(a) for a, _ in rows]
            self._model = len(rows), latency.create().fit(blocks, [ms for _, ms in rows], weights)
        return self._model[1]

    def train(self, architectures: Sequence[Architecture], until: float) -> list[Outcome]:
        """As `Evaluator.train`: a loss of the architecture's own, lower with more training."""
        self.trained += [(a, until) for a in architectures]
        return [self._outcome(a, until) for a in architectures]

    def _outcome(self, architecture: Architecture, until: float) -> Outcome:
        loss = 1.0 + 0.2 * noise(f"quality of {architecture}", self.seed) - 0.5 * until
        return Outcome(str(architecture), round(10 * until), loss, loss + 0.1, 0.9, 1.0)
