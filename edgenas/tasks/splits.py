"""Which image is for training, which for validation, which for the test: stratified, and fixed by the seed."""

from __future__ import annotations

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.raw import PART_NAMES, TEST, TRAIN, VALIDATION, Ints, counted, shown

TEST_SHARE = 0.20
VALIDATION_SHARE = 0.15
LEAST_PER_CLASS = 5


def check_classes(name: str, y: Ints, part: Ints, labels: tuple[str, ...]) -> None:
    """Raise DataError unless there are two classes or more and each can be split and learnt.

    `y` (N,) are indices into `labels`, `part` (N,) what the source says (see `Raw`).
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
    # One image must be left in train after one went to each part that has to be split off.
    least_train = 1 + sum(not np.any(part == other) for other in (VALIDATION, TEST))
    for index, label in enumerate(labels):
        if train[index] == 0 < total[index]:
            where = PART_NAMES[int(part[y == index][0])]
            raise DataError(
                f"class '{shown(label)}' has {counted(total[index], 'image')} in {where} but none in train: "
                f"add it to train or remove it from {where}",
                label=label,
                count=0,
                limit=least_train,
            )
        if total[index] < LEAST_PER_CLASS or train[index] < least_train:
            few = total[index] < LEAST_PER_CLASS
            count, limit = (total[index], LEAST_PER_CLASS) if few else (train[index], least_train)
            raise DataError(
                f"class '{shown(label)}' has {counted(count, 'image')}{'' if few else ' in train'}, at least {limit} "
                "are needed: add images or remove the class",
                label=label,
                count=int(count),
                limit=limit,
            )


def assign(y: Ints, part: Ints, labels: tuple[str, ...], seed: int) -> tuple[Ints, tuple[str, ...]]:
    """The part (N,) of each image, and notes that say what was split off and what is missing.

    Parts that the source has are kept. If there is no test part, 20 % of each class in train become test; if there is
    no validation part, 15 % of what is then left in train become validation; at least one image of each class in each.
    """
    # RandomState's stream is frozen for good, so a seed gives the same split with every numpy release.
    random = np.random.RandomState(seed)
    split_test, split_validation = (not np.any(part == other) for other in (TEST, VALIDATION))
    result = part.copy()
    for label in range(len(labels)):
        members = random.permutation(np.flatnonzero((y == label) & (part == TRAIN)))
        tests = max(1, round(TEST_SHARE * len(members))) if split_test else 0
        validations = max(1, round(VALIDATION_SHARE * (len(members) - tests))) if split_validation else 0
        result[members[:tests]] = TEST
        result[members[tests : tests + validations]] = VALIDATION
    return result, _notes(y, part, result, labels, seed)


def _notes(y: Ints, given: Ints, result: Ints, labels: tuple[str, ...], seed: int) -> tuple[str, ...]:
    notes = []
    for other, share, of in ((TEST, TEST_SHARE, "train"), (VALIDATION, VALIDATION_SHARE, "the rest of train")):
        name = PART_NAMES[other]
        if not np.any(given == other):
            count = np.count_nonzero(result == other)
            notes.append(f"no {name} part: {share:.0%} of {of} ({count} images) split off by seed {seed}")
            continue
        absent = [label for index, label in enumerate(labels) if not np.any(y[result == other] == index)]
        if absent:
            notes.append(
                f"{len(absent)} of {len(labels)} classes have no image in {name} (first: '{shown(absent[0])}')"
            )
    return tuple(notes)
