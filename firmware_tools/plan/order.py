# SPDX-License-Identifier: Apache-2.0
"""In which order to run a network's operators, so that few bytes are alive at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 256  # sets of executed operators of one size that are kept; the result is exact while there are no more


def order(reads: Sequence[Sequence[int]], writes: Sequence[Sequence[int]], tensor_bytes: Sequence[int]) -> list[int]:
    """The operators in a topological order with the lowest peak of live bytes; the given order if none is lower.

    `reads` and `writes` hold for every operator the tensors (indices into `tensor_bytes`) that it reads and writes,
    constants left out. A tensor lives from its writer to its last reader; one without a writer (the network's input)
    from the start, one without a reader (its output) to the end.

    Exact while at most 256 sets of equally many operators can have been executed, else the best of those with the
    lowest peaks. Raises ValueError if a tensor has two writers, or the operators wait for each other in a circle.
    """
    graph = _graph(reads, writes, tensor_bytes)
    given = list(range(len(reads)))
    best = _best(graph)
    if all(_ready(graph, operator, (1 << operator) - 1) for operator in given) and _peak(graph, given) <= best.peak:
        return given
    return list(best.order)


def peak(
    reads: Sequence[Sequence[int]],
    writes: Sequence[Sequence[int]],
    tensor_bytes: Sequence[int],
    operators: Sequence[int],
) -> int:
    """The most bytes that are alive at a time if the operators run in this order. Raises as `order` does."""
    return _peak(_graph(reads, writes, tensor_bytes), operators)


@dataclass(frozen=True)
class _Graph:
    """Sets of operators are bits of a whole number."""

    reads: tuple[tuple[int, ...], ...]
    writes: tuple[tuple[int, ...], ...]
    size: tuple[int, ...]
    readers: tuple[int, ...]  # of every tensor
    needs: tuple[int, ...]  # for every operator: those that must run before it
    at_start: int  # bytes


@dataclass(frozen=True, order=True)
class _State:
    """After `order`: the peak so far and what is alive now, in bytes."""

    peak: int
    alive: int
    order: tuple[int, ...]


def _graph(reads: Sequence[Sequence[int]], writes: Sequence[Sequence[int]], tensor_bytes: Sequence[int]) -> _Graph:
    if len(reads) != len(writes):
        raise ValueError(f"{len(reads)} operators read and {len(writes)} write: give both for every operator")
    writer: dict[int, int] = {}
    for operator, tensors in enumerate(writes):
        for tensor in set(tensors):
            if tensor in writer:
                raise ValueError(f"tensor {tensor} is written by operators {writer[tensor]} and {operator}")
            writer[tensor] = operator
    readers = [0] * len(tensor_bytes)
    for operator, tensors in enumerate(reads):
        for tensor in tensors:
            readers[tensor] |= 1 << operator
    needs = []
    for tensors in reads:
        before = 0
        for tensor in tensors:
            before |= 1 << writer[tensor] if tensor in writer else 0
        needs.append(before)
    return _Graph(
        reads=tuple(tuple(sorted(set(tensors))) for tensors in reads),
        writes=tuple(tuple(sorted(set(tensors))) for tensors in writes),
        size=tuple(tensor_bytes),
        readers=tuple(readers),
        needs=tuple(needs),
        at_start=sum(size for tensor, size in enumerate(tensor_bytes) if tensor not in writer),
    )


def _ready(graph: _Graph, operator: int, done: int) -> bool:
    return graph.needs[operator] & ~done == 0


def _best(graph: _Graph) -> _State:
    """Dynamic programming: for every set of executed operators the order with the lowest peak."""
    states = {0: _State(graph.at_start, graph.at_start, ())}
    for _ in graph.reads:
        longer: dict[int, _State] = {}
        for done, state in states.items():
            for operator in range(len(graph.reads)):
                if not done >> operator & 1 and _ready(graph, operator, done):
                    step, after = _step(graph, state, operator, done), done | 1 << operator
                    if after not in longer or step < longer[after]:
                        longer[after] = step
        if not longer:
            left = [index for index in range(len(graph.reads)) if all(not done >> index & 1 for done in states)]
            raise ValueError(f"operators {left} wait for each other in a circle")
        states = dict(sorted(longer.items(), key=lambda item: item[1])[:_WIDTH])
    return next(iter(states.values()))


def _step(graph: _Graph, state: _State, operator: int, done: int) -> _State:
    during = state.alive + sum(graph.size[tensor] for tensor in graph.writes[operator])
    done |= 1 << operator
    freed = sum(graph.size[tensor] for tensor in graph.reads[operator] if graph.readers[tensor] & ~done == 0)
    return _State(max(state.peak, during), during - freed, (*state.order, operator))


def _peak(graph: _Graph, operators: Sequence[int]) -> int:
    state, done = _State(graph.at_start, graph.at_start, ()), 0
    for operator in operators:
        state = _step(graph, state, operator, done)
        done |= 1 << operator
    return state.peak
