# SPDX-License-Identifier: Apache-2.0
"""Files and texts that somebody else may have written: bounded in size and depth before they are parsed."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any, NoReturn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20  # of a file written by hand; ours are below 10 kB
MAX_DEPTH = 32  # of nested arrays and objects; our own files have 8
# What opens, closes, ends a string or does not end it. Strings are stepped over by their ends: a pattern that matches
# one as a whole takes a hundred times its size of memory.
_JSON_TOKEN = re.compile(r'\\.|["\[{\]}]', re.DOTALL)
# Here a string counts as one token; one that nothing ends goes to the end, so that no text is looked at twice.
_TOML_TOKEN = re.compile(
    r"""'{3}.*?(?:'{3}|\Z)|"{3}(?:[^\\]|\\.)*?(?:"{3}|\Z)|'[^'\n]*'?|"(?:[^"\\\n]|\\.)*"?|\#[^\n]*|[\[{\]}.=,\n]""",
    re.DOTALL,
)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class UnreadableError(ValueError):
    """A text that is not parsed because it is too large, too deep or not in its format; the message says why."""


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A regular file, opened to be read.

    Never waits: a named pipe or a terminal in the file's place is refused, and so is a device, which may not end.
    Raises UnreadableError for these, OSError as `open` does.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise UnreadableError("no regular file")


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most `max_bytes`. Raises UnreadableError if it is none, OSError."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Room is made for as many bytes as are asked for; a file of the system's own says that it has none.
        data = file.read(min(max(size, MAX_BYTES), max_bytes) + 1) if size <= max_bytes else b""
    if size > max_bytes or len(data) > max_bytes:
        raise UnreadableError(f"larger than {max_bytes} bytes")
    return data


def read_text(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> str:
    """`read_bytes` as UTF-8."""
    return _text(read_bytes(path, max_bytes))


def parse_json(data: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text. Raises UnreadableError if it is none, holds NaN or Infinity, or nests too deeply."""
    text = data if isinstance(data, str) else _text(data)
    _check_json_depth(text, max_depth)
    try:
        return json.loads(text, parse_constant=_no_number)
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not valid JSON: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises UnreadableError if it is none or nests too deeply."""
    _check_toml_depth(text)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not valid TOML: {error}") from error


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The value in a JSON file: see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, max_bytes))


def read_toml(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The table in a TOML file: see `read_bytes` and `parse_toml`."""
    return parse_toml(read_text(path, max_bytes))


def _check_json_depth(text: str, max_depth: int) -> None:
    depth, in_string = 0, False
    for found in _JSON_TOKEN.finditer(text):
        if found[0] == '"':
            in_string = not in_string
        elif not in_string:
            depth = max(0, depth + _STEP.get(found[0], 0))
            if depth > max_depth:
                raise UnreadableError(f"nested more than {max_depth} deep")


def _check_toml_depth(text: str) -> None:
    """Raise UnreadableError if brackets nest too deeply, or the dots of a key, which make a table each."""
    depth = dots = 0
    for found in _TOML_TOKEN.finditer(text):
        depth = max(0, depth + _STEP.get(found[0], 0))
        dots = dots + 1 if found[0] == "." else dots if len(found[0]) > 1 else 0
        if max(depth, dots) > MAX_DEPTH:
            raise UnreadableError(f"nested more than {MAX_DEPTH} deep")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8: {error.reason} at byte {error.start}") from error


def _no_number(name: str) -> NoReturn:
    raise UnreadableError(f"{name} is no number")
