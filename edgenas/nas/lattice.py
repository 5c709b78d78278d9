# SPDX-License-Identifier: Apache-2.0
"""The space as a layered graph, and exact dynamic programs over it.

With an additive latency model an architecture is a path: a stem, then one edge a stage, each edge between two stage
widths. Stage widths couple neighbouring stages (a stage's price depends on the width before it), so the state of the
program is (stage, stem stride, width) and the latency spent, on a grid. Over that graph these are exact:

* the fastest and the slowest architecture,
* the architecture with the best additive score within [low, high] (a multiple-choice knapsack on a path),
* drawing architectures from [low, high] with given weights, without rejection.

Hard limits of RAM hold per edge (a network's peak is the largest peak of its blocks), so they are masks. Flash adds
up over edges; `best` and `sample` charge it by a price that is raised until the limit holds, which is exact where
the limit does not bind and safe where it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs.limits import Limits
from edgenas.errors import InfeasibleError
from edgenas.spaces.architecture import Architecture, Block, Stage, stage_blocks
from edgenas.spaces.space import SearchSpace

GRID = 4000  # steps between 0 and the upper latency bound; sums are rounded up, so never above it
_ROOT = (0, 0)  # the node before the stem

BlockCost = Callable[[Block], float]
Score = Callable[[int, "Edge"], float]


@dataclass(frozen=True)
class Edge:
    """One stage's choice (or the stem's: `stage` is None) from a node to a node, with its costs.

    Nodes are (stem stride, width). `latency` is in the unit of the block cost, `flash_bytes` in bytes.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    stage: Stage | None
    latency: float
    flash_bytes: int


