# SPDX-License-Identifier: Apache-2.0
"""stm32flash, a program of its own (GPL-2): through the serial bootloader in the ROM of ST's chips (AN3155)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_tools.bootloader.way import Command, Image, Plan, find, hint, number
from firmware_tools.errors import FlashUsageError

_BAUD = "115200"  # the highest that AN2606 promises for every chip


@dataclass(frozen=True)
class Stm32Flash:
    """Facts: `hint`, how the chip is brought into its bootloader and where that listens."""

    name: str = "stm32flash"
    place: Literal["port"] = "port"
    install: str = "apt-get install stm32flash"

    def program(self) -> tuple[str, ...] | None:
        """On the PATH."""
        return find("stm32flash")

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """Erase what the image covers, write, compare, start.

        The bootloader listens on pins of its own: the firmware speaks elsewhere. Raises FlashUsageError for no port.
        """
        if at is None:
            message = "stm32flash needs the port that the chip's bootloader is wired to: --device serial:///dev/ttyUSB0"
            raise FlashUsageError(message)
        address = f"{number(facts, self.name, 'address'):#x}"
        options = ("-b", _BAUD, "-f", "-v", "-w", str(image.path), "-S", address, "-g", address, at)
        command = Command((*(self.program() or (self.name,)), *options))
        return Plan((command,), hint(facts, self.name), firmware_port=False)
