# SPDX-License-Identifier: Apache-2.0
"""Which arrays of an .npz are images and which are their labels, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgenas.tasks.images.scale import UnsuitableError
from edgenas.tasks.layout import PART_WORDS
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, cut, listed

_IMAGES = frozenset(("x", "image", "images", "img", "imgs", "data", "inputs", "pixels", "pictures", "samples"))
_LABELS = frozenset(("y", "label", "labels", "target", "targets"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PLAIN = {
    **{"x": (True, None), "x_train": (True, TRAIN), "x_val": (True, VALIDATION), "x_test": (True, TEST)},
    **{"y": (False, None), "y_train": (False, TRAIN), "y_val": (False, VALIDATION), "y_test": (False, TEST)},
}
_NAMES = {what: key for key, what in _PLAIN.items()}


@dataclass(frozen=True)
class Pair:
    """The keys of the images and labels of one part."""

    part: int
    x: str
    y: str


def pairs_of(keys: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """The pairs among `keys`, and notes about other names and what is not read. Raises UnsuitableError.

    `x` and `y`, or `x_train`, `y_train` and so on; other usual names (X, images, trainLabels) where these are missing.
    """
    found = _assigned(keys)
    parts = [part for images, part in found if images]
    if None in parts and TRAIN in parts:
        first, second = found[True, None], found[True, TRAIN]
        raise UnsuitableError(first, f"both {first} and {second} are there: keep one")
    if None not in parts and TRAIN not in parts:
        there = listed([cut(key) for key in keys]) or "nothing"
        raise UnsuitableError("x", f"neither x nor x_train is there, only {there}: rename the images")
    pairs = []
    for part in sorted(parts, key=lambda part: (part or TRAIN, part is not None)):
        x = found[True, part]
        if (False, part) not in found:
            wanted = _NAMES[False, part]
            there = listed([cut(key) for key in keys])
            raise UnsuitableError(wanted, f"{wanted} is missing, only {there} are there: add the labels")
        pairs.append(Pair(TRAIN if part is None else part, x, found[False, part]))
    read = {key for pair in pairs for key in (pair.x, pair.y)}
    notes = []
    if renamed := [f"{cut(key)} is {_NAMES[what]}" for what, key in found.items() if key in read and key not in _PLAIN]:
        notes.append(f"arrays by their names: {listed(renamed, 6)}")
    if unread := [cut(key) for key in keys if key not in read]:
        notes.append(f"arrays ignored: {listed(unread)}")
    return pairs, notes


def _assigned(keys: Sequence[str]) -> dict[tuple[bool, int | None], str]:
    """{(images or labels, part or None): key}; a plain name goes before all others, else two are one too many."""
    found: dict[tuple[bool, int | None], str] = {_PLAIN[key]: key for key in keys if key in _PLAIN}
    for key in keys:
        what = _meaning(key)
        if what is None or found.get(what, key) in (key, _NAMES[what]):
            if what is not None:
                found.setdefault(what, key)
            continue
        kind = "images" if what[0] else "labels"
        raise UnsuitableError(key, f"both {found[what]} and {key} may be the {kind}: name one {_NAMES[what]}")
    return found


def _meaning(key: str) -> tuple[bool, int | None] | None:
    words = [word.lower() for word in _WORD.findall(key)]
    parts = [PART_WORDS[word] for word in words if word in PART_WORDS]
    kinds = [word in _IMAGES for word in words if word in _IMAGES | _LABELS]
    if len(kinds) != 1 or len(parts) > 1 or len(parts) + 1 != len(words):
        return None
    return kinds[0], parts[0] if parts else None
