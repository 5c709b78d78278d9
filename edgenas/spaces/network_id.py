# SPDX-License-Identifier: Apache-2.0
"""What identifies a network independently of its weights."""

from __future__ import annotations

from dataclasses import dataclass

from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.catalogue import recall


@dataclass(frozen=True, order=True)
class NetworkId:
    """An architecture of a space, bound to an input (C, H, W) and a number of classes.

    architecture: as `str(Architecture)`. space: the space's name.
    """

    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    space: str

    def blocks(self) -> tuple[Block, ...] | None:
        """The network's blocks; None if its space is unknown or has changed since. Raises UsageError for other text."""
        space, architecture = recall(self.space, self.input_shape, self.classes), Architecture.parse(self.architecture)
        if space is None or len(space.stages) != len(architecture.stages):
            return None
        return space.blocks(architecture)
