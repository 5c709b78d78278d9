# SPDX-License-Identifier: Apache-2.0
"""Types, lengths and ranges of values that a stranger may have written: one check for each kind of value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from math import isfinite
from typing import Any

from edgenas.errors import UsageError

MAX_TEXT = 200  # of a name, a version or a session
_MAX_VALUE = 1e15  # of a number in conditions: a time in nanoseconds is the largest that there is
_MAX_KEY, _MAX_LINES = 1000, 8192  # of a tree: an entry's name, a text that a board's tools have printed


def check_text(value: Any, what: str, most: int = MAX_TEXT, *, empty: bool = False) -> str:
    """`value` if it is a text of at most `most` characters that can be printed; `empty`: it may be empty.

    Raises UsageError that begins with `what` otherwise.
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is {value!r:.60}, not text")
    if len(value) > most:
        raise UsageError(f"{what} has {len(value)} characters, at most {most} are taken")
    if not (value or empty) or not value.isprintable():
        raise UsageError(f"{what} is {value!a:.80}, not a text that can be printed")
    return value


def printable(text: str, most: int = MAX_TEXT) -> str:
    """As much of a text as can be printed, for messages and names: other characters become "?"."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def check_tree(value: Any, what: str, most: int, depth: int) -> int:
    """How many of `most` values are left after those of a JSON value, at all depths.

    Raises UsageError that begins with `what` for more values, deeper nesting, long texts or numbers that are too large.
    """
    if most <= 0 or depth < 0:
        raise UsageError(f"{what}: too many values, or nested too deeply")
    most -= 1
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_text(key, f"{what}: the name of an entry", _MAX_KEY, empty=True)
            most = check_tree(item, what, most, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            most = check_tree(item, what, most, depth - 1)
    elif isinstance(value, str):
        if len(value) > _MAX_LINES:
            raise UsageError(f"{what}: a text of {len(value)} characters, at most {_MAX_LINES} are taken")
    elif not (value is None or isinstance(value, bool) or (is_number(value) and abs(value) <= _MAX_VALUE)):
        raise UsageError(f"{what}: {value!r:.60} is no number that a device reports")
    return most


def check_date(text: Any, what: str) -> str:
    """`text`, an ISO 8601 time that is not to come: the newest measurements count most.

    Raises UsageError that begins with `what` for others.
    """
    try:
        date = datetime.fromisoformat(check_text(text, what).replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"{what} is {text!r:.60}, not a time as 2026-01-31T12:00:00Z") from None
    if date.utcoffset() != timedelta(0):
        raise UsageError(f"{what} is {text!r:.60}, not in UTC")
    if date > datetime.now(timezone.utc) + timedelta(days=1):
        raise UsageError(f"{what} is {text:.60}, which is to come: check the clocks of both computers")
    return str(text)


def is_number(value: Any) -> bool:
    """Whether it is a finite number, of a size that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) if isinstance(value, float) else -(1 << 63) <= value < 1 << 63


def is_whole(value: Any, least: int = 1, most: int = (1 << 31) - 1) -> bool:
    """Whether it is a whole number in that range."""
    return type(value) is int and least <= value <= most
