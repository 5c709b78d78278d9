# SPDX-License-Identifier: Apache-2.0
"""What a way to flash is: it looks at a board's facts and says which steps are to be done; `run` does them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from firmware_tools import children
from firmware_tools.errors import FlashUsageError
from firmware_tools.reading import UnreadableError, read_bytes

T = TypeVar("T")
_MAX_IMAGE_BYTES = 64 << 20  # more than the flash memory of any microcontroller

# What the firmware is not: files that hold addresses of their own, whose bytes would be flashed as they are.
_CONTAINERS = {b"\x7fELF": "an ELF file", b"UF2\n": "a UF2 file", b":": "an Intel HEX file", b"S0": "an S-record file"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Image:
    """A raw binary: what flash memory holds, from the board's flash address on."""

    path: Path
    data: bytes

    @staticmethod
    def read(path: Path) -> Image:
        """Read a file. Raises FlashUsageError if it cannot be read, is empty or is no raw binary."""
        try:
            data = read_bytes(path, _MAX_IMAGE_BYTES)
        except (OSError, UnreadableError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FlashUsageError(f"{path} cannot be read: {reason}", path=str(path)) from error
        kind = "empty" if not data else next((k for magic, k in _CONTAINERS.items() if data.startswith(magic)), None)
        if kind is not None:
            message = f"{path} is {kind}: give a raw binary, as objcopy -O binary writes it"
            raise FlashUsageError(message, path=str(path))
        return Image(path.absolute(), data)


@dataclass(frozen=True)
class Command:
    """A program to run."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class FileWrite:
    """A file to write onto the drive that a bootloader shows; `folder` is None while no drive `label` is mounted."""

    label: str
    folder: Path | None
    name: str
    data: bytes


@dataclass(frozen=True)
class Plan:
    """What to do, in order. `before` is what a person has to do first.

    `firmware_port`: whether the port that was flashed through is the one that the firmware speaks on afterwards.
    """

    steps: tuple[Command | FileWrite, ...]
    before: str | None = None
    firmware_port: bool = True


class Way(Protocol):
    """A way to flash. `place` is where it reaches the board, `install` what gets its program (None: it needs none)."""

    @property
    def name(self) -> str:
        """As in --with and in the keys of a board's [flash]."""
        ...

    @property
    def place(self) -> Literal["probe", "port", "drive"]:
        """A debug probe that it finds by itself, a serial port, or a mounted drive."""
        ...

    @property
    def install(self) -> str | None:
        """A command for the user."""
        ...

    def program(self) -> tuple[str, ...] | None:
        """How its program is called on this computer; None if it is not installed."""
        ...

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """The steps. `facts` is the way's table in [flash], with the board's `address`; `at` the port or the drive.

        Touches nothing, and works where the program is missing. Raises ValueError naming the fact that is missing or
        of the wrong type, FlashUsageError if `at` is needed.
        """
        ...


def find(*names: str, module: str | None = None) -> tuple[str, ...] | None:
    """How to call the first of the programs `names` that is on the PATH, else `module` of this Python."""
    for name in names:
        if (path := children.which(name)) is not None:
            return (path,)
    if module is not None and find_spec(module) is not None:
        return children.installed_module(module)
    return None


def fact(facts: Mapping[str, Any], way: str, key: str, kind: type[T]) -> T:
    """`facts[key]`. Raises ValueError naming the key in the board's file if it is missing or of another type."""
    where = f"key 'flash.{key}'" if key == "address" else f"key 'flash.{way}.{key}'"
    if key not in facts:
        raise ValueError(f"{where} is missing")
    value = facts[key]
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{where} is {value!r}, not {'an' if kind is int else 'a'} {kind.__name__}")
    return value


def word(facts: Mapping[str, Any], way: str, key: str) -> str:
    """`fact` of a text that becomes a word of a command: a name, which no program takes for an option or a path.

    Raises ValueError for other text.
    """
    value = fact(facts, way, key, str)
    if _NAME.fullmatch(value) is None:
        raise ValueError(f"key 'flash.{way}.{key}' is {value!r}, not a name: letters, digits, '-', '_' and '.'")
    return value


def number(facts: Mapping[str, Any], way: str, key: str) -> int:
    """`fact` of a whole number of 32 bits. Raises ValueError for others; a negative one would look like an option."""
    value = fact(facts, way, key, int)
    if not 0 <= value < 1 << 32:
        where = f"flash.{key}" if key == "address" else f"flash.{way}.{key}"
        raise ValueError(f"key '{where}' is {value}, not a number from 0 to 0xffffffff")
    return value


def hint(facts: Mapping[str, Any], way: str) -> str | None:
    """What a person has to do first, if anything. Raises ValueError as `fact` does."""
    return fact(facts, way, "hint", str) if "hint" in facts else None