class Lattice:
    """All architectures of a space that respect the limits, priced by `block_cost` plus `bias`."""

    def __init__(
        self,
        space: SearchSpace,
        block_cost: BlockCost,
        bias: float = 0.0,
        limits: Limits | None = None,
        precision: str = "int8",
    ) -> None:
        self.space = space
        self._cost, self._bias = block_cost, bias
        self._limits, self._precision = limits or Limits(), precision
        self._price_cache: dict[Block, float] = {}
        self.stem = self._stem_edges()
        self.stages = self._stage_edges()

    def price(self, architecture: Architecture) -> float:
        """The latency of one architecture."""
        return self._bias + sum(self._block(block) for block in self.space.blocks(architecture))

    def _block(self, block: Block) -> float:
        if block not in self._price_cache:
            self._price_cache[block] = max(0.0, self._cost(block))  # a fitted term may be negative
        return self._price_cache[block]

    def _fits(self, blocks: Sequence[Block]) -> bool:
        limit = self._limits.ram_bytes
        return limit is None or all(self._limits.block_ram_bytes(block, self._precision) <= limit for block in blocks)

    def _stem_edges(self) -> list[Edge]:
        edges = []
        for stride, width in product(self.space.stem_strides, self.space.stem_widths):
            block = self.space.stem(stride, width)
            if self._fits([block]):
                flash = self._limits.network_flash_bytes([block], self._precision)
                edges.append(Edge(_ROOT, (stride, width), None, max(0.0, self._bias + self._block(block)), flash))
        return edges

    def _stage_edges(self) -> list[list[Edge]]:
        layers: list[list[Edge]] = []
        # Spatial size depends on the stem's stride alone, so one representative block before each stage is enough.
        before = {edge.target: self.space.stem(*edge.target) for edge in self.stem}
        for index, choices in enumerate(self.space.stages):
            last = index == len(self.space.stages) - 1
            edges: list[Edge] = []
            after: dict[tuple[int, int], Block] = {}
            for source, block in before.items():
                for (operator, blocks, kernel, expansion), width in product(self.space.stage_bodies(), choices.widths):
                    stage = Stage(operator, width, blocks, kernel, expansion)
                    walk = stage_blocks(stage, block, choices.stride)
                    if not self.space.allows(walk) or not self._fits(walk):
                        continue
                    end = walk[-1]
                    after.setdefault((source[0], width), end)
                    paid = [*walk, self.space.head(end.c_out, end.h_out, end.w_out)] if last else walk
                    flash = sum(self._limits.block_flash_bytes(b, self._precision) for b in paid)
                    edges.append(Edge(source, (source[0], width), stage, sum(map(self._block, paid)), flash))
            layers.append(edges)
            before = after
        return layers

    def extremes(self) -> tuple[Architecture, Architecture]:
        """The fastest and the slowest architecture. Raises InfeasibleError if the limits leave none."""
        ends = [self._extreme(1.0), self._extreme(-1.0)]
        if all(self._fits_flash(end) for end in ends):
            return ends[0], ends[1]
        # Flash adds up over the path: the best prices under that limit are `best`'s.
        high = self.price(ends[1])
        fastest = self.best(lambda index, edge: -edge.latency, 0.0, high)
        slowest = self.best(lambda index, edge: edge.latency, 0.0, high)
        if fastest is None or slowest is None:
            raise self._no_fit()
        return fastest, slowest

    def _extreme(self, sign: float) -> Architecture:
        best: dict[tuple[int, int], tuple[float, tuple[Edge, ...]]] = {_ROOT: (0.0, ())}
        for layer in [self.stem, *self.stages]:
            reached: dict[tuple[int, int], tuple[float, tuple[Edge, ...]]] = {}
            for edge in layer:
                if edge.source not in best:
                    continue
                spent, path = best[edge.source]
                total = spent + sign * edge.latency
                if edge.target not in reached or total < reached[edge.target][0]:
                    reached[edge.target] = (total, (*path, edge))
            best = reached
        if not best:
            raise self._no_fit()
        return _architecture(min(best.values(), key=lambda item: item[0])[1])

    def _no_fit(self) -> InfeasibleError:
        limits = self._limits
        return InfeasibleError(
            f"no architecture of space {self.space.name!r} fits ram_bytes={limits.ram_bytes}, "
            f"flash_bytes={limits.flash_bytes}: use a smaller space or another board"
        )

    def best(self, score: Score, low: float, high: float) -> Architecture | None:
        """The architecture with the largest sum of `score(stage index, edge)` (-1 for the stem) within [low, high].

        Exact on a grid of high / GRID, on which every price is rounded up: the result is never above `high`, and below
        `low` by at most the rounding of its edges. None if nothing lies there.
        """
        return self.first_best(score, [low], high)

    def first_best(self, score: Score, lows: Iterable[float], high: float) -> Architecture | None:
        """`best` for the first of `lows` that has one; all together cost little more than one."""
        tables: dict[float, _Table] = {}  # by the price of flash

        def solve(low: float, price: float) -> Architecture | None:
            if price not in tables:
                priced: Score = lambda i, e: score(i, e) - price * e.flash_bytes  # noqa: E731
                tables[price] = _Table(self, priced, high, np.maximum, -np.inf)
            totals = tables[price].totals(low)
            if not np.isfinite(totals.max(initial=-np.inf)):
                return None
            return tables[price].walk(int(totals.argmax()), np.argmax)

        found = (self._within_flash(partial(solve, low)) for low in lows)
        return next((architecture for architecture in found if architecture is not None), None)

    def sample(self, rng: np.random.Generator, low: float, high: float, weight: Score) -> Architecture | None:
        """Draw one architecture from [low, high] with a probability proportional to the product of its edges' weights.

        Same grid as `best`. None if nothing lies there.
        """

        def solve(price: float) -> Architecture | None:
            table = self._masses(weight, price, high)
            totals = table.totals(low)
            if not np.isfinite(totals.max(initial=-np.inf)):
                return None
            return table.walk(_draw(rng, totals), lambda log_mass: _draw(rng, log_mass))

        return self._within_flash(solve)

    def samples(
        self, rng: np.random.Generator, bands: Sequence[tuple[float, float]], weight: Score
    ) -> list[Architecture]:
        """`sample` from each of `bands` (low, high) that holds anything, all on the grid of the highest one: many draws
        cost about as much as one, but the narrower a band is beside the highest, the more roughly it is kept.
        """
        table = self._masses(weight, 0.0, max(high for _, high in bands))
        found = []
        for low, high in bands:
            totals = table.totals(low, high)
            if not np.isfinite(totals.max()):
                continue
            drawn: Architecture | None = table.walk(_draw(rng, totals), lambda log_mass: _draw(rng, log_mass))
            if drawn is not None and not self._fits_flash(drawn):
                drawn = self.sample(rng, low, high, weight)  # which raises the price of flash until the limit holds
            if drawn is not None:
                found.append(drawn)
        return found

    def _masses(self, weight: Score, price: float, high: float) -> _Table:
        """Log masses of all completions, each edge's `weight` divided by exp(`price` x its flash)."""
        with np.errstate(divide="ignore"):  # a weight of 0 is never drawn
            return _Table(self, lambda i, e: np.log(weight(i, e)) - price * e.flash_bytes, high, np.logaddexp, -np.inf)

    def _within_flash(self, solve: Callable[[float], Architecture | None]) -> Architecture | None:
        price = 0.0
        for _ in range(40):  # from 0 through 1e-6 per byte upwards: then flash outweighs any score
            found = solve(price)
            if found is None or self._fits_flash(found):
                return found
            price = max(price * 2, 1e-6)
        return None

    def _fits_flash(self, architecture: Architecture) -> bool:
        limit = self._limits.flash_bytes
        blocks = self.space.blocks(architecture)
        return limit is None or self._limits.network_flash_bytes(blocks, self._precision) <= limit


