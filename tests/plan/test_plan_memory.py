# SPDX-License-Identifier: Apache-2.0
"""Placements: legal whatever is asked for, and as low as an exhaustive search finds them where that can be run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.plan.memory import Buffer, Overlap, lower_bound, peak, place

Problem = tuple[list[Buffer], list[Overlap]]


def legal(buffers: Sequence[Buffer], overlaps: Sequence[Overlap], offsets: Sequence[int]) -> bool:
    """The rules once more, pair by pair and byte by byte."""
    for one, two in itertools.combinations(range(len(buffers)), 2):
        a, b = buffers[one], buffers[two]
        alive = set(range(a.first, a.last + 1)) & set(range(b.first, b.last + 1))
        mine = set(range(offsets[one], offsets[one] + a.bytes))
        shared = mine & set(range(offsets[two], offsets[two] + b.bytes))
        if alive and shared and not any(_may(overlap, {one, two}, offsets) for overlap in overlaps):
            return False
    return all(offset >= 0 and offset % 4 == 0 for offset in offsets)


def _may(overlap: Overlap, pair: set[int], offsets: Sequence[int]) -> bool:
    out, into = offsets[overlap.out], offsets[overlap.into]
    return {overlap.out, overlap.into} == pair and (out == into if overlap.exact else out + overlap.distance <= into)


def lowest(buffers: Sequence[Buffer], overlaps: Sequence[Overlap], limit: int) -> int:
    """The lowest peak of all legal placements below `limit`, else `limit`."""
    ranges = [range(0, limit - buffer.bytes + 1, 4) for buffer in buffers]
    found = (offsets for offsets in itertools.product(*ranges) if legal(buffers, overlaps, offsets))
    return min((peak(buffers, offsets) for offsets in found), default=limit)


@st.composite
def problems(draw: st.DrawFn, most: int, largest: int) -> Problem:
    """Buffers as operators make them: an output may overlap what is read for the last time while it is written."""
    buffers = []
    for _ in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, 6))
        buffers.append(Buffer(draw(st.integers(0, largest)), first, first + draw(st.integers(0, 4))))
    pairs = [
        (out, into)
        for out, into in itertools.permutations(range(len(buffers)), 2)
        if buffers[into].last == buffers[out].first and buffers[into].first < buffers[out].first
    ]
    overlaps = [
        Overlap(out, into, draw(st.integers(-largest, largest)), draw(st.booleans()))
        for out, into in pairs
        if draw(st.booleans())
    ]
    return buffers, overlaps


@given(problems(most=12, largest=200))
@settings(max_examples=40, deadline=None)
def test_every_placement_is_legal_and_between_the_bounds(problem: Problem) -> None:
    buffers, overlaps = problem
    offsets = place(buffers, overlaps)
    assert legal(buffers, overlaps, offsets)
    assert lower_bound(buffers, overlaps) <= peak(buffers, offsets) <= sum(-(-b.bytes // 4) * 4 for b in buffers)
    assert offsets == place(buffers, overlaps)


@given(problems(most=4, largest=20))
@settings(max_examples=40, deadline=None)
def test_small_problems_are_solved_as_well_as_can_be(problem: Problem) -> None:
    buffers, overlaps = problem
    reached = peak(buffers, place(buffers, overlaps))
    assert reached == lowest(buffers, overlaps, reached)


@pytest.mark.parametrize(("length", "bytes_"), [(2, 17 * 1024), (3, 18 * 1024), (6, 21 * 1024)])
def test_a_chain_of_convolutions_drifts_down_by_the_distance(length: int, bytes_: int) -> None:
    buffers = [Buffer(16 * 1024, max(0, i - 1), i) for i in range(length)]
    overlaps = [Overlap(i, i - 1, 1024) for i in range(1, length)]
    assert peak(buffers, place(buffers, overlaps)) == bytes_


def test_a_chain_whose_drift_would_cost_more_alternates_between_two_places() -> None:
    buffers = [Buffer(1000, max(0, i - 1), i) for i in range(12)]
    overlaps = [Overlap(i, i - 1, 400) for i in range(1, 12)]
    assert peak(buffers, place(buffers, overlaps)) == 2000


def test_a_residual_block_needs_its_input_one_tensor_and_the_distance() -> None:
    size, distance = 16 * 1024, 1024
    x, a, b, added = Buffer(size, 0, 2), Buffer(size, 0, 1), Buffer(size, 1, 2), Buffer(size, 2, 2)
    overlaps = [Overlap(2, 1, distance), Overlap(3, 2, 0), Overlap(3, 0, 0)]
    assert peak([x, a, b, added], place([x, a, b, added], overlaps)) == 2 * size + distance


def test_depthwise_layers_in_place_beside_their_scratch_cost_no_second_tensor() -> None:
    tensors = [Buffer(8000, max(0, i - 1), i) for i in range(4)]
    scratch = [Buffer(1500, i, i) for i in range(1, 4)]
    overlaps = [Overlap(i, i - 1, 0, exact=True) for i in range(1, 4)]
    assert peak([*tensors, *scratch], place([*tensors, *scratch], overlaps)) == 9500


def test_an_output_that_may_lie_anywhere_over_its_input_does() -> None:
    buffers = [Buffer(640, 0, 1), Buffer(128, 1, 1), Buffer(96, 1, 1)]
    assert peak(buffers, place(buffers, [Overlap(1, 0, -(2**31))])) == 640 + 96


def test_nothing_to_place() -> None:
    assert place([], []) == []
    assert place([Buffer(0, 0, 0), Buffer(5, 0, 0)], []) == [0, 0]
    assert peak([Buffer(5, 0, 0)], [0]) == 8


def test_a_hundred_buffers_take_less_than_a_second() -> None:
    buffers = [Buffer(100 + 37 * i % 1000, i, i + i % 5) for i in range(100)]
    overlaps = [Overlap(i + 1, i, 40) for i in range(99) if buffers[i].last == buffers[i + 1].first]
    before = time.process_time()
    offsets = place(buffers, overlaps)
    assert time.process_time() - before < 1
    assert peak(buffers, offsets) <= 1.1 * lower_bound(buffers, overlaps)


@pytest.mark.parametrize(
    ("buffers", "overlaps", "message"),
    [
        ([Buffer(-1, 0, 0)], [], "buffer 0 is"),
        ([Buffer(4, 1, 0)], [], "give bytes >= 0 and 0 <= first <= last"),
        ([Buffer(4, 0, 0)], [Overlap(0, 1, 0)], "does not name two of the 1 buffers"),
        ([Buffer(4, 0, 0)], [Overlap(0, 0, 0)], "does not name two of the 1 buffers"),
    ],
)
def test_what_makes_no_sense_is_refused(buffers: list[Buffer], overlaps: list[Overlap], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        place(buffers, overlaps)
