# SPDX-License-Identifier: Apache-2.0
"""Images that stand in a set twice: counted, said, and kept in one part where edgenas splits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.tasks import load, splits
from edgenas.tasks.copies import alike
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION

assign = partial(splits.assign, item="image")
class_notes = partial(splits.class_notes, item="image")

RANDOM = np.random.RandomState(0)
X = RANDOM.randint(0, 256, (60, 8, 8), dtype=np.uint8)
Y = np.repeat([0, 1], 30)


def loaded(folder: Path, **arrays: np.ndarray) -> Dataset:
    np.savez(folder / "set.npz", **arrays)
    return load(str(folder / "set.npz"))


def test_alike() -> None:
    x = X[[3, 4, 3, 5, 4, 3]][..., np.newaxis]
    assert alike(x).tolist() == [0, 1, 0, 3, 1, 0]


def test_copies_stay_in_one_part(tmp_path: Path) -> None:
    x = X.copy()
    x[10:20], x[40:45] = x[:10], x[45:50]
    data = loaded(tmp_path, x=x, y=Y)
    parts = [{image.tobytes() for image in split.x} for split in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 45
    assert sum(len(split) for split in (data.train, data.validation, data.test)) == 60
    first = "(first: image 10 of '0' and image 0 of '0')"
    assert data.notes[-1] == (
        f"copies of other images, pixel for pixel at 8x8: 15 of 60 {first}: they are kept in one part"
    )


def test_copies_across_given_parts_are_said_not_moved(tmp_path: Path) -> None:
    x_test, y_test = np.concatenate([X[:7], X[::-1][:1] + 1]), np.array([0] * 7 + [1])
    data = loaded(tmp_path, x_train=X, y_train=Y, x_test=x_test, y_test=y_test, x_val=X[:2], y_val=Y[:2])
    assert (len(data.train), len(data.validation), len(data.test)) == (60, 2, 8)
    assert ": 9 of 70 (first: image 60 of '0' and image 0 of '0')" in data.notes[-3]
    assert data.notes[-2].startswith(
        "validation images that are also in train: 2 of 2: validation accuracy comes out too"
    )
    assert data.notes[-1].startswith(
        "test images that are also in train: 7 of 8: test accuracy comes out too high, remove"
    )


def test_contradictory_labels_are_said(tmp_path: Path) -> None:
    x = X.copy()
    x[30:33] = x[:3]
    data = loaded(tmp_path, x=x, y=Y)
    assert "copies whose label is not that of the image they equal: 3, one of the two is wrong" in data.notes[-1]
    parts = [{image.tobytes() for image in split.x} for split in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == 57


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=15, max_size=60), st.integers(0, 99))
def test_split_with_copies_has_every_class_in_every_part(pairs: list[tuple[int, int]], seed: int) -> None:
    pairs += [(label, number) for label in range(3) for number in range(5)]
    y, copy_of = (np.array(column) for column in zip(*pairs, strict=True))
    part, _ = assign(y, np.full(len(y), TRAIN), ("a", "b", "c"), seed, copy_of)
    for label in range(3):
        assert set(part[y == label]) == {TRAIN, VALIDATION, TEST}
    np.testing.assert_array_equal(part, assign(y, np.full(len(y), TRAIN), ("a", "b", "c"), seed, copy_of)[0])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(5, 40), min_size=2, max_size=4), st.integers(0, 99))
def test_without_copies_the_split_is_what_it_was(counts: list[int], seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    labels = tuple(map(str, range(len(counts))))
    plain = assign(y, np.full(len(y), TRAIN), labels, seed)[0]
    np.testing.assert_array_equal(assign(y, np.full(len(y), TRAIN), labels, seed, np.arange(len(y)))[0], plain)


@pytest.mark.parametrize(
    ("counts", "notes"),
    [
        ((7, 7), ["2 classes of 7 images each"]),
        ((60, 40), ["images of each class: c0 60, c1 40"]),
        (
            (400, 8),
            [
                "images of each class: c0 400, c1 8",
                "classes are uneven, 'c0' has 50.0 times the images of 'c1': "
                "each class counts alike in training, in what is chosen and in the gate",
            ],
        ),
        ((9, 8, 7, 6, 7, 8, 9), ["7 classes of 6 ('c3') to 9 ('c0') images"]),
    ],
)
def test_counts_of_the_classes_are_said(counts: tuple[int, ...], notes: list[str]) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    assert class_notes(y, tuple(f"c{index}" for index in range(len(counts)))) == tuple(notes)
    assert all(len(note) < 200 for note in class_notes(y, tuple(str(index) * 90 for index in range(len(counts)))))
