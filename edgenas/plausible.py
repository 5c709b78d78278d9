"""What a measurement, a key or a name that a stranger wrote may be: types, lengths and ranges.

The limits are far beyond what an honest computer writes. They keep a file from filling memory, from naming files that
cannot be, and from teaching a profile what cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from math import isfinite
from typing import Any

from edgenas.board import PRECISIONS, STATISTICS, ProfileKey
from edgenas.errors import UsageError

MAX_TEXT = 200  # of a name, a version or a session
MAX_SPACE_NAME = 64
_MAX_FILE_NAME = 240  # of a profile, its suffix aside; file systems take 255 bytes
_MAX_ARCHITECTURE = 4096
_MAX_VALUE = 1e15  # of a number in conditions: a time in nanoseconds is the largest that there is
_MAX_CONDITIONS, _MAX_CONDITION_KEY, _MAX_CONDITION_TEXT = 128, 64, 8192  # at all depths; what tools of boards print
_MAX_CONDITIONS_DEPTH = 4
_MAX_PIXELS = 1 << 28  # of an input
_MIN_LATENCY, _MAX_LATENCY = 1e-6, 3.6e6  # 1 ns and 1 h in ms; an instruction and more than anybody counts, in Minsn
_MIN_RATIO, _MAX_RATIO = 1e-3, 1e3  # of a reference's latency to its first one
_LATENCIES = ("latency_ms", "p10_ms", "p50_ms", "p95_ms")
_FIELDS = {
    *("architecture", "input_shape", "classes", "space", *_LATENCIES, "n", "ci95_ms", "peak_ram_bytes"),
    *("model_sha256", "trained", "session", "taken_utc", "conditions"),
}


def check_key(table: Mapping[str, Any], board: str) -> ProfileKey:
    """The key of `board` that a table describes. Raises UsageError for what is none, TypeError for other entries."""
    key = ProfileKey(**table)
    known = key.precision in PRECISIONS and key.statistic in STATISTICS
    if key.board != board or not known or not is_whole(key.threads):
        raise UsageError(f"key {dict(table)!r:.120} is no key of board {board}")
    if re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", board) is None:
        raise UsageError(f"board {board!r:.80} is not small letters, digits, '-', '_' and '.', at most 64")
    for name in ("runtime", "runtime_version", "setting"):
        check_text(getattr(key, name), name, empty=name == "setting")
    if len(key.slug) > _MAX_FILE_NAME:
        raise UsageError(f"key {str(key)!r:.80} is too long for the name of a file: {len(key.slug)} characters")
    return key


def check_measurement(table: Mapping[str, Any], what: str) -> None:
    """Raise UsageError, which begins with `what`, if the table of a measurement, without its key, holds what cannot be.

    Raises KeyError for an entry that is missing.
    """
    unknown = sorted(set(table) - _FIELDS)
    if unknown:
        raise UsageError(f"{what}: entry {unknown[0]!r:.60} is unknown: update edgenas")
    check_text(table["session"], f"{what}: session")
    check_text(table["space"], f"{what}: space", MAX_SPACE_NAME)
    check_text(table["architecture"], f"{what}: architecture", _MAX_ARCHITECTURE)
    sha256 = check_text(table["model_sha256"], f"{what}: model_sha256")
    if re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
        raise UsageError(f"{what}: model_sha256 is {sha256!r:.80}, not 64 hexadecimal digits")
    _check_latencies(table, what)
    _check_counts(table, what)
    if not isinstance(table["trained"], bool) or not isinstance(table["conditions"], dict):
        raise UsageError(f"{what}: trained or conditions is of the wrong type")
    _check_conditions(table["conditions"], what)
    check_date(table["taken_utc"], f"{what}: taken_utc")


def _check_latencies(table: Mapping[str, Any], what: str) -> None:
    for name in _LATENCIES:
        value = table[name]
        if not is_number(value) or not _MIN_LATENCY <= value <= _MAX_LATENCY:
            raise UsageError(f"{what}: {name} is {value!r:.60}, not a latency of 1 ns to 1 h")
    low, high = table["ci95_ms"]
    if not (is_number(low) and is_number(high) and 0 <= low <= high <= _MAX_LATENCY):
        raise UsageError(f"{what}: ci95_ms is {table['ci95_ms']!r:.80}, not an interval")


def _check_counts(table: Mapping[str, Any], what: str) -> None:
    shape = table["input_shape"]
    sizes = isinstance(shape, list | tuple) and len(shape) == 3 and all(map(is_whole, shape))
    if not sizes or shape[0] * shape[1] * shape[2] > _MAX_PIXELS:
        raise UsageError(f"{what}: input_shape is {shape!r:.60}, not that of an image")
    ram = table["peak_ram_bytes"]
    if not (is_whole(table["classes"]) and is_whole(table["n"]) and (ram is None or is_whole(ram, 0, 1 << 50))):
        raise UsageError(f"{what}: classes, n or peak_ram_bytes is no such number")


def _check_conditions(conditions: Mapping[str, Any], what: str) -> None:
    _checked(conditions, f"{what}: conditions", _MAX_CONDITIONS, _MAX_CONDITIONS_DEPTH)
    ratio = conditions.get("reference_ratio")
    if ratio is not None and not (is_number(ratio) and _MIN_RATIO <= ratio <= _MAX_RATIO):
        raise UsageError(f"{what}: reference_ratio is {ratio!r:.60}, not how much slower a reference was")
    host = conditions.get("hostname")
    if host is not None:
        check_text(host, f"{what}: hostname", empty=True)


def _checked(value: Any, what: str, left: int, depth: int) -> int:
    """How many of `left` values may follow after this one. Raises UsageError for too many, too deep ones or others."""
    if left <= 0 or depth < 0:
        raise UsageError(
            f"{what}: more than {_MAX_CONDITIONS} values, or nested more than {_MAX_CONDITIONS_DEPTH} deep"
        )
    left -= 1
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_text(key, f"{what}: the name of an entry", _MAX_CONDITION_KEY)
            left = _checked(item, what, left, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            left = _checked(item, what, left, depth - 1)
    elif isinstance(value, str):
        if len(value) > _MAX_CONDITION_TEXT:
            raise UsageError(f"{what}: a text of {len(value)} characters, at most {_MAX_CONDITION_TEXT} are taken")
    elif not (value is None or isinstance(value, bool) or (is_number(value) and abs(value) <= _MAX_VALUE)):
        raise UsageError(f"{what}: {value!r:.60} is no number that a device reports")
    return left


def check_text(value: Any, what: str, most: int = MAX_TEXT, *, empty: bool = False) -> str:
    """`value` if it is a text of at most `most` characters that can be printed; `empty`: it may be empty.

    Raises UsageError that begins with `what` otherwise.
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is {value!r:.60}, not text")
    if len(value) > most:
        raise UsageError(f"{what} has {len(value)} characters, at most {most} are taken")
    if not (value or empty) or not value.isprintable():
        raise UsageError(f"{what} is {ascii(value):.80}, not a text that can be printed")
    return value


def check_date(text: Any, what: str) -> str:
    """`text`, an ISO 8601 time that is not to come: the newest measurements count most. Raises UsageError for others."""
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
