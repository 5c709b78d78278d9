# SPDX-License-Identifier: Apache-2.0
"""The images that edgenas ships: firmware and runner of the emulated boards, firmware of real ones.

`make firmware` in a checkout builds them anew (firmware_tools/firmware/make_images.py); nothing here compiles.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu.emulator import Machine
from firmware_tools.reading import UnreadableError, read_bytes, read_json

FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
FOLDER = FIRMWARE / "images"
_MANIFEST = "manifest.json"
_MEND = "reinstall edgenas, or run `make firmware` in its checkout"
_SCHEMA = 1
MAX_IMAGE_BYTES = 64 << 20  # more than the flash memory of any microcontroller

Program = Literal["firmware", "runner"]


def image(machine: Machine) -> Path:
    """The runner for `machine`, to be loaded where its code memory begins.

    Raises EmulatorError if this installation holds no intact one.
    """
    return _needed(machine.name, "runner")


def firmware(machine: Machine) -> Path:
    """The firmware for `machine`, likewise."""
    return _needed(machine.name, "firmware")


def firmware_of(board: str) -> Path | None:
    """The firmware for the board of this name, emulated or real; None if edgenas has none. Raises EmulatorError."""
    return _intact(FOLDER, board, "firmware")


def _needed(machine: str, program: Program) -> Path:
    path = _intact(FOLDER, machine, program)
    if path is None:
        raise EmulatorError(f"{FOLDER / _MANIFEST} names no {program} for {machine}: {_MEND}", machine=machine)
    return path


@cache  # an image is read, to be checked, once in a process
def _intact(folder: Path, machine: str, program: Program) -> Path | None:
    """The file of an image, its bytes checked against the manifest; None if the manifest names none."""
    manifest = folder / _MANIFEST
    try:
        table = read_json(manifest)
        if table["schema"] != _SCHEMA:
            raise ValueError(f"schema {table['schema']}, not {_SCHEMA}")
        found = [entry for entry in table["images"] if (entry["machine"], entry["program"]) == (machine, program)]
        if not found:
            return None
        path, sha256 = folder / str(found[0]["file"]), found[0]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmulatorError(f"{manifest} is missing or damaged ({error}): {_MEND}", file=str(manifest)) from error
    try:
        data = read_bytes(path, MAX_IMAGE_BYTES)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmulatorError(f"{path} cannot be read ({reason}): {_MEND}", file=str(path)) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EmulatorError(f"{path} is damaged, its sha256 is not the manifest's: {_MEND}", file=str(path))
    return path
