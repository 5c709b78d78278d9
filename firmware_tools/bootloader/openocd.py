# SPDX-License-Identifier: Apache-2.0
"""OpenOCD, a program of its own (GPL-2): through a debug probe, on the board or wired to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from firmware_tools.bootloader.way import Command, Image, Plan, fact, find, hint, number

_CONFIG = re.compile(r"[a-z_]+/(?:[a-z0-9_-]+/){0,3}[A-Za-z0-9][A-Za-z0-9_.+-]*\.cfg")
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
        configs = _configs(facts, self.name)
        file = f"{_word(str(image.path))} {number(facts, self.name, 'address'):#x} bin"
        commands = ["init", "reset init", f"flash write_image erase {file}", f"verify_image {file}", "reset run"]
        arguments = [*_each("-f", configs), *_each("-c", [*commands, "shutdown"])]
        return Plan((Command((*(self.program() or (self.name,)), *arguments)),), hint(facts, self.name))


def _configs(facts: Mapping[str, Any], way: str) -> list[str]:
    """Names of OpenOCD's own collection. Such a file is a program: a board's file may not bring one along."""
    configs = fact(facts, way, "configs", list)
    for config in configs:
        if not isinstance(config, str) or _CONFIG.fullmatch(config) is None:
            raise ValueError(
                f"key 'flash.{way}.configs' has {config!r}, not a name like target/nrf52.cfg of OpenOCD's own files: "
                "put a file that you trust into ~/.config/openocd/board and write board/NAME.cfg"
            )
    return configs


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _word(text: str) -> str:
    """`text` as one word of Tcl, the language of OpenOCD's commands."""
    return _TCL_SPECIAL.sub(lambda found: "\\" + found[0], text)
