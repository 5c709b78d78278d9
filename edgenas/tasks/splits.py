# SPDX-License-Identifier: Apache-2.0
"""Which example is for training, which for validation, which for the test: stratified, and fixed by the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.raw import PART_NAMES, TEST, TRAIN, VALIDATION, Ints, counted, cut, shown

TEST_SHARE = 0.20
VALIDATION_SHARE = 0.15
LEAST_PER_CLASS = 5
UNEVEN = 1.5  # times as many examples in the largest class as in the smallest: see `uneven_counts`
_FEW_CLASSES = 6  # whose counts fit into one line


def check_classes(name: str, y: Ints, part: Ints, labels: tuple[str, ...], *, item: str) -> None:
    """Raise DataError unless there are two classes or more and each can be split and learnt.

    `y` (N,) are indices into `labels`, `part` (N,) what the source says, `item` what an example is called (see `Raw`).
    """
    if len(labels) < 2:
        only = f" ('{shown(labels[0])}')" if labels else ""
        raise DataError(
            f"{shown(name)} has {len(labels)} class{only}, classification needs at least 2: add a folder or label for "
            "each class",
            name=name,
            classes=len(labels),
            limit=2,
        )
    total, train = (np.bincount(y[mask], minlength=len(labels)) for mask in (part >= 0, part == TRAIN))
    # One example must be left in train after one went to each part that has to be split off.
    least_train = 1 + sum(not np.any(part == other) for other in (VALIDATION, TEST))
    for index, label in enumerate(labels):
        if train[index] == 0 < total[index]:
            where = PART_NAMES[int(part[y == index][0])]
            raise DataError(
                f"class '{shown(label)}' has {counted(total[index], item)} in {where} but none in train: "
                f"add it to train or remove it from {where}",
                label=label,
                count=0,
                limit=least_train,
            )
        if total[index] < LEAST_PER_CLASS or train[index] < least_train:
            few = total[index] < LEAST_PER_CLASS
            count, limit = (total[index], LEAST_PER_CLASS) if few else (train[index], least_train)
            raise DataError(
                f"class '{shown(label)}' has {counted(count, item)}{'' if few else ' in train'}, at least {limit} "
                f"are needed: add {item}s or remove the class",
                label=label,
                count=int(count),
                limit=limit,
            )


def class_notes(y: Ints, labels: tuple[str, ...], *, item: str) -> tuple[str, ...]:
    """Sentences about how many examples the classes have and how uneven that is; `y` (N,) are indices into `labels`."""
    counts = np.bincount(y, minlength=len(labels))
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] == counts[most]:
        notes = [f"{len(labels)} classes of {counted(counts[0], item)} each"]
    elif len(labels) <= _FEW_CLASSES:
        notes = [f"{item}s of each class: " + ", ".join(f"{cut(k)} {n}" for k, n in zip(labels, counts, strict=True))]
    else:
        notes = [
            f"{len(labels)} classes of {counts[least]} ('{cut(labels[least])}') to {counts[most]} "
            f"('{cut(labels[most])}') {item}s"
        ]
    if uneven_counts(counts):
        notes.append(
            f"classes are uneven, '{cut(labels[most])}' has {counts[most] / counts[least]:.1f} times the {item}s of "
            f"'{cut(labels[least])}': each class counts alike in training, in what is chosen and in the gate"
        )
    return tuple(notes)


def uneven_counts(examples: Ints) -> bool:
    """Whether the largest class has over 1.5 times as many examples as the smallest; `examples` (classes,) counts them.

    Up to there accuracy and balanced accuracy of two classes differ by a tenth of the difference of their recalls at
    most, and sets that are called balanced are on this side: MNIST has 1.24, digits 1.05, EuroSAT 1.5. Beyond are
    ImageNet's training part (1.8) and SVHN (3.0).
    """
    return bool(examples.max() > UNEVEN * examples.min())


def assign(
    y: Ints, part: Ints, labels: tuple[str, ...], seed: int, copy_of: Ints | None = None, *, item: str
) -> tuple[Ints, tuple[str, ...]]:
    """The part (N,) of each example, and notes that say what was split off and what is missing.

    Parts that the source has are kept. If there is no test part, 20 % of each class in train become test; if there is
    no validation part, 15 % of what is then left in train become validation; at least one example of each class in
    each.
    `copy_of` (N,) has one number for all copies of an example: they go to one part, unless a class would then have no
    example in some part. Without copies it changes nothing.
    """
    # RandomState's stream is frozen for good, so a seed gives the same split with every numpy release.
    random = np.random.RandomState(seed)
    split_test, split_validation = (not np.any(part == other) for other in (TEST, VALIDATION))
    result = part.copy()
    decided: dict[int, int] = {}  # where the copies of an example went with an earlier class
    for label in range(len(labels)):
        members = random.permutation(np.flatnonzero((y == label) & (part == TRAIN)))
        tests = max(1, round(TEST_SHARE * len(members))) if split_test else 0
        validations = max(1, round(VALIDATION_SHARE * (len(members) - tests))) if split_validation else 0
        wanted = np.repeat((TEST, VALIDATION, TRAIN), (tests, validations, len(members) - tests - validations))
        chosen = wanted if copy_of is None else _together(copy_of[members], wanted, decided)
        result[members] = chosen if set(chosen) == set(wanted) else wanted
        if copy_of is not None:
            decided.update(zip(copy_of[members].tolist(), result[members].tolist(), strict=True))
    return result, _notes(y, part, result, labels, seed, item)


def _together(copy_of: Ints, wanted: Ints, decided: Mapping[int, int]) -> Ints:
    """The part (N,) of each example so that copies share one: `wanted` (N,) where there are none, else nearly as many.

    `copy_of` (N,) has one number for all copies of an example; `decided` are numbers that have their part.
    """
    room = {which: int(np.count_nonzero(wanted == which)) for which in (TEST, VALIDATION)}
    sizes = Counter(copy_of.tolist())
    parts: dict[int, int] = {}
    for number, size in sizes.items():  # in the order in which they come first
        fits = (which for which in (TEST, VALIDATION) if 2 * room[which] >= size)
        parts[number] = decided[number] if number in decided else next(fits, TRAIN)
        if parts[number] in room:
            room[parts[number]] -= size
    return np.array([parts[number] for number in copy_of.tolist()], np.int64)


def _notes(y: Ints, given: Ints, result: Ints, labels: tuple[str, ...], seed: int, item: str) -> tuple[str, ...]:
    notes = []
    for other, share, of in ((TEST, TEST_SHARE, "train"), (VALIDATION, VALIDATION_SHARE, "the rest of train")):
        name = PART_NAMES[other]
        if not np.any(given == other):
            count = np.count_nonzero(result == other)
            notes.append(f"no {name} part: {share:.0%} of {of} ({count} {item}s) split off by seed {seed}")
            continue
        notes += absent_notes(y, result, labels, (other,), item=item)
    return tuple(notes)


def absent_notes(
    y: Ints, part: Ints, labels: tuple[str, ...], parts: tuple[int, ...] = (TEST, VALIDATION), *, item: str
) -> list[str]:
    """A sentence for each of `parts` that lacks a class; `part` (N,) is where each example goes."""
    notes = []
    for which in parts:
        absent = [label for index, label in enumerate(labels) if not np.any(y[part == which] == index)]
        if absent:
            notes.append(
                f"{len(absent)} of {len(labels)} classes have no {item} in {PART_NAMES[which]} "
                f"(first: '{shown(absent[0])}')"
            )
    return notes
