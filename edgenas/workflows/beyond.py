# SPDX-License-Identifier: Apache-2.0
"""A budget far beyond the space: how far, and what would use it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgenas.costs.limits import Limits
from edgenas.errors import InfeasibleError
from edgenas.latency import AdditiveModel
from edgenas.nas.lattice import Lattice
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import InputSpec
from edgenas.units import Unit

FAR = 2.0  # times what the space's slowest network takes: a budget beyond it leaves half unused
_STEP = 8  # pixels between two input sizes that are considered
_TRIED, _STEP_DOWN = 5, 0.7  # input sizes that are held against the board's memory


@dataclass(frozen=True)
class Priced:
    """A search space on a board: `model` prices blocks in `unit`, `limits` are the board's."""

    space: SearchSpace
    model: AdditiveModel
    limits: Limits
    precision: str
    unit: Unit

    def slowest(self, size: int | None = None) -> tuple[Architecture, float]:
        """The slowest architecture that fits the board at an input of `size` pixels a side, None: as the space has it.

        Raises InfeasibleError if none fits.
        """
        space = self.space if size is None else self._resized(size)
        lattice = Lattice(space, self.model.block_ms, self.model.bias_ms, self.limits, self.precision)
        found = lattice.extremes()[1]
        return found, lattice.price(found)

    def price(self, architecture: Architecture, size: int) -> float:
        """What an architecture takes at an input of `size` pixels a side, whether it fits the board or not."""
        return self.model.bias_ms + sum(map(self.model.block_ms, self._resized(size).blocks(architecture)))

    def _resized(self, size: int) -> SearchSpace:
        return replace(self.space, input_shape=(self.space.input_shape[0], size, size))


def note(text: str, budget_ms: float, priced: Priced, spec: InputSpec) -> str | None:
    """One line of how far the budget `text` is beyond the space, and what would use more of it; None if it is not.

    spec: of the data: an input that is larger than its source only enlarges what is there.
    """
    slowest, slowest_ms = priced.slowest()
    if budget_ms < FAR * slowest_ms:
        return None
    times = budget_ms / slowest_ms
    shown = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
    head = f"budget {text} is {shown} times the space's slowest network ({priced.unit.format(slowest_ms)})"
    if spec.largest_side is None:
        return f"{head}: a smaller board would do, or a wider --space"
    present, side, largest = max(priced.space.input_shape[1:]), spec.source_side, spec.largest_side
    offered = largest if side is None else min(largest, side // _STEP * _STEP)
    found = _size(priced, slowest, budget_ms, present, offered) if offered > present else None
    if found is not None and found[1] > slowest_ms:
        return f"{head}: --size {found[0]} would use about {priced.unit.format(found[1])} of it"
    enlarged = _size(priced, slowest, budget_ms, present, largest)
    if enlarged is None or enlarged[1] <= slowest_ms:
        why = "no --size is larger" if present >= largest else "the board's memory holds no larger --size"
        return f"{head}: {why}; a smaller board would do, or a wider --space"
    size, taken_ms = enlarged
    hint = f"(--size {size} enlarges them: about {priced.unit.format(taken_ms)})"
    return f"{head}: images of {side} pixels {hint}; larger ones, a wider --space or a smaller board would do"


def _size(
    priced: Priced, slowest: Architecture, budget_ms: float, present: int, largest: int
) -> tuple[int, float] | None:
    """Of the input sizes above `present` up to `largest` the one at which the slowest network that fits the board takes
    most, within the budget, and what it takes; where all take more, the smallest, which can use all of the budget. None
    if nothing fits the board at a larger size.
    """
    sizes = [size for size in range(_STEP, largest + 1, _STEP) if size > present]
    within = [size for size in sizes if priced.price(slowest, size) <= budget_ms] or sizes[:1]
    found: list[tuple[float, int]] = []
    for size in _tried(within):
        try:
            found.append((min(budget_ms, priced.slowest(size)[1]), size))
        except InfeasibleError:  # nothing fits the board at this size
            continue
        if priced.limits == Limits():
            break
    return max(((size, taken_ms) for taken_ms, size in found), key=lambda each: each[1], default=None)


def _tried(sizes: list[int]) -> list[int]:
    """The largest, and smaller ones: each at most `_STEP_DOWN` times the one before."""
    found: list[int] = []
    for size in reversed(sizes):
        if not found or size <= _STEP_DOWN * found[-1]:
            found.append(size)
    return found[:_TRIED]
