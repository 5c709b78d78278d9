# SPDX-License-Identifier: Apache-2.0
"""A board's hard limits of RAM and flash, and how much of them a network uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenas.costs import engine_plan, estimate
from edgenas.spaces.architecture import Block


@dataclass(frozen=True)
class Limits:
    """The board's hard limits in bytes; None is no limit.

    planned: whether they limit the arena and the plan of a microcontroller, else activations and the .tflite file.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    planned: bool = False

    def block_ram_bytes(self, block: Block, precision: str) -> int:
        """Bytes of `ram_bytes` that a block uses while it runs."""
        return engine_plan.block_arena_bytes(block) if self.planned else estimate.block_ram_bytes(block, precision)

    def block_flash_bytes(self, block: Block, precision: str) -> int:
        """Bytes of `flash_bytes` that a block adds."""
        return engine_plan.block_flash_bytes(block) if self.planned else estimate.block_flash_bytes(block, precision)

    def network_flash_bytes(self, blocks: Sequence[Block], precision: str) -> int:
        """Bytes of `flash_bytes` that a whole network uses."""
        return engine_plan.flash_bytes(blocks) if self.planned else estimate.flash_bytes(blocks, precision)
