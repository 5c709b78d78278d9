# SPDX-License-Identifier: Apache-2.0
"""A folder and everything below it, listed once: files that are read, others by kind, links followed once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgenas.tasks.raw import counted, end

_HIDDEN = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"})  # what systems leave behind
HIDDEN_KIND = "hidden"


@dataclass(eq=False)
class Folder:
    """A folder: files that are read and folders in the order of their names, other files by lower-case suffix."""

    path: Path
    files: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    folders: list[Folder] = field(default_factory=list)
    count: int = 0  # of the files that are read, in it and below

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def filled(self) -> list[Folder]:
        """Its folders that hold files that are read, at any depth."""
        return [folder for folder in self.folders if folder.count]

    def below(self) -> Iterator[Folder]:
        """Itself and every folder below it, in an order that no file system or locale changes."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += reversed(folder.folders)

    def others_below(self) -> Counter[str]:
        """Its other files and those of every folder below it, by kind."""
        return sum((folder.others for folder in self.below()), Counter())


@dataclass
class Links:
    """Links to folders: followed, leading out of the data, to folders that were read already; and links to nothing."""

    followed: int = 0
    outside: int = 0
    again: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)

    def notes(self, root: Path) -> list[str]:
        """Sentences for the user, paths below `root`."""
        notes = []
        if self.followed:
            out = f", {self.outside} of them out of the data folder" if self.outside else ""
            notes.append(f"{counted(self.followed, 'link')} to folders followed{out}")
        for paths, what in ((self.again, "to folders that are read anyway"), (self.broken, "to nothing")):
            if paths:
                first = end(paths[0].relative_to(root))
                notes.append(f"{counted(len(paths), 'link')} {what} ignored (first: {first})")
        return notes


def read_tree(root: Path, suffixes: frozenset[str]) -> tuple[Folder, Links]:
    """`root` as a tree whose `files` are those with these suffixes, and what came of the links in it.

    A folder that several ways lead to is read once: where it lies, else by the link whose path sorts first. Raises
    OSError for a folder that cannot be listed.
    """
    top, links = Folder(root), Links()
    seen = {_identity(root)}
    waiting, linked = [top], list[tuple[Path, Folder]]()
    while waiting or linked:
        if not waiting:  # every folder that is no link has been read: now the first link
            linked.sort(key=lambda link: str(link[0]), reverse=True)
            path, parent = linked.pop()
            if _identity(path) in seen:
                links.again.append(path)
                continue
            links.followed += 1
            links.outside += not path.resolve().is_relative_to(root.resolve())
            waiting.append(_add(parent, path, seen))
        folder = waiting.pop()
        with os.scandir(folder.path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            path = folder.path / entry.name
            if _hidden(entry.name):
                folder.others[HIDDEN_KIND] += not _is_folder(entry)
            elif not _is_folder(entry):
                _add_file(folder, path, entry, suffixes, links)
            elif entry.is_symlink() or _identity(path) in seen:  # a mount may show a folder twice, too
                linked.append((path, folder))
            else:
                waiting.append(_add(folder, path, seen))
    _finish(top)
    return top, links


def _add(parent: Folder, path: Path, seen: set[tuple[int, int]]) -> Folder:
    folder = Folder(path)
    parent.folders.append(folder)
    seen.add(_identity(path))
    return folder


def _add_file(folder: Folder, path: Path, entry: os.DirEntry[str], suffixes: frozenset[str], links: Links) -> None:
    suffix = path.suffix.lower()
    if suffix in suffixes:
        folder.files.append(path)  # one that cannot be read counts as damaged
    elif entry.is_symlink() and not path.exists():
        links.broken.append(path)
    else:
        folder.others[suffix] += 1


def _finish(top: Folder) -> None:
    """Sort the folders, which links have joined late, and count the files."""
    for folder in top.below():
        folder.folders.sort(key=lambda child: child.name)
    for folder in reversed(list(top.below())):
        folder.count = len(folder.files) + sum(child.count for child in folder.folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _HIDDEN
