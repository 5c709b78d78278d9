# SPDX-License-Identifier: Apache-2.0
"""A folder of class folders, in one level or under train/, val/ and test/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.class_folders import ClassFiles, check_names, collected
from edgenas.tasks.images.decode import read_images, readable_suffixes
from edgenas.tasks.images.kinds import kinds, way_out
from edgenas.tasks.images.source import RawImages
from edgenas.tasks.layout import Layout, decide
from edgenas.tasks.names import name_notes
from edgenas.tasks.raw import counted, cut, listed, shown
from edgenas.tasks.splits import check_classes
from edgenas.tasks.tree import Folder, read_tree


def read_folder(root: Path, size: int | None, progress: Callable[[int, int], None] | None) -> RawImages:
    """The images under `root` as `load` describes them; raises DataError as `load` does."""
    name = root.resolve().name or str(root)
    try:
        tree, links = read_tree(root, readable_suffixes())
    except OSError as error:
        raise DataError(
            f"{shown(error.filename or root)} cannot be listed ({error.strerror}): mend its permissions", path=str(root)
        ) from error
    layout = decide(tree, "image")
    found = collected(layout)
    labels = tuple(sorted(found.others))
    check_names(labels, found)
    if not found.files:
        raise DataError(
            f"{shown(root)} holds {len(labels)} class folders but no images{_unread(found.all_others())}: add images "
            "that Pillow opens (.jpg, .png, ...)",
            path=str(root),
        )
    index = {label: number for number, label in enumerate(labels)}
    y = np.array([index[label] for label in found.label], np.int64)
    part = np.array(found.part, np.int64)
    _check_classes(str(root), y, part, labels, found)  # before the long work; load() checks again what could be read
    x, kept, notes, source = read_images(root, found.files, size, progress)
    files = [str(file.relative_to(root)) for file, is_kept in zip(found.files, kept, strict=True) if is_kept]
    before = [*layout.notes, *links.notes(root), *name_notes(labels), *_unread_notes(tree, layout)]
    return RawImages(name, x, y[kept], part[kept], labels, (*before, *notes), files, source=source)


def _check_classes(name: str, y: np.ndarray, part: np.ndarray, labels: tuple[str, ...], found: ClassFiles) -> None:
    """`check_classes`, and what there is of the class that cannot be read."""
    try:
        check_classes(name, y, part, labels, item="image")
    except DataError as error:
        more = _unread(found.others.get(str(error.fields.get("label")), Counter()))
        if not more:
            raise
        raise DataError(f"{error.message}{more}", **error.fields) from error


def _unread(others: Counter[str]) -> str:
    """What a message adds about files that may be pictures: `; not read: 10 .heic (convert them to .jpg or .png)`."""
    text = kinds(others, pictures=True)
    return f"; not read: {text} ({way_out(others)})" if text else ""


def _unread_notes(tree: Folder, layout: Layout) -> list[str]:
    """Files of other kinds, images that lie outside the class folders, and folders that are neither part nor class."""
    notes = []
    unread = set(layout.unread)
    outside = {inner for folder in unread for inner in folder.below()}
    read = [folder for folder in tree.below() if folder not in outside]
    others: Counter[str] = sum((folder.others for folder in read), Counter())
    if text := kinds(others, pictures=True):
        notes.append(f"files that cannot be read as images left out: {text}: {way_out(others)}")
    if text := kinds(others, pictures=False):
        notes.append(f"files ignored: {text}")
    classes = [child for _, part in layout.parts for child in part.folders]
    misplaced = tree.count - sum(folder.count for folder in [*unread, *classes])
    if misplaced:
        notes.append(f"{counted(misplaced, 'image')} beside the class folders ignored")
    if unread:
        names = [f"{cut(folder.name, 16)}/ ({counted(folder.count, 'image')})" for folder in layout.unread]
        notes.append(f"folders that are no part with class folders ignored: {listed(names, 4)}")
    return notes
