# SPDX-License-Identifier: Apache-2.0
"""Where every buffer of a network goes in one arena: a small peak, outputs on top of inputs where that is allowed.

Buffers are placed one after the other, each as low as it can go. Whatever the best placement is, placing its buffers
from the bottom up in this way finds one that is no higher, so that only the order has to be searched.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_ALIGNMENT = 4
_WORK = 400_000  # pairs of buffers that a search looks at: about a fifth of a second
_STEPS = 2_000  # of a search at most: few buffers do not need more
_SEED = 1

_Gap = tuple[int, int]  # an offset is forbidden if it lies strictly between these two


@dataclass(frozen=True)
class Buffer:
    """Bytes that are needed from operator `first` to operator `last`, both included, in execution order."""

    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Overlap:
    """Buffer `out` may share bytes with buffer `into` if its offset + `distance` (bytes) <= that of `into`.

    With `exact` only if both offsets are equal; `distance` is then not looked at. `out` and `into` are indices.
    """

    out: int
    into: int
    distance: int
    exact: bool = False


def place(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> list[int]:
    """An offset for every buffer, multiples of 4, so that the highest end is low. The same for the same arguments.

    Raises ValueError if a buffer or an overlap does not make sense.
    """
    _check(buffers, overlaps)
    return _Search(buffers, overlaps).run()


def peak(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """The bytes that an arena with this placement takes, a multiple of 4."""
    return max((offset + _up(buffer.bytes) for buffer, offset in zip(buffers, offsets, strict=True)), default=0)


def lower_bound(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> int:
    """What no placement can be below: the most bytes alive at a time, with every overlap as large as it may be."""
    best = 0
    for now in {buffer.first for buffer in buffers}:
        alive = {index for index, buffer in enumerate(buffers) if buffer.first <= now <= buffer.last}
        shared = dict.fromkeys(alive, 0)
        for overlap in overlaps:
            if overlap.out in alive and overlap.into in alive:
                out, into = buffers[overlap.out].bytes, buffers[overlap.into].bytes
                distance = 0 if overlap.exact else max(0, overlap.distance)
                shared[overlap.out] += max(0, min(out - distance, into))
        best = max(best, sum(buffers[index].bytes - min(buffers[index].bytes, shared[index]) for index in alive))
    return _up(best)


class _Search:
    """The best order found in a fixed amount of work: a few that are usually good, then random changes to the best."""

    def __init__(self, buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> None:
        self._buffers = buffers
        self._gaps = _gaps(buffers, overlaps)
        self._bound = lower_bound(buffers, overlaps)
        self._random = random.Random(_SEED)  # a generator of its own: the result repeats
        self._single = [[index] for index in range(len(buffers))]
        self._joined = _join(buffers, overlaps, self._gaps)
        self._best: list[int] = []
        self._best_peak = -1

    def run(self) -> list[int]:
        """Offsets."""
        orders = [order for units in (self._joined, self._single) for order in self._usual(units)]
        start = min(orders, key=self._try)
        if self._random_is_useless():
            return self._best
        steps = min(_STEPS, _WORK // (len(self._buffers) + sum(map(len, self._gaps))))
        for base in (start, min(self._usual(self._other(start)), key=self._try)):
            self._climb(base, steps // 2)
        return self._best

    def _usual(self, units: list[list[int]]) -> list[list[list[int]]]:
        buffers = self._buffers

        def size(unit: list[int]) -> int:
            return max(buffers[index].bytes for index in unit)

        def first(unit: list[int]) -> int:
            return min(buffers[index].first for index in unit)

        def last(unit: list[int]) -> int:
            return max(buffers[index].last for index in unit)

        return [
            sorted(units, key=lambda unit: (-size(unit), first(unit))),
            sorted(units, key=first),
            sorted(units, key=lambda unit: (-last(unit), -first(unit))),
            sorted(units, key=lambda unit: -size(unit) * (last(unit) - first(unit) + 1)),
        ]

    def _other(self, order: list[list[int]]) -> list[list[int]]:
        return self._single if len(order) == len(self._joined) else self._joined

    def _random_is_useless(self) -> bool:
        return self._best_peak <= self._bound or len(self._buffers) < 2

    def _climb(self, order: list[list[int]], steps: int) -> None:
        """Move one unit elsewhere, again and again; keep what is not worse."""
        reached = self._try(order)
        for _ in range(steps):
            if self._random_is_useless() or len(order) < 2:
                return
            changed = list(order)
            for _ in range(self._random.choice((1, 1, 2, 3))):
                unit = changed.pop(self._random.randrange(len(changed)))
                changed.insert(self._random.randrange(len(changed) + 1), unit)
            if (height := self._try(changed)) <= reached:
                order, reached = changed, height

    def _try(self, order: list[list[int]]) -> int:
        offsets = [-1] * len(self._buffers)
        for unit in order:
            offset = self._lowest(unit, offsets)
            for index in unit:
                offsets[index] = offset
        height = peak(self._buffers, offsets)
        if self._best_peak < 0 or height < self._best_peak:
            self._best, self._best_peak = offsets, height
        return height

    def _lowest(self, unit: list[int], offsets: list[int]) -> int:
        """The lowest offset at which every buffer of the unit is free of what has been placed."""
        taken = []
        for index in unit:
            for other, gaps in self._gaps[index]:
                if (at := offsets[other]) >= 0:
                    taken += [(at + low, at + high) for low, high in gaps]
        taken.sort()
        offset = 0
        for low, high in taken:
            if offset <= low:
                break  # all others begin even higher
            offset = max(offset, high)
        return offset


def _gaps(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> list[list[tuple[int, tuple[_Gap, ...]]]]:
    """For every buffer: which others it can collide with, and where it may not begin, from the other's offset on."""
    allowed = {(overlap.out, overlap.into): overlap for overlap in sorted(overlaps, key=lambda o: -o.distance)}
    found: list[list[tuple[int, tuple[_Gap, ...]]]] = [[] for _ in buffers]
    for index, mine in enumerate(buffers):
        for other, its in enumerate(buffers):
            together = mine.first <= its.last and its.first <= mine.last
            if other != index and together and mine.bytes and its.bytes:
                gaps = _gap(_up(mine.bytes), _up(its.bytes), allowed.get((index, other)), allowed.get((other, index)))
                if gaps:
                    found[index].append((other, gaps))
    return found


