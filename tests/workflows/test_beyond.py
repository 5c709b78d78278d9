# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import cast

import pytest

from edgenas.costs import estimate
from edgenas.costs.limits import Limits
from edgenas.latency import AdditiveModel
from edgenas.nas.lattice import Lattice
from edgenas.spaces.architecture import Block
from edgenas.spaces.space import SearchSpace
from edgenas.tasks import InputSpec
from edgenas.units import MINSN, MS
from edgenas.workflows import beyond
from edgenas.workflows.beyond import Priced


@dataclass
class Counts:
    """A million multiply-accumulates take a unit, an inference a little more."""

    bias_ms: float = 0.004

    def block_ms(self, block: Block) -> float:
        return estimate.macs([block]) / 1e6


def note(text: str, budget_ms: float, space: Priced, side: int | None) -> str | None:
    """Of images whose source has `side` pixels."""
    return beyond.note(text, budget_ms, space, InputSpec(("row", "column", "color"), side, 512))


def priced(side: int, limits: Limits | None = None) -> Priced:
    space = SearchSpace.load("tiny", (1, side, side), 10)
    return Priced(space, cast("AdditiveModel", Counts()), limits or Limits(), "int8", MS)


def told(line: str | None) -> tuple[int, float]:
    """The --size of a note and what it would take, in ms."""
    assert line is not None
    assert len(line) < 200
    assert "\n" not in line
    found = re.search(r"--size (\d+) (?:would use|enlarges them:) about ([\d.]+) ms", line)
    assert found is not None, line
    return int(found[1]), float(found[2])


def test_a_budget_that_the_slowest_half_uses_is_not_beyond() -> None:
    space = priced(8)
    slowest_ms = space.slowest()[1]
    assert note("2ms", 1.99 * slowest_ms, space, 8) is None
    assert note("2ms", 2.01 * slowest_ms, space, 8) is not None


def test_a_size_within_the_images_own_is_named_with_what_it_would_take() -> None:
    space = priced(28)
    _, slowest_ms = space.slowest()
    line = note("100ms", 100.0, space, 500)
    assert line is not None
    assert line.startswith(f"budget 100ms is {100 / slowest_ms:.1f} times the space's slowest network (")
    size, taken_ms = told(line)
    assert size % 8 == 0
    assert taken_ms == pytest.approx(space.slowest(size)[1], rel=0.01)
    assert 80 < taken_ms <= 100
    assert "enlarge" not in line
    assert told(note("100ms", 100.0, space, None)) == (size, taken_ms)  # it is not known how large they are
    assert told(note("100ms", 100.0, space, 70))[0] == 64  # no more than they have


def test_enlarged_images_are_called_that() -> None:
    line = note("5ms", 5.0, priced(8), 8)
    size, taken_ms = told(line)
    assert size > 8
    assert taken_ms <= 5
    assert line is not None
    assert "images of 8 pixels" in line
    assert "larger ones, a wider --space or a smaller board" in line


def test_a_board_whose_memory_allows_no_more_says_so() -> None:
    space = priced(28)
    need = estimate.ram_bytes(space.space.blocks(space.slowest()[0]), "int8")
    smallest = Lattice(space.space, lambda block: float(estimate.block_ram_bytes(block, "int8"))).extremes()[0]
    tight = priced(28, Limits(ram_bytes=estimate.ram_bytes(space.space.blocks(smallest), "int8")))
    line = note("100ms", 100.0, tight, 500)
    assert line is not None
    assert len(line) < 200
    assert "memory holds no larger --size; a smaller board would do" in line
    roomy = priced(28, Limits(ram_bytes=4 * need))
    size, taken_ms = told(note("100ms", 100.0, roomy, 500))
    assert taken_ms == pytest.approx(roomy.slowest(size)[1], rel=0.01)


def test_where_the_next_size_takes_more_than_the_budget_it_can_use_all_of_it() -> None:
    space = priced(8)
    budget_ms = 2.5 * space.slowest()[1]
    assert space.slowest(16)[1] > budget_ms
    size, taken_ms = told(note("2ms", budget_ms, space, 64))
    assert (size, taken_ms) == (16, pytest.approx(budget_ms, rel=0.01))


def test_beyond_the_largest_size_there_is_only_another_space_or_board() -> None:
    line = note("9s", 9e9, priced(512), 2000)
    assert line is not None
    assert "no --size is larger; a smaller board would do, or a wider --space" in line


def test_counted_instructions_are_told_in_their_unit() -> None:
    line = note("800Minsn", 800.0, replace(priced(8), unit=MINSN), 64)
    assert line is not None
    assert len(line) < 200
    assert re.search(r"slowest network \([\d.]+ kinsn\): --size 64 would use about [\d.]+ Minsn of it", line)


def test_an_input_of_one_shape_is_not_to_be_enlarged() -> None:
    line = beyond.note("100ms", 100.0, priced(8), InputSpec(("frame", "band", "channel")))
    assert line is not None
    assert line.endswith(": a smaller board would do, or a wider --space")
