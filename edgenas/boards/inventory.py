# SPDX-License-Identifier: Apache-2.0
"""The user's devices by name, `$EDGENAS_HOME/devices.toml`, written by hand:

[[device]]
name = "kitchen"
url = "ssh://pi@kitchen.local"
board = "rpi-4b"                # may be left out: --board then says it
tags = ["ground floor"]         # may be left out
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.boards.board import Board, is_board
from edgenas.errors import ProfileError, UsageError
from firmware_tools.connect import SCHEMES
from firmware_tools.meant import meant
from firmware_tools.passwords import holds_password
from firmware_tools.reading import UnreadableError, read_toml

_KEYS = ("name", "url", "board", "tags")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # no colon: what has one is a URL
_EXAMPLE = "local: or ssh://pi@raspberrypi.local"
_LIKE = f"a URL is like {_EXAMPLE}"
_MOST_NAMES = 6  # in a message, which is one line


@dataclass(frozen=True)
class Entry:
    """One device: its name, where it is, the board (a name or a path) if the file says which, and its tags."""

    name: str
    url: str
    board: str | None = None
    tags: tuple[str, ...] = ()

    def load_board(self) -> Board | None:
        """The board that the entry names. Raises ProfileError naming file and key if there is no such board."""
        try:
            return None if self.board is None else Board.load(self.board)
        except ProfileError:
            raise
        except UsageError as error:
            raise _damaged(f"device {self.name!r}: key 'board': {error.message}", "board") from error


def file() -> Path:
    """Where the inventory is, whether it exists or not."""
    return resources.home() / "devices.toml"


def entries() -> tuple[Entry, ...]:
    """The inventory in the file's order; nothing without a file.

    Raises ProfileError naming file and key if the file is damaged or has a key that is not known.
    """
    try:
        table = read_toml(file())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UsageError(f"{file()}: cannot be read: {error.strerror}", file=str(file())) from error
    except UnreadableError as error:
        raise _damaged(str(error)) from error
    for key in table:
        if key != "device":
            raise _damaged(f"key {key!r} is unknown: every device is a table [[device]]", key)
    rows = table.get("device", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _damaged("key 'device' is no list of tables: begin every device with [[device]]", "device")
    found = tuple(_entry(row, number) for number, row in enumerate(rows, 1))
    names = [entry.name for entry in found]
    for name in names:
        if names.count(name) > 1:
            raise _damaged(f"key 'name' is {name!r} for {names.count(name)} devices: give each its own", "name")
    return found


def find(name: str) -> Entry:
    """The device of that name. Raises UsageError listing near names and all known ones if there is none."""
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    if is_board(name):
        raise UsageError(
            f"device {name!r} is a board: say --board {name}; --device says where it is, {_LIKE}", value=name
        )
    near = difflib.get_close_matches(name, [*known, *(f"{scheme}:" for scheme in SCHEMES)], n=3)
    if not near and (url := meant(name)) is not None:
        raise UsageError(f"unknown device {name!r}: did you mean {url}? Names are those of {file()}", value=name)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    names = f"{file()} has {_few(sorted(known))}" if known else f"no device is named in {file()}"
    raise UsageError(f"unknown device {name!r}: {hint}{names}; {_LIKE}", value=name)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} others, see `edgenas devices`"


def resolve(board: str | None, device: str | None) -> tuple[Board, str]:
    """The board and the URL of its device that --board and --device mean together.

    `device` is a name of the inventory or a URL, None: where the board's file says. `board` None: the one that the
    inventory names for the device; for a URL on this computer, or without a device, `host`.
    Raises UsageError for an unknown name, for a board that is not the inventory's, or where the board must be said.
    """
    if device is not None and ":" not in device:
        return _named(find(device), board)
    if board is None and device is not None and not _is_here(device):
        # The URL is not repeated: somebody may have written a password into it.
        raise UsageError("--device names no board: say which one it is with --board, `edgenas boards` lists them")
    loaded = _board(board or "host")
    return loaded, loaded.url(device)


def _board(name: str) -> Board:
    try:
        return Board.load(name)
    except ProfileError:
        raise
    except UsageError as error:
        if name in {entry.name for entry in entries()}:
            raise UsageError(f"board {name!r} is a device of {file()}: say --device {name}", value=name) from error
        raise


def _is_here(url: str) -> bool:
    scheme = url.partition(":")[0]
    return scheme == "local" or scheme not in SCHEMES  # what an unknown scheme is, is said by who connects


def _named(entry: Entry, asked: str | None) -> tuple[Board, str]:
    known = entry.load_board()
    if asked is None:
        board = known or (Board.load("host") if _is_here(entry.url) else None)
        if board is None:
            raise UsageError(
                f"device {entry.name!r} has no board in {file()}: say --board NAME, or write it there",
                value=entry.name,
            )
        return board, board.url(entry.url)
    board = _board(asked)
    if known is not None and known.id != board.id:
        raise UsageError(
            f"device {entry.name!r} is board {known.id} in {file()}, --board says {board.id}: leave --board out, "
            "or correct the file",
            value=board.id,
            board=known.id,
        )
    return board, board.url(entry.url)


def _entry(row: Mapping[str, Any], number: int) -> Entry:
    name = row.get("name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise _damaged(
            f"device {number}: key 'name' is {name!r}, not letters, digits, '-', '_' and '.'"
            if "name" in row
            else f"device {number}: key 'name' is missing",
            "name",
        )
    for key in row:
        if key not in _KEYS:
            raise _damaged(f"device {name!r}: key {key!r} is unknown, known are {', '.join(_KEYS)}", key)
    url, board, tags = row.get("url"), row.get("board"), row.get("tags", [])
    if isinstance(url, str) and holds_password(url):
        raise _damaged(f"device {name!r}: key 'url' holds a password: leave it out, it is asked for", "url")
    if not isinstance(url, str) or ":" not in url:
        raise _damaged(f"device {name!r}: key 'url' is {url!r}, not a URL like {_EXAMPLE}", "url")
    if board is not None and not isinstance(board, str):
        raise _damaged(f"device {name!r}: key 'board' is {board!r}, not a name", "board")
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise _damaged(f"device {name!r}: key 'tags' is {tags!r}, not a list of names", "tags")
    return Entry(name, url, board, tuple(tags))


def _damaged(reason: str, key: str | None = None) -> ProfileError:
    return ProfileError(f"{file()}: {reason}", file=str(file()), key=key)
