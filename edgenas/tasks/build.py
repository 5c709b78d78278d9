# SPDX-License-Identifier: Apache-2.0
"""From what a reader found to a `Dataset`: checked, split, fingerprinted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from edgenas.tasks.copies import alike, copy_notes
from edgenas.tasks.dataset import Dataset, InputSpec, Split
from edgenas.tasks.groups import Groups, assign_groups
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, Raw
from edgenas.tasks.splits import assign, check_classes, class_notes


def build(
    raw: Raw,
    *,
    task: str,
    seed: int,
    spec: InputSpec,
    preprocessing: Mapping[str, Any],
    alike_in: str,
    groups: Groups | None = None,
) -> Dataset:
    """Split `raw` by `seed`, by whole groups if there are any.

    alike_in: how copies are alike, as in "pixel for pixel". Raises DataError for classes or groups that cannot be
    split.
    """
    check_classes(raw.name, raw.y, raw.part, raw.labels, item=raw.item)
    copy_of = alike(raw.x)
    if groups is None:
        part, split_notes = assign(raw.y, raw.part, raw.labels, seed, copy_of, item=raw.item)
    else:
        part, split_notes = assign_groups(raw, groups, seed)
    notes = (
        *raw.notes,
        *class_notes(raw.y, raw.labels, item=raw.item),
        *split_notes,
        *copy_notes(raw, copy_of, part, alike_in),
    )
    train, validation, test = (Split(raw.x[part == which], raw.y[part == which]) for which in (TRAIN, VALIDATION, TEST))
    digest = _fingerprint(raw.labels, (train, validation, test))
    return Dataset(raw.name, train, validation, test, raw.labels, digest, notes, task, spec, preprocessing)


def _fingerprint(labels: tuple[str, ...], splits: tuple[Split, ...]) -> str:
    digest = hashlib.sha256(json.dumps(labels).encode())
    for split in splits:
        digest.update(repr(split.x.shape).encode())
        digest.update(split.x.data)
        digest.update(split.y.astype("<i8").tobytes())  # the same bytes on every machine
    return digest.hexdigest()[:16]
