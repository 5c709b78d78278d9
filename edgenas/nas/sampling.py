# SPDX-License-Identifier: Apache-2.0
"""Which networks to measure next: half are drawn at random, half are the most informative about all others.

Transductive experimental design (Yu, Bi and Tresp, ICML 2006, its sequential algorithm), which is greedy V-optimal
design for ridge regression: the next network is the one whose measurement lowers the summed variance of the predictions
of a whole pool most. It assumes only that costs of operators add up, so it suits every latency model.

Where costs do not quite add up, the design measures extreme networks, and the model is biased for those in between:
with 150 networks chosen by design alone, `auto` erred by 3.0 % on new networks of a Xeon; with half of them drawn at
random, by 1.9 % (five sessions; `benchmarks/results/profiling.txt`). Draws are uniform over the log of the latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from edgenas.costs import estimate
from edgenas.costs.limits import Limits
from edgenas.latency import Array
from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import operator_weight
from edgenas.nas.scaling import scale_to_budget
from edgenas.spaces.architecture import Architecture, Block, Stage
from edgenas.spaces.layer import Layer
from edgenas.spaces.space import SearchSpace

_DRAWN = 200  # random architectures in a pool
_WIDTH = 0.8  # lower end of the latency band of a draw, as a part of its upper end
_BINS = 10  # of the log of the latency
_RIDGE = 0.3  # variance of a measurement / variance of a price, both relative


def pool(lattice: Lattice, rng: np.random.Generator) -> list[Architecture]:
    """Random architectures, spread evenly over the log of the latency."""
    aims = _aims(lattice, rng, _DRAWN)
    found = lattice.samples(rng, [(_WIDTH * aim, aim) for aim in aims], operator_weight(lattice))
    return list(dict.fromkeys(found))


def filled(lattice: Lattice, rng: np.random.Generator) -> list[Architecture]:
    """A random template of the space, scaled to a random latency: every search has some. Empty without templates."""
    templates = lattice.space.templates
    if not templates:
        return []
    return scale_to_budget(lattice, templates[rng.integers(len(templates))], _aims(lattice, rng, 1)[0])[:1]


def unpriced(space: SearchSpace, limits: Limits, precision: str) -> Lattice:
    """The space before anything is measured: a multiply-accumulate costs 1, an output 4, an operator 20,000."""

    def prior_cost(block: Block) -> float:
        layers = block.layers()
        return estimate.macs([block]) + sum(4.0 * layer.elements_out + 20_000.0 for layer in layers)

    return Lattice(space, prior_cost, limits=limits, precision=precision)


def reference(lattice: Lattice) -> Architecture:
    """A template in the middle of the range of an `unpriced` space: the same in every session of that space."""
    fastest, slowest = lattice.extremes()
    middle = sqrt(lattice.price(fastest) * lattice.price(slowest))
    found = (scale_to_budget(lattice, template, middle)[:1] for template in lattice.space.templates)
    return next((filled[0] for filled in found if filled), fastest)


def _aims(lattice: Lattice, rng: np.random.Generator, count: int) -> list[float]:
    low, high = map(lattice.price, lattice.extremes())
    aims: list[float] = np.exp(rng.uniform(np.log(min(1.2 * low, high)), np.log(high), count)).tolist()
    return aims


def choose(
    space: SearchSpace,
    price: Callable[[Architecture], float],
    measured: Sequence[Architecture],
    candidates: Sequence[Architecture],
    count: int,
) -> list[Architecture]:
    """At most `count` of `candidates`, which are in random order.

    The first half are the first candidates, the second half those that are most informative beside them and `measured`.
    price: an architecture's approximate latency, in any unit; errors count relative to it.
    """
    fresh = list(dict.fromkeys(candidates))
    if not fresh:
        return []
    known = list(dict.fromkeys(measured))
    rows = _rows(space, price, [*known, *fresh])
    count = min(count, len(fresh))
    taken = list(range(len(known) + count // 2))
    while len(taken) < len(known) + count:
        taken.append(_next(rows, taken, len(known)))
    return [fresh[index - len(known)] for index in taken[len(known) :]]


@dataclass(frozen=True)
class Coverage:
    """How much of a space is measured, as fractions: of the choices of operator, kernel and expansion in all stages
    together, and of ten equal parts of the log of the latency from the fastest to the slowest architecture.
    """

    operators: float
    latencies: float


def coverage(lattice: Lattice, measured: Collection[Architecture]) -> Coverage:
    """The parts of the space, as `lattice` prices it, that were measured at least once."""
    choices = {(i, *_body(edge.stage)) for i, layer in enumerate(lattice.stages) for edge in layer if edge.stage}
    met = {(i, *_body(stage)) for architecture in measured for i, stage in enumerate(architecture.stages)}
    low, high = (np.log(lattice.price(end)) for end in lattice.extremes())
    places = [(np.log(lattice.price(a)) - low) / max(high - low, 1e-9) for a in measured]
    parts = {int(np.clip(place * _BINS, 0, _BINS - 1)) for place in places}
    return Coverage(len(met & choices) / len(choices), len(parts) / _BINS)


def _body(stage: Stage) -> tuple[str, int, int]:
    return stage.operator, stage.kernel, stage.expansion


def _next(rows: Array, taken: Sequence[int], known: int) -> int:
    """The index of the row, not among the first `known` nor in `taken`, that lowers the rows' variance most (eq. 9)."""
    precision = _RIDGE * np.eye(rows.shape[1]) + rows[taken].T @ rows[taken]
    pool = rows[known:]
    covariances = pool @ np.linalg.solve(precision, pool.T)
    gain = (covariances**2).sum(axis=0) / (1 + covariances.diagonal())
    gain[[index - known for index in taken if index >= known]] = -1.0
    return known + int(gain.argmax())


def _rows(space: SearchSpace, price: Callable[[Architecture], float], architectures: Sequence[Architecture]) -> Array:
    """Shares of each architecture's price by kind of work, every column with a mean of 1 over the architectures."""
    counts = [_work(space.blocks(architecture)) for architecture in architectures]
    columns = sorted({name for count in counts for name in count})
    work = np.array([[1.0, *(count[name] for name in columns)] for count in counts])
    shares = work / np.array([[price(architecture)] for architecture in architectures])
    scaled: Array = shares / shares.mean(axis=0)
    return scaled


def _work(blocks: Sequence[Block]) -> Counter[str]:
    """By kind of operator: how often it runs, its output elements and its MACs."""
    work: Counter[str] = Counter()
    for block in blocks:
        for layer in block.layers():
            name = _kind(layer)
            work[name] += 1
            work[f"{name}.outputs"] += layer.elements_out
            work[f"{name}.macs"] += layer.macs
    return Counter({name: amount for name, amount in work.items() if amount})


def _kind(layer: Layer) -> str:
    if layer.kind == "depthwise":  # most engines have separate loops for each
        return f"{layer.kind}.k{layer.kernel}s{layer.stride}"
    return layer.kind if layer.kind in ("conv", "conv1x1", "add") else "other"
