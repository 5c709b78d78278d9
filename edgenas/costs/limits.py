"""A board's hard limits of RAM and flash, and what of them a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenas.costs import engine_plan, estimate
from edgenas.spaces.architecture import Block


@dataclass(frozen=True)
class Limits:
    """The board's hard limits in bytes; None is no limit.

    planned: they are of the arena and of the plan of a microcontroller, else of activations and of the .tflite.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    planned: bool = False

    def block_ram_bytes(self, block: Block, precision: str) -> int:
        """What of `ram_bytes` a block takes while it runs."""
        return engine_plan.block_arena_bytes(block) if self.planned else estimate.block_ram_bytes(block, precision)

    def block_flash_bytes(self, block: Block, precision: str) -> int:
        """What a block adds to what `flash_bytes` limits."""
        return engine_plan.block_flash_bytes(block) if self.planned else estimate.block_flash_bytes(block, precision)

    def network_flash_bytes(self, blocks: Sequence[Block], precision: str) -> int:
        """What a whole network takes of `flash_bytes`."""
        return engine_plan.flash_bytes(blocks) if self.planned else estimate.flash_bytes(blocks, precision)
