# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from edgenas.tasks import load
from edgenas.tasks.dataset import Dataset, Split
from edgenas.tasks.recalls import Recalls, accuracies, class_weights, image_weights, lead, uneven

COUNTS = st.lists(st.integers(0, 300), min_size=2, max_size=12).filter(lambda counts: sum(n > 0 for n in counts) > 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=80))
def test_balanced_accuracy_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = (np.array(values) for values in zip(*pairs, strict=True))
    recalls = Recalls.of(labels == answers, labels, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are answered and not there, and of a single class
        assert recalls.balanced == pytest.approx(balanced_accuracy_score(labels, answers))
    assert recalls.accuracy == pytest.approx((labels == answers).mean())
    assert Recalls.from_json(json.loads(json.dumps(asdict(recalls)))) == recalls


def test_a_class_without_images_has_no_recall_and_no_say() -> None:
    recalls = Recalls((3, 0, 1), (4, 0, 1))
    assert recalls.by_class == (0.75, None, 1.0)
    assert (recalls.balanced, recalls.accuracy, recalls.chance) == (0.875, 0.8, 0.5)
    table = json.loads(json.dumps(accuracies(["a", "b", "c"], {"test": recalls, "int8": None}), allow_nan=False))
    assert table == {
        "accuracy": {"test": 0.8, "int8": None},
        "balanced_accuracy": {"test": 0.875, "int8": None},
        "recall": {
            "labels": ["a", "b", "c"],
            "test": {"images": [4, 0, 1], "recall": [0.75, None, 1.0]},
            "int8": None,
        },
    }


@given(COUNTS, st.data())
def test_who_answers_one_class_always_is_never_better_than_guessing(counts: list[int], data: st.DataObject) -> None:
    answer = data.draw(st.integers(0, len(counts) - 1))
    right = tuple(n if index == answer else 0 for index, n in enumerate(counts))
    assert not Recalls(right, tuple(counts)).better_than_guessing


@given(COUNTS.filter(lambda counts: all(n == 0 or n > 1 for n in counts)))
def test_who_is_always_right_is_better_than_guessing_from_two_images_a_class_on(counts: list[int]) -> None:
    assert Recalls(tuple(counts), tuple(counts)).better_than_guessing


@pytest.mark.parametrize(
    ("right", "images", "better"),
    [
        ((98, 0), (98, 3), False),
        ((98, 1), (98, 3), False),  # one of three: too few to tell
        ((98, 2), (98, 3), True),
        ((80, 3), (98, 3), True),
        ((2, 1), (2, 2), False),
        ((3, 2), (3, 3), True),
        ((50, 52), (100, 100), False),
        ((60, 62), (100, 100), True),
        ((9, 0), (9, 0), False),  # of one class alone nothing can be said
        ((14,) * 10, (100,) * 10, True),
        ((11,) * 10, (100,) * 10, False),
    ],
)
def test_better_than_guessing(right: tuple[int, ...], images: tuple[int, ...], better: bool) -> None:
    recalls = Recalls(right, images)
    assert recalls.better_than_guessing is better
    assert recalls.lower_bound <= recalls.balanced


def test_the_limits_are_wilsons_and_the_normal_approximations() -> None:
    assert Recalls((4, 0), (4, 4)).lower_bound == pytest.approx(0.5 - (1 - 4 / (4 + 1.645**2)) / 2)
    assert Recalls((1, 1), (10, 10)).lower_bound == pytest.approx(0.1 - 1.645 * np.sqrt(0.09 / 10 / 2))


@pytest.mark.parametrize(
    ("images", "answers"), [((200, 40), (0.8, 0.2)), ((50,) * 10, (0.1,) * 10)], ids=["skewed", "ten classes"]
)
def test_of_networks_that_draw_lots_one_in_twenty_is_above_chance(
    images: tuple[int, ...], answers: tuple[float, ...]
) -> None:
    drawn = np.random.default_rng(0).binomial(images, answers, (1000, len(images)))
    assert sum(Recalls(tuple(map(int, right)), images).better_than_guessing for right in drawn) <= 50


def of_counts(*counts: int) -> Dataset:
    digits = load("digits")
    y = np.repeat(np.arange(len(counts)), counts)
    part = Split(digits.train.x[: len(y)], y)
    none = Split(digits.train.x[:0], y[:0])
    return replace(digits, train=part, validation=none, test=none, labels=tuple(map(str, range(len(counts)))))


@pytest.mark.parametrize(("counts", "expected"), [((20, 30), False), ((20, 31), True), ((300, 300, 6), True)])
def test_uneven(counts: tuple[int, ...], expected: bool) -> None:
    assert uneven(of_counts(*counts)) is expected


def test_the_built_in_sets_are_even() -> None:
    assert not uneven(load("digits"))
    assert not uneven(load("mnist"))


def test_weights() -> None:
    labels = np.array([0] * 6 + [2] * 2)
    assert image_weights(labels).tolist() == pytest.approx([4 / 6] * 6 + [2.0] * 2)
    assert class_weights(np.array([0] * 6 + [1] * 2), 2).tolist() == pytest.approx([8 / 12, 2.0])
    assert class_weights(np.array([0, 1, 1, 0]), 2).tolist() == [1.0, 1.0]


def test_lead_is_the_difference_of_the_balanced_accuracies_and_its_error_that_of_the_wins_and_losses() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    mine, other = np.array([1] * 7 + [0] + [1, 1], bool), np.array([1] * 8 + [0, 1], bool)
    more, error = lead(mine, other, image_weights(labels))
    balanced = [Recalls.of(right, labels, 2).balanced for right in (mine, other)]
    assert more == pytest.approx(balanced[0] - balanced[1])
    assert error == pytest.approx(np.hypot(1 / 16, 1 / 4))  # an image of 8, and one of 2, of two classes
    even = np.ones(10)
    assert lead(mine, other, even) == pytest.approx(((1 - 1) / 10, np.sqrt(2) / 10))  # won 1, lost 1
