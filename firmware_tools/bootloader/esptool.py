# SPDX-License-Identifier: Apache-2.0
"""esptool, a program of its own (GPL-2): through the serial bootloader in the ROM of Espressif's chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_tools.bootloader.way import Command, Image, Plan, find, hint, number, word


@dataclass(frozen=True)
class Esptool:
    """Facts: `chip`, esptool's name of it; `hint`. The board's `address` is an offset into its flash."""

    name: str = "esptool"
    place: Literal["port"] = "port"
    install: str = "pip install esptool"

    def program(self) -> tuple[str, ...] | None:
        """On the PATH, under its new or its old name, or a module of this Python."""
        return find("esptool", "esptool.py", module="esptool")

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """Write, compare, reset; without a port esptool looks for the board itself."""
        port = () if at is None else ("--port", at)
        address = f"{number(facts, self.name, 'address'):#x}"
        # esptool 5 calls it write-flash and takes the old name, too; esptool 4 knows no other.
        options = ("--chip", word(facts, self.name, "chip"), *port, "write_flash", address, str(image.path))
        return Plan((Command((*(self.program() or (self.name,)), *options)),), hint(facts, self.name))
