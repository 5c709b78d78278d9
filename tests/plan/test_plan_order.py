# SPDX-License-Identifier: Apache-2.0
"""Orders of execution: topological, and with the lowest peak that any order has."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.plan.order import order, peak

Graph = tuple[list[list[int]], list[list[int]], list[int]]


def simulated(graph: Graph, operators: tuple[int, ...] | list[int]) -> int | None:
    """The peak by the definition, from the life of every tensor; None if something is read before it is written."""
    reads, writes, sizes = graph
    position = {operator: place for place, operator in enumerate(operators)}
    alive = [0] * len(operators)
    for tensor, size in enumerate(sizes):
        written = [position[i] for i, tensors in enumerate(writes) if tensor in tensors]
        read = [position[i] for i, tensors in enumerate(reads) if tensor in tensors]
        first = written[0] if written else 0
        last = max(read, default=len(operators) - 1)
        if written and read and min(read) <= first:
            return None
        for now in range(first, last + 1):
            alive[now] += size
    return max(alive)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Tensor 0 is the input; operator i writes tensor i + 1 and reads some before it; then all is shuffled."""
    count = draw(st.integers(1, 6))
    reads = [draw(st.lists(st.integers(0, i), min_size=1, max_size=3)) for i in range(count)]
    shuffled = draw(st.permutations(range(count)))
    sizes = draw(st.lists(st.integers(0, 50), min_size=count + 1, max_size=count + 1))
    return [reads[i] for i in shuffled], [[i + 1] for i in shuffled], sizes


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_no_order_is_better(graph: Graph) -> None:
    found = order(*graph)
    every = {some: simulated(graph, some) for some in itertools.permutations(range(len(graph[0])))}
    peaks = {some: height for some, height in every.items() if height is not None}
    assert every[tuple(found)] == min(peaks.values()) == peak(*graph, found)
    given_order = tuple(range(len(graph[0])))
    if peaks.get(given_order) == min(peaks.values()):
        assert tuple(found) == given_order


def test_the_branch_that_ends_small_goes_first() -> None:
    # x -> a (large) -> a' (small); x -> b (large) -> b' (small); both small ones are joined
    reads, writes = [[0], [0], [1], [2], [3, 4]], [[1], [2], [3], [4], [5]]
    sizes = [10, 1000, 1000, 10, 10, 10]
    found = order(reads, writes, sizes)
    assert found == [0, 2, 1, 3, 4]
    assert (peak(reads, writes, sizes, range(5)), peak(reads, writes, sizes, found)) == (2010, 1020)


def test_where_nothing_is_gained_the_given_order_stays() -> None:
    assert order([[0], [0], [1, 2]], [[1], [2], [3]], [5, 5, 5, 5]) == [0, 1, 2]
    assert order([], [], [5]) == []


def test_a_given_order_that_reads_before_it_writes_is_mended() -> None:
    assert order([[1], [0]], [[2], [1]], [4, 4, 4]) == [1, 0]


def test_more_sets_than_are_kept_still_give_an_order_that_is_not_worse() -> None:
    # 2^12 sets of executed branches, each with a large and a small tensor, given breadth first
    count = 12
    reads = [*([0] for _ in range(count)), *([1 + i] for i in range(count)), list(range(1 + count, 1 + 2 * count))]
    writes = [[1 + i] for i in range(2 * count + 1)]
    sizes = [10, *[1000 + i for i in range(count)], *[10 + i for i in range(count)], 5]
    found = order(reads, writes, sizes)
    assert sorted(found) == list(range(2 * count + 1))
    height = simulated((reads, writes, sizes), found)
    assert height is not None
    assert height < 1500
    assert found == order(reads, writes, sizes)


@pytest.mark.parametrize(
    ("reads", "writes", "message"),
    [
        ([[1], [0]], [[0], [1]], "operators [0, 1] wait for each other in a circle"),
        ([[0]], [[0]], "operators [0] wait for each other in a circle"),
        ([[], []], [[0], [0]], "tensor 0 is written by operators 0 and 1"),
        ([[0]], [], "give both for every operator"),
    ],
)
def test_what_cannot_be_ordered_is_refused(reads: list[list[int]], writes: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        order(reads, writes, [4, 4])
