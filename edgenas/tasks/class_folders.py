# SPDX-License-Identifier: Apache-2.0
"""The files of a folder of class folders, each with its class and part."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from edgenas.errors import DataError
from edgenas.tasks.layout import Layout
from edgenas.tasks.names import alike_names
from edgenas.tasks.raw import PART_NAMES, TRAIN, shown


@dataclass
class ClassFiles:
    """Files that are read, in a fixed order, with their class and part; other files of each class, empty ones too."""

    files: list[Path] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    others: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def all_others(self) -> Counter[str]:
        """Other files of all classes, by kind."""
        return sum(self.others.values(), Counter())

    def labels_of(self, part: int) -> set[str]:
        """The classes that have files in `part`."""
        return {label for label, which in zip(self.label, self.part, strict=True) if which == part}


def collected(layout: Layout) -> ClassFiles:
    """The files of every class folder of every part."""
    found = ClassFiles()
    for which, part in layout.parts:
        for class_folder in part.folders:
            files = [file for folder in class_folder.below() for file in folder.files]
            found.files += files
            found.label += [class_folder.name] * len(files)
            found.part += [which] * len(files)
            found.others[class_folder.name] += class_folder.others_below()
    return found


def check_names(labels: tuple[str, ...], found: ClassFiles) -> None:
    """Raise DataError for names that are no text, or that only case tells apart between parts."""
    for label in labels:
        if any("\udc80" <= letter <= "\udcff" for letter in label):  # how Python shows bytes that are no UTF-8
            raise DataError(f"class folder '{shown(label)}' has a name that is not UTF-8: rename it", label=label)
    train = found.labels_of(TRAIN)
    for same in alike_names(labels):
        elsewhere = [label for label in same if label not in train]
        if elsewhere and train.intersection(same):
            trained = min(train.intersection(same))
            part = PART_NAMES[found.part[found.label.index(elsewhere[0])]] if elsewhere[0] in found.label else "train"
            raise DataError(
                f"class folders '{shown(trained)}' in train and '{shown(elsewhere[0])}' in {part} differ in case or "
                "accents' encoding only: rename one",
                label=elsewhere[0],
            )
