# SPDX-License-Identifier: Apache-2.0
"""pyOCD, a program of its own: through a debug probe, on the board or wired to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_tools.bootloader.way import Command, Image, Plan, fact, find, hint, number, word


@dataclass(frozen=True)
class PyOcd:
    """Facts: `target`, pyOCD's name of the chip; `pack`, true if pyOCD has to fetch what it knows of it; `hint`."""

    name: str = "pyocd"
    place: Literal["probe"] = "probe"
    install: str = "pip install pyocd"

    def program(self) -> tuple[str, ...] | None:
        """On the PATH, or a module of this Python."""
        return find("pyocd", module="pyocd")

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """Fetch the chip's pack if it needs one (pyOCD keeps it), erase what the image covers, write, start.

        Left alone, pyOCD erases the whole chip where that is faster, and the models with it.
        """
        program = self.program() or (self.name,)
        target, address = word(facts, self.name, "target"), number(facts, self.name, "address")
        load = ("load", "--no-wait", "--target", target, "--erase", "sector", "--format", "bin")
        steps = [Command((*program, *load, "--base-address", f"{address:#x}", str(image.path)))]
        if "pack" in facts and fact(facts, self.name, "pack", bool):
            steps.insert(0, Command((*program, "pack", "install", target)))
        return Plan(tuple(steps), hint(facts, self.name))
