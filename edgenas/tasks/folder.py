"""A folder of class folders, in one level or under train/, val/ and test/."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.decode import read_images, readable_suffixes
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, Raw, counted, listed, shown
from edgenas.tasks.splits import check_classes

_PARTS = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST}
_LAYOUT = "make one folder of images for each class, or train/ and test/ with such folders"


def read_folder(root: Path, size: int | None, progress: Callable[[int, int], None] | None) -> Raw:
    """The images under `root` as `load` describes them; raises DataError as `load` does."""
    name = root.resolve().name or str(root)
    try:
        found = _find(root)
    except OSError as error:
        raise DataError(
            f"{shown(error.filename or root)} cannot be listed ({error.strerror}): mend its permissions", path=str(root)
        ) from error
    if not found.files:
        raise DataError(
            f"{shown(root)} holds {len(found.labels)} class folders but no images: add images that Pillow opens "
            "(.jpg, .png, ...)",
            path=str(root),
            ignored=found.ignored,
        )
    labels = tuple(sorted(found.labels))
    for label in labels:
        if any("\udc80" <= letter <= "\udcff" for letter in label):  # how Python shows bytes that are no UTF-8
            raise DataError(f"class folder '{shown(label)}' has a name that is not UTF-8: rename it", label=label)
    index = {label: number for number, label in enumerate(labels)}
    y = np.array([index[label] for label in found.label], np.int64)
    part = np.array(found.part, np.int64)
    check_classes(str(root), y, part, labels)  # before the long work; load() checks again what could be read
    x, kept, notes, side = read_images(root, found.files, size, progress)
    return Raw(name, x, y[kept], part[kept], labels, (*found.all_notes(), *notes), side)


@dataclass
class _Found:
    """Image files in a fixed order with the class and part of each; `labels` has empty class folders too."""

    files: list[Path] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)

    def all_notes(self) -> list[str]:
        count = [f"{self.ignored} hidden, non-image or misplaced files ignored"] if self.ignored else []
        return self.notes + count


def _find(root: Path) -> _Found:
    suffixes = readable_suffixes()
    found = _Found()
    parts = _parts(root, suffixes, found.notes)
    found.ignored += len(_children(root)[1]) if parts[0][1] != root else 0
    for which, folder in parts:
        classes, files = _children(folder)
        if not classes:
            raise _no_classes(folder, files, suffixes)
        found.ignored += len(files)
        for class_folder in classes:
            found.labels.add(class_folder.name)
            images, ignored = _images_below(class_folder, suffixes)
            found.ignored += ignored
            found.files += images
            found.label += [class_folder.name] * len(images)
            found.part += [which] * len(images)
    return found


def _parts(root: Path, suffixes: frozenset[str], notes: list[str]) -> list[tuple[int, Path]]:
    """The folders that hold the class folders, each with its part: `root` itself, or train/, val/ and test/ in it."""
    folders, _ = _children(root)
    named = [folder for folder in folders if folder.name.lower() in _PARTS]
    others = [folder for folder in folders if folder.name.lower() not in _PARTS]
    # "train" may be the name of a class: a part has class folders in it and no images beside them.
    parts = [folder for folder in named if _holds_classes(folder, suffixes)]
    if not parts:
        if named and not others:
            raise DataError(
                f"{shown(named[0])} holds no class folders: make one folder of images for each class in it",
                path=str(named[0]),
            )
        return [(TRAIN, root)]
    if len(parts) == 1 and others and parts[0].name.lower() == "train" and len(named) == 1:
        return [(TRAIN, root)]
    found: dict[int, Path] = {}
    for folder in parts:
        which = _PARTS[folder.name.lower()]
        if which in found:
            raise DataError(
                f"{shown(root)} has both {shown(found[which].name)}/ and {shown(folder.name)}/: keep one",
                path=str(root),
            )
        found[which] = folder
    if TRAIN not in found:
        raise DataError(
            f"{shown(root)} has {shown(parts[0].name)}/ but no train/ with class folders: add it", path=str(root)
        )
    if ignored := sorted({folder.name for folder in folders} - {folder.name for folder in parts}):
        notes.append(f"folders without class folders or beside train/ ignored: {listed(ignored)}")
    if VALIDATION in found and TEST not in found:
        notes.append(f"{shown(found[VALIDATION].name)}/ is the validation part, the test part comes out of train/")
    return sorted(found.items())


def _no_classes(folder: Path, files: list[Path], suffixes: frozenset[str]) -> DataError:
    images = sum(file.suffix.lower() in suffixes for file in files)
    what = f"holds {counted(images, 'image')} but no class folders" if images else "is empty: no class folders"
    return DataError(
        f"{shown(folder)} {what}, at least 2 are needed; {_LAYOUT}", path=str(folder), images=images, limit=2
    )


def _holds_classes(folder: Path, suffixes: frozenset[str]) -> bool:
    classes, files = _children(folder)
    return bool(classes) and not any(file.suffix.lower() in suffixes and not _hidden(file.name) for file in files)


def _children(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders that are not hidden, and all files, in an order that no file system or locale changes."""
    entries = sorted(folder.iterdir(), key=lambda path: path.name)
    folders = [path for path in entries if path.is_dir() and not _hidden(path.name)]
    return folders, [path for path in entries if not path.is_dir()]


def _images_below(folder: Path, suffixes: frozenset[str]) -> tuple[list[Path], int]:
    """The image files at any depth (links to folders are not followed: they may loop) and how many files are not."""
    images: list[Path] = []
    ignored = 0
    for at, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        chosen = [name for name in sorted(files) if Path(name).suffix.lower() in suffixes and not _hidden(name)]
        ignored += len(files) - len(chosen)
        images += [Path(at, name) for name in chosen]
    return images, ignored


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _raise(error: OSError) -> None:
    raise error
