# SPDX-License-Identifier: Apache-2.0
"""Class names that people may misread: alike but for case, or numbers that are sorted as text."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from edgenas.tasks.raw import listed


def name_notes(labels: Sequence[str]) -> list[str]:
    """Sentences about the names of the classes, which are in the order of the outputs."""
    notes = [
        f"class names differ in case or accents' encoding only: {listed(same)}: rename one if they are one class"
        for same in alike_names(labels)
    ]
    if all(label.isdecimal() for label in labels) and sorted(labels, key=int) != list(labels):
        notes.append(f"class names are sorted as text, not as numbers: {listed(labels, 4)}")
    return notes


def alike_names(labels: Sequence[str]) -> list[list[str]]:
    """Groups of labels that people take for the same word."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[unicodedata.normalize("NFC", label).casefold().strip()].append(label)
    return [group for group in groups.values() if len(group) > 1]
