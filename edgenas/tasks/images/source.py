# SPDX-License-Identifier: Apache-2.0
"""Images as a source holds them, and what is known of their sizes there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgenas.tasks.raw import Bytes, Raw

Pixels = Bytes


@dataclass(frozen=True)
class Source:
    """Where images come from: `kind` is "files", "npz" or "built-in", `sides` the (H, W) that they have there."""

    kind: str = "unknown"
    sides: frozenset[tuple[int, int]] = frozenset()

    @property
    def side(self) -> int | None:
        """The median of the shorter sides, each counted once, in pixels; None if nothing is known."""
        return int(np.median([min(side) for side in self.sides])) if self.sides else None


UNKNOWN = Source()


@dataclass(frozen=True, eq=False)
class RawImages(Raw):
    """`x` (N, H, W, C) are pixels; `source` says what they were before they were resized."""

    item: str = "image"
    source: Source = UNKNOWN
