# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.errors import DataError
from edgenas.tasks import splits
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION

assign = partial(splits.assign, item="image")
check_classes = partial(splits.check_classes, item="image")

COUNTS = st.lists(st.integers(5, 60), min_size=2, max_size=6)


def labelled(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    y = np.repeat(np.arange(len(counts)), counts)
    np.random.RandomState(seed).shuffle(y)
    return y, np.full(len(y), TRAIN), tuple(f"c{index}" for index in range(len(counts)))


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.integers(0, 2**32 - 1))
def test_split_is_a_stratified_partition_fixed_by_the_seed(counts: list[int], seed: int) -> None:
    y, given_part, labels = labelled(counts)
    part, _ = assign(y, given_part, labels, seed)
    assert set(part) == {TRAIN, VALIDATION, TEST}
    np.testing.assert_array_equal(part, assign(y, given_part, labels, seed)[0])
    for index, count in enumerate(counts):
        tests = np.count_nonzero(part[y == index] == TEST)
        validations = np.count_nonzero(part[y == index] == VALIDATION)
        assert tests == max(1, round(0.2 * count))
        assert validations == max(1, round(0.15 * (count - tests)))
        assert count - tests - validations >= 1


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.sampled_from([VALIDATION, TEST]), st.integers(0, 99))
def test_a_part_that_the_source_has_is_kept(counts: list[int], which: int, seed: int) -> None:
    y, part, labels = labelled(counts)
    y, part = np.concatenate([y, [0, 1]]), np.concatenate([part, [which, which]])
    result, _ = assign(y, part, labels, seed)
    np.testing.assert_array_equal(result == which, part == which)
    assert set(result) == {TRAIN, VALIDATION, TEST}


def test_nothing_moves_when_all_parts_are_there() -> None:
    y, part = np.tile([0, 1], 9), np.repeat([TRAIN, VALIDATION, TEST], 6)
    result, notes = assign(y, part, ("a", "b"), 3)
    np.testing.assert_array_equal(result, part)
    assert notes == ()


def test_seeds_differ_and_the_stream_is_frozen() -> None:
    y, part, labels = labelled([50, 50])
    first, second = (assign(y, part, labels, seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)
    # Pinned: another numpy release must not change which image is in the test part.
    frozen, _ = assign(np.repeat([0, 1], 5), np.zeros(10, np.int64), ("a", "b"), 7)
    assert frozen.tolist() == [2, 0, 0, 1, 0, 0, 1, 2, 0, 0]


def test_notes_say_what_was_split_and_what_is_absent() -> None:
    y, part, labels = labelled([20, 20])
    _, notes = assign(y, part, labels, 5)
    assert notes == (
        "no test part: 20% of train (8 images) split off by seed 5",
        "no validation part: 15% of the rest of train (4 images) split off by seed 5",
    )
    _, notes = assign(np.append(y, 0), np.append(part, TEST), labels, 5)
    assert notes[0] == "1 of 2 classes have no image in test (first: 'c1')"


@pytest.mark.parametrize(
    ("y", "part", "message"),
    [
        ([0] * 9, [TRAIN] * 9, "has 1 class ('a'), classification needs at least 2"),
        ([0] * 9 + [1] * 4, [TRAIN] * 13, "class 'b' has 4 images, at least 5 are needed"),
        ([0] * 9, [TRAIN] * 9, "class 'b' has 0 images, at least 5 are needed"),
        ([0] * 9 + [1] * 6, [TRAIN] * 9 + [TEST] * 6, "class 'b' has 6 images in test but none in train"),
        ([0] * 9 + [1] * 6, [TRAIN] * 10 + [TEST] * 5, "class 'b' has 1 image in train, at least 2 are needed"),
        ([0] * 9 + [1] * 6, [TRAIN] * 11 + [VALIDATION] * 4, ""),
    ],
)
def test_check_classes(y: list[int], part: list[int], message: str) -> None:
    labels = ("a",) if "1 class" in message else ("a", "b")
    if not message:
        check_classes("set", np.array(y), np.array(part), labels)
        return
    with pytest.raises(DataError) as caught:
        check_classes("set", np.array(y), np.array(part), labels)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert "limit" in caught.value.fields
