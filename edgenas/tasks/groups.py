# SPDX-License-Identifier: Apache-2.0
"""Examples that must stay together: all recordings of a speaker, all pictures of a scene."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.raw import PART_NAMES, TEST, TRAIN, VALIDATION, Ints, Raw, counted, cut, listed, shown
from edgenas.tasks.splits import TEST_SHARE, VALIDATION_SHARE, absent_notes

_MAX_PATTERN = 200  # characters of a regular expression


@dataclass(frozen=True, eq=False)
class Groups:
    """`of` (N,) is the index into `names` of each example's group; `kind` is what a group is called: "speaker"."""

    kind: str
    names: tuple[str, ...]
    of: Ints


def groups_of(files: Sequence[str], group_by: str, kind: str = "group") -> Groups:
    """The groups that `group_by` names in the paths of files.

    Raises DataError for a bad expression, data that are not in files, or a file that it does not match.
    """
    pattern = _compiled(group_by)
    if not files:
        raise DataError("--group-by goes by file names, these data have none: leave it out", group_by=group_by)
    found = matched(files, pattern)
    if isinstance(found, str):
        raise DataError(
            f"--group-by {shown(group_by)} does not match {shown(found)}: name the {kind} in every file's path with "
            "the first group of the expression",
            group_by=group_by,
            file=found,
        )
    return groups_named(found, kind)


def matched(files: Sequence[str], pattern: re.Pattern[str]) -> list[str] | str:
    """The first group of `pattern` in each path, or the first path that it does not match."""
    names = []
    for file in files:
        match = pattern.search(file)
        if match is None or match[1] is None:
            return file
        names.append(match[1])
    return names


def groups_named(names: Sequence[str], kind: str) -> Groups:
    """Groups from the name of each example's group."""
    values, of = np.unique(np.array(names), return_inverse=True)
    return Groups(kind, tuple(map(str, values)), of.astype(np.int64).reshape(-1))


def assign_groups(raw: Raw, groups: Groups, seed: int) -> tuple[Ints, tuple[str, ...]]:
    """The part (N,) of each example, groups as wholes, and notes.

    Parts that the source has are kept. A part that is missing gets whole groups of train, drawn by `seed`, of about
    20 % (test) or 15 % of the rest (validation), at least one; every class keeps an example in train. Raises DataError
    if no group can be spared.
    """
    random, part, notes = np.random.RandomState(seed), raw.part.copy(), []
    missing = [which for which in (TEST, VALIDATION) if not np.any(part == which)]
    for which, share in ((TEST, TEST_SHARE), (VALIDATION, VALIDATION_SHARE)):
        if which in missing:
            chosen = _chosen(raw, groups, part, share, random, spare=1 + (which == TEST and VALIDATION in missing))
            part[np.isin(groups.of, chosen) & (part == TRAIN)] = which
            notes.append(_split_note(raw, groups, part, which, seed))
        notes += _leak_notes(raw, groups, part, which)
    return part, (*notes, *absent_notes(raw.y, part, raw.labels, item=raw.item))


def _compiled(group_by: str) -> re.Pattern[str]:
    if len(group_by) > _MAX_PATTERN:
        raise DataError(
            f"--group-by has {len(group_by)} characters, the limit is {_MAX_PATTERN}: give a shorter expression",
            limit=_MAX_PATTERN,
        )
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise DataError(
            f"--group-by {shown(group_by)} is no regular expression ({error}): mend it", group_by=group_by
        ) from error
    if not pattern.groups:
        raise DataError(
            f"--group-by {shown(group_by)} has no group: put parentheses around what names it, as in _([a-z]+)_",
            group_by=group_by,
        )
    return pattern


def _chosen(raw: Raw, groups: Groups, part: Ints, share: float, random: np.random.RandomState, spare: int) -> list[int]:
    """Groups of train of about `share` of its examples; `spare` groups stay, and every class that train has."""
    left = part == TRAIN
    wanted, count, chosen = share * np.count_nonzero(left), 0, list[int]()
    for group in random.permutation(np.unique(groups.of[left])).tolist():
        size = int(np.count_nonzero(left & (groups.of == group)))
        rest = left & (groups.of != group)
        if chosen and count + size / 2 > wanted:
            continue
        if len(np.unique(groups.of[rest])) < spare or len(np.unique(raw.y[rest])) < len(raw.labels):
            continue
        chosen, count, left = [*chosen, group], count + size, rest
    if not chosen:
        names = counted(len(np.unique(groups.of[part == TRAIN])), groups.kind)
        raise DataError(
            f"{shown(raw.name)} has {names} in train, of which none can be spared for another part: at least "
            f"{1 + spare} that hold every class are needed, add some or give parts (train/, val/, test/)",
            groups=len(groups.names),
            limit=1 + spare,
        )
    return chosen


def _split_note(raw: Raw, groups: Groups, part: Ints, which: int, seed: int) -> str:
    names = [groups.names[group] for group in np.unique(groups.of[part == which])]
    count = counted(int(np.count_nonzero(part == which)), raw.item)
    name = PART_NAMES[which]
    return (
        f"no {name} part: {groups.kind} {listed(names)} ({count}) split off by seed {seed}: {name} accuracy is of "
        f"{groups.kind}s that are in no other part"
    )


def _leak_notes(raw: Raw, groups: Groups, part: Ints, which: int) -> list[str]:
    there = np.unique(groups.of[part == which])
    both = [groups.names[group] for group in there if np.any((groups.of == group) & (part == TRAIN))]
    if not both:
        return []
    name = PART_NAMES[which]
    return [
        f"{groups.kind}s of {name} that are also in train: {len(both)} of {len(there)} (first: {cut(both[0])}): "
        f"{name} accuracy is not of unseen {groups.kind}s"
    ]
