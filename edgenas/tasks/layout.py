# SPDX-License-Identifier: Apache-2.0
"""Which folders of a tree are the parts of a data set and which are its classes, by their names and what they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from edgenas.errors import DataError
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, counted, cut, end, listed, shown
from edgenas.tasks.tree import HIDDEN_KIND, Folder

PART_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "testset", "tst", "holdout"), TEST),
}
_FILLERS = frozenset(
    (
        "set",
        "split",
        "part",
        "data",
        "dataset",
        "folder",
        "image",
        "images",
        "img",
        "imgs",
        "photos",
        "pictures",
        "pics",
        "audio",
        "sounds",
        "recordings",
        "wav",
    )
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_]+")
_TEXTS = frozenset((HIDDEN_KIND, ".txt", ".xml", ".json", ".csv", ".yaml", ".yml", ".md"))


@dataclass
class Layout:
    """Each part's folder, whose folders are the classes; folders that are not read; notes about what was decided.

    `item` is what a file that is read is called.
    """

    parts: list[tuple[int, Folder]]
    item: str
    unread: list[Folder] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decide(top: Folder, item: str) -> Layout:
    """The layout of the tree `top`. Raises DataError if there are no class folders or it may be read in two ways."""
    layout = Layout([], item)
    folder = _unwrapped(top, layout)
    layout.parts = _parts(folder, layout)
    for _, part in layout.parts:
        if not part.folders:
            raise _no_classes(part, item)
        _check_classes_differ(part, item)
        deep = [child for child in part.filled if child.filled]
        if deep and not any("belong to" in note for note in layout.notes):
            example = Path(deep[0].name, deep[0].filled[0].name)
            layout.notes.append(f"folders inside class folders belong to the class (first: {end(example)}/)")
    return layout


def part_of(name: str) -> tuple[int, str] | None:
    """The part that a folder's name says, and what else it says: ("seg_train") -> (TRAIN, "seg"); None if no part."""
    words = [word.lower() for word in _WORD.findall(name)]
    said = [word for word in words if word in PART_WORDS]
    if len(said) != 1:
        return None
    return PART_WORDS[said[0]], " ".join(word for word in words if word not in PART_WORDS and word not in _FILLERS)


def _unwrapped(top: Folder, layout: Layout) -> Folder:
    """`top`, or the only folder in it that holds anything if the classes or parts are further down."""
    folder = top
    while len(folder.filled) == 1 and not folder.files and folder.filled[0].filled:
        child = folder.filled[0]
        others = [other for other in folder.folders if other is not child]
        if any(not _annotations(other) for other in others):  # a class that is empty, or cannot be read
            break
        if part_of(child.name) and not any(map(_part_with_classes, child.filled)):
            break
        layout.unread += others
        folder = child
    if folder is not top:
        inside = folder.path.relative_to(top.path)
        layout.notes.append(f"read from {end(inside)}/ in {cut(top.name, 30)}/, which holds no other {layout.item}s")
    return folder


def _annotations(folder: Folder) -> bool:
    """Whether a folder holds files, but none that could be a picture."""
    others = folder.others_below()
    return bool(others) and all(kind in _TEXTS for kind in others)


def _parts(folder: Folder, layout: Layout) -> list[tuple[int, Folder]]:
    """The folders that hold the class folders, each with its part: `folder` itself, or train/, val/, test/ in it."""
    named = _named(folder)
    inner = {child: _unwrapped_part(child) for child in named}
    holding = [child for child in named if _holds_classes(inner[child])]
    others = [child for child in folder.filled if child not in named]
    if not holding:
        if named and not others:
            first = min(named, key=_which)
            raise DataError(
                f"{shown(first.path)} holds no class folders: make one folder of {layout.item}s for each class in it",
                path=str(first.path),
            )
        return _classes_alone(folder, [child for child in named if child.count], layout)
    if len(named) == 1 and others and part_of(named[0].name) == (TRAIN, ""):
        return _train_beside_others(folder, inner[named[0]], others, layout)
    found: dict[int, Folder] = {}
    for child in holding:
        which = _which(child)
        if which in found:
            raise DataError(
                f"{shown(folder.path)} has both {shown(found[which].name)}/ and {shown(child.name)}/: keep one",
                path=str(folder.path),
            )
        found[which] = child
    if TRAIN not in found:
        raise DataError(
            f"{shown(folder.path)} has {shown(holding[0].name)}/ but no train/ with class folders: add it, or rename "
            f"{shown(holding[0].name)}/ if it is a class",
            path=str(folder.path),
        )
    layout.unread += [child for child in folder.folders if child not in holding]
    _say_parts(found, inner, layout)
    return sorted(((which, inner[child]) for which, child in found.items()), key=lambda part: part[0])