class _Table:
    """Backward values: for every node and every remaining latency (grid steps), all completions joined by `join`.

    `join` is the maximum (then the values are the best scores) or logaddexp (then they are log masses).
    """

    def __init__(self, lattice: Lattice, score: Score, high: float, join: np.ufunc, empty: float) -> None:
        self._score, self._high = score, high
        self._layers = [lattice.stem, *lattice.stages]
        self._values: list[dict[tuple[int, int], NDArray[np.float64]]] = []
        end = np.full(GRID + 1, empty)
        end[0] = 0.0
        after = {edge.target: end for edge in self._layers[-1]}
        for index in range(len(self._layers) - 1, -1, -1):
            self._values.insert(0, after)
            here: dict[tuple[int, int], NDArray[np.float64]] = {}
            for edge in self._layers[index]:
                step, worth = self._step(edge), score(index - 1, edge)
                if edge.target not in after or step > GRID or worth == -np.inf:
                    continue
                values = here.setdefault(edge.source, np.full(GRID + 1, empty))
                join(values[step:], worth + after[edge.target][: GRID + 1 - step], out=values[step:])
            after = here
        self._root = after.get(_ROOT, np.full(GRID + 1, empty))

    def _step(self, edge: Edge) -> int:
        return int(np.ceil(edge.latency / self._high * GRID - 1e-9))

    def totals(self, low: float, top: float | None = None) -> NDArray[np.float64]:
        """Values of whole paths by their latency in grid steps; what is under `low` or above `top` is empty."""
        values = self._root.copy()
        values[: max(0, int(np.ceil(low / self._high * GRID - 1e-9)))] = -np.inf
        if top is not None:
            values[int(top / self._high * GRID + 1e-9) + 1 :] = -np.inf
        return values

    def walk(self, remaining: int, choose: Callable[[NDArray[np.float64]], Any]) -> Architecture:
        """Follow the choices from the root, `remaining` grid steps to be spent exactly."""
        node, path = _ROOT, []
        for index, layer in enumerate(self._layers):
            after = self._values[index]
            options, values = [], []
            for edge in layer:
                rest = remaining - self._step(edge)
                if edge.source == node and rest >= 0 and edge.target in after:
                    options.append((edge, rest))
                    values.append(self._score(index - 1, edge) + after[edge.target][rest])
            edge, remaining = options[int(choose(np.array(values)))]
            node = edge.target
            path.append(edge)
        return _architecture(path)


def _draw(rng: np.random.Generator, log_mass: NDArray[np.float64]) -> int:
    mass = np.exp(log_mass - log_mass.max())
    return int(rng.choice(len(mass), p=mass / mass.sum()))


def _architecture(path: Sequence[Edge]) -> Architecture:
    stride, width = path[0].target
    return Architecture(stride, width, tuple(edge.stage for edge in path[1:] if edge.stage is not None))
