"""OpenOCD, a program of its own (GPL-2): through a debug probe, on the board or wired to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_tools.bootloader.way import Command, Image, Plan, fact, find, hint

_TCL_SPECIAL = re.compile(r'[\\"$\[\]{};#\s]')


@dataclass(frozen=True)
class OpenOcd:
    """Facts: `configs`, the configuration files of OpenOCD's own collection; `hint`."""

    name: str = "openocd"
    place: Literal["probe"] = "probe"
    install: str = "apt-get install openocd"

    def program(self) -> tuple[str, ...] | None:
        """On the PATH."""
        return find("openocd")

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """Erase what the image covers, write, compare, start."""
        configs = fact(facts, self.name, "configs", list)
        file = f"{_word(str(image.path))} {fact(facts, self.name, 'address', int):#x} bin"
        commands = ["init", "reset init", f"flash write_image erase {file}", f"verify_image {file}", "reset run"]
        arguments = [*_each("-f", configs), *_each("-c", [*commands, "shutdown"])]
        return Plan((Command((*(self.program() or (self.name,)), *arguments)),), hint(facts, self.name))


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _word(text: str) -> str:
    """`text` as one word of Tcl, the language of OpenOCD's commands."""
    return _TCL_SPECIAL.sub(lambda found: "\\" + found[0], text)