def _gap(mine: int, its: int, over: Overlap | None, under: Overlap | None) -> tuple[_Gap, ...]:
    """Where a buffer of `mine` bytes may not begin, from one of `its` bytes on, which it may go `over` or `under`."""
    low, high = -mine, its
    if (over is not None and over.exact) or (under is not None and under.exact):
        return (low, 0), (0, high)
    if over is not None:
        low = max(low, -_up(over.distance))
    elif under is not None:
        high = min(high, _up(under.distance))
    return ((low, high),) if low < high else ()


def _join(
    buffers: Sequence[Buffer], overlaps: Sequence[Overlap], gaps: list[list[tuple[int, tuple[_Gap, ...]]]]
) -> list[list[int]]:
    """Buffers that may only share bytes at equal offsets, as units that are placed together; all others alone."""
    units = {index: [index] for index in range(len(buffers))}
    at_zero = [{other for other, found in near if any(low < 0 < high for low, high in found)} for near in gaps]
    for overlap in overlaps:
        one, two = units[overlap.out], units[overlap.into]
        if overlap.exact and one is not two and not any(b in at_zero[a] for a in one for b in two):
            joined = sorted(one + two)
            units.update(dict.fromkeys(joined, joined))
    return [unit for index, unit in units.items() if unit[0] == index]


def _check(buffers: Sequence[Buffer], overlaps: Sequence[Overlap]) -> None:
    for index, buffer in enumerate(buffers):
        if buffer.bytes < 0 or not 0 <= buffer.first <= buffer.last:
            raise ValueError(f"buffer {index} is {buffer}: give bytes >= 0 and 0 <= first <= last")
    for overlap in overlaps:
        if not (0 <= overlap.out < len(buffers) and 0 <= overlap.into < len(buffers)) or overlap.out == overlap.into:
            raise ValueError(f"{overlap} does not name two of the {len(buffers)} buffers")


def _up(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