def _named(folder: Folder) -> list[Folder]:
    """The folders whose names say a part; `seg_train` does beside `seg_test`, `bullet_train` alone does not."""
    said: dict[str, set[int]] = defaultdict(set)
    for child in folder.folders:
        if part := part_of(child.name):
            said[part[1]].add(part[0])
    return [
        child
        for child in folder.folders
        if (part := part_of(child.name)) and (not part[1] or len(said[part[1]]) > 1 or folder.filled == [child])
    ]


def _which(folder: Folder) -> int:
    part = part_of(folder.name)
    assert part is not None
    return part[0]


def _unwrapped_part(folder: Folder) -> Folder:
    """Go down where a part holds only a folder of its own name or a general one (seg_train/seg_train, train/images)."""
    while len(folder.filled) == 1 and not folder.files:
        child = folder.filled[0]
        general = {word.lower() for word in _WORD.findall(child.name)} <= _FILLERS
        if not general and child.name.lower() != folder.name.lower() and part_of(child.name) != part_of(folder.name):
            break
        folder = child
    return folder


def _holds_classes(folder: Folder) -> bool:
    """Whether there are folders with files that are read in it, and hardly one beside them."""
    return bool(folder.filled) and 10 * len(folder.files) <= folder.count


def _part_with_classes(folder: Folder) -> bool:
    return part_of(folder.name) is not None and _holds_classes(folder)


def _classes_alone(folder: Folder, named: list[Folder], layout: Layout) -> list[tuple[int, Folder]]:
    if named:
        names = listed([f"{child.name}/" for child in named])
        layout.notes.append(f"{names} among the classes holds no class folders: taken as a class, not as a part")
    return [(TRAIN, folder)]


def _train_beside_others(
    folder: Folder, train: Folder, others: list[Folder], layout: Layout
) -> list[tuple[int, Folder]]:
    """`train/` beside other folders with files that are read: a class if it holds one folder, else it is not clear."""
    if len(train.filled) > 1:
        raise DataError(
            f"is {shown(train.name)}/ the training part or a class? {shown(others[0].name)}/ lies beside it: "
            f"rename one of them, or give --data {shown(train.path)}",
            path=str(folder.path),
        )
    layout.notes.append(f"{cut(train.name, 30)}/ lies beside other classes: taken as a class, not as a part")
    return [(TRAIN, folder)]


def _say_parts(found: dict[int, Folder], inner: dict[Folder, Folder], layout: Layout) -> None:
    plain = {"train", "val", "valid", "validation", "test"}
    if any(child.name.lower() not in plain for child in found.values()):
        said = zip(("train", "validation", "test"), map(found.get, (TRAIN, VALIDATION, TEST)), strict=True)
        layout.notes.append(
            "parts by name: " + ", ".join(f"{cut(child.name, 30)}/ is {part}" for part, child in said if child)
        )
    for child in found.values():
        if inner[child] is not child:
            inside = Path(child.name, inner[child].path.relative_to(child.path))
            layout.notes.append(f"the classes of {cut(child.name, 30)}/ are read from {end(inside)}/")
    if VALIDATION in found and TEST not in found:
        layout.notes.append(
            f"{shown(found[VALIDATION].name)}/ is the validation part, the test part comes out of train/"
        )


def _check_classes_differ(part: Folder, item: str) -> None:
    """Raise DataError if the folders in `part` all hold the same folders: then those may be the classes."""
    classes = part.filled
    if len(classes) < 2 or not all(_holds_classes(child) and len(child.filled) > 1 for child in classes):
        return
    names = [{grandchild.name for grandchild in child.filled} for child in classes]
    common, every = set.intersection(*names), set.union(*names)
    if len(common) < 2 or 2 * len(common) < len(every):
        return
    same = f"{listed([f'{child.name}/' for child in classes], 2)} in {shown(part.path)} hold the same folders"
    if all(part_of(name) for name in common):
        one = sorted(common)[0]
        mend = f"put the parts outside, as in {shown(one)}/{shown(classes[0].name)}/"
    else:
        mend = f"if those are the classes, give one (--data), or rename them train/ and test/; else move the {item}s up"
    raise DataError(f"{same} ({listed(sorted(common), 3)}): {mend}", path=str(part.path))


def _no_classes(folder: Folder, item: str) -> DataError:
    count = len(folder.files)
    what = f"holds {counted(count, item)} but no class folders" if count else "is empty: no class folders"
    return DataError(
        f"{shown(folder.path)} {what}, at least 2 are needed; make one folder of {item}s for each class, or train/ and "
        "test/ with such folders",
        path=str(folder.path),
        limit=2,
    )
