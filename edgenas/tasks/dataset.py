# SPDX-License-Identifier: Apache-2.0
"""A labelled data set in three parts, whatever its examples are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgenas.tasks.raw import Bytes, Ints


@dataclass(frozen=True)
class InputSpec:
    """What the arrays of a data set are.

    `axes` names those of one example (H, W, C). Each value is a byte (`DTYPE`) and stands for byte / 255 at the
    network's input, which is in `RANGE`. `source_side` is the median shorter side that examples have in their source,
    None if it is not known; `largest_side` is the largest --size that may be asked for, None if the shape is fixed.
    """

    axes: tuple[str, str, str]
    source_side: int | None = None
    largest_side: int | None = None


DTYPE = "uint8"
RANGE = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: `x` (N, H, W, C) uint8, `y` (N,) int64 class indices."""

    x: Bytes
    y: Ints

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set in three disjoint parts.

    `labels[i]` is the name of class `i`. `fingerprint` is 16 hex digits over values, labels and splits: it does not
    depend on where the data lie. `notes` are sentences for the user: how many examples the classes have, what was
    decided about parts, scale and values, what was split, resized, skipped or ignored, and which examples stand there
    twice. `task` is the name in `edgenas.tasks.TASKS`. `preprocessing` is how an example became its array, as the
    manifest says it; empty in what `load_arrays` reads.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]
    task: str
    spec: InputSpec
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one example."""
        height, width, channels = self.train.x.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.labels)
