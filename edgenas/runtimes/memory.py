# SPDX-License-Identifier: Apache-2.0
"""What a model takes of a microcontroller."""

from __future__ import annotations

from dataclasses import dataclass

from edgenas.costs.limits import Limits


@dataclass(frozen=True)
class Memory:
    """What a model takes of a board: the arena, the engine's stack beside it, the plan."""

    arena_bytes: int
    stack_bytes: int
    plan_bytes: int

    @property
    def ram_bytes(self) -> int:
        """Arena and stack."""
        return self.arena_bytes + self.stack_bytes

    def fits(self, limits: Limits) -> bool:
        """Whether arena and plan are within `limits`."""
        ram, flash = limits.ram_bytes, limits.flash_bytes
        return (ram is None or self.arena_bytes <= ram) and (flash is None or self.plan_bytes <= flash)
