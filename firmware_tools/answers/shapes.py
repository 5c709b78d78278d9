# SPDX-License-Identifier: Apache-2.0
"""Shapes of JSON answers: what is not of the shape is refused by value, what is not known is ignored.

A check takes a value and returns what it stands for. It raises ShapeError for a value that no honest program sends.
Checks are put together: `record(Slot, slot=choice("a", "b"), bytes=integer(0, 100))` makes a Slot of a JSON object.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Check = Callable[[Any], T]

MAX_TEXT = 1000  # characters of a name or a sentence
MAX_LATENCY_NS = 3600e9
MAX_BYTES = 1 << 50  # of a disk, a memory or a file
_MAX_VALUES = 1 << 20  # in one answer: each takes Python some 60 bytes, however few the answer has for it
_MAX_DEPTH = 16  # of a document; a model's manifest has 4
_DIGEST = re.compile("[0-9a-f]{64}")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 30
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxlevel = 2


class ShapeError(ValueError):
    """A value that no answer can have; the message says where it stands, what it is and what it should be."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"{where.removeprefix('.') or 'it'} {what}")
        self.what, self.where = what, where

    def within(self, place: str) -> ShapeError:
        """The same, seen from outside."""
        return ShapeError(self.what, place + self.where)


def parse(line: bytes) -> dict[str, Any]:
    """The JSON object in `line`, NaN and Infinity as None. Raises ShapeError if it is none or has too many values."""
    if sum(map(line.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise ShapeError(f"has more than {_MAX_VALUES} values")
    try:
        value = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise ShapeError(f"is no JSON: {line[:40]!r}") from None
    return _object(value)


def integer(low: int, high: int) -> Check[int]:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _is_not(value, f"a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check[float]:
    """A finite number from `low` to `high`."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _is_not(value, f"a number from {low:g} to {high:g}")
        return value

    return check


def positive(high: float) -> Check[float]:
    """A number above 0, up to `high`."""
    within = number(0, high)

    def check(value: Any) -> float:
        if within(value) == 0:
            raise _is_not(value, "above 0")
        return within(value)

    return check


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _is_not(value, "true or false")
    return value


def text(most: int = MAX_TEXT, *, as_it_is: bool = False) -> Check[str]:
    """A text of at most `most` characters; halves of characters, which nothing can print or store, become "?".

    `as_it_is`: they stay, as in paths, where they stand for bytes that are no UTF-8.
    """

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _is_not(value, "a text")
        if len(value) > most:
            raise ShapeError(f"has {len(value)} characters, more than {most}")
        return value if as_it_is else _whole(value)

    return check


def digest(value: Any) -> str:
    """A sha256: 64 lower-case hexadecimal digits."""
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise _is_not(value, "a sha256")
    return value


def choice(*words: A) -> Check[A]:
    """One of `words`."""

    def check(value: Any) -> A:
        for word in words:
            if type(value) is type(word) and value == word:
                return word
        raise _is_not(value, f"one of {', '.join(map(str, words))}")

    return check


def maybe(check: Check[A]) -> Check[A | None]:
    """null, or what `check` takes."""
    return lambda value: None if value is None else check(value)


def rows(check: Check[A], *, most: int = 1000, exactly: int | None = None) -> Check[tuple[A, ...]]:
    """A list of at most `most` values, or of `exactly` so many."""

    def checked(value: Any) -> tuple[A, ...]:
        if not isinstance(value, list):
            raise _is_not(value, "a list")
        if exactly is not None and len(value) != exactly:
            raise ShapeError(f"has {len(value)} entries, not {exactly}")
        if len(value) > most and exactly is None:
            raise ShapeError(f"has {len(value)} entries, more than {most}")
        return tuple(_at(f"[{index}]", check, each) for index, each in enumerate(value))

    return checked


def pair(first: Check[A], second: Check[B]) -> Check[tuple[A, B]]:
    """A list of two."""

    def check(value: Any) -> tuple[A, B]:
        if not isinstance(value, list) or len(value) != 2:
            raise _is_not(value, "a list of two")
        return _at("[0]", first, value[0]), _at("[1]", second, value[1])

    return check


def table(check: Check[A], most: int = 100) -> Check[dict[str, A]]:
    """An object of at most `most` values of one kind, whatever their names."""
    name = text()

    def checked(value: Any) -> dict[str, A]:
        if len(found := _object(value)) > most:
            raise ShapeError(f"has {len(found)} entries, more than {most}")
        return {name(key): _at(f".{key[:20]}", check, each) for key, each in found.items()}

    return checked


def record(make: Callable[..., T], *, optional: Iterable[str] = (), **checks: Check[Any]) -> Check[T]:
    """`make` called with what an object has under the names of `checks`; other names are ignored.

    `optional` ones may be missing, and so may those for which `make`, a dataclass, has a default.
    """
    spare = {*optional, *_with_default(make)}

    def check(value: Any) -> T:
        found = _object(value)
        missing = [name for name in checks if name not in found and name not in spare]
        if missing:
            raise ShapeError("is missing", f".{missing[0]}")
        return make(**{name: _at(f".{name}", each, found[name]) for name, each in checks.items() if name in found})

    return check


def fitting(checks: Mapping[str, Check[Any]], value: Mapping[str, Any]) -> dict[str, Any]:
    """What of `value` is known and has its shape; the rest is left out."""
    kept = {}
    for name, check in checks.items():
        try:
            kept[name] = check(value[name])
        except (KeyError, ShapeError):
            continue
    return kept


def document(value: Any) -> dict[str, Any]:
    """An object that is kept as it is, whatever it holds: not too deep, and its texts can be printed and stored."""
    kept: dict[str, Any] = _tidied(_object(value), _MAX_DEPTH)
    return kept


def _tidied(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _whole(value)
    if not isinstance(value, list | dict):
        return None if isinstance(value, float) and not math.isfinite(value) else value  # 1e999
    if depth == 0:
        raise ShapeError(f"is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_tidied(each, depth - 1) for each in value]
    return {_whole(name): _tidied(each, depth - 1) for name, each in value.items()}


def _whole(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _is_not(value, "an object")
    return value


def _with_default(make: Callable[..., Any]) -> set[str]:
    if not is_dataclass(make):
        return set()
    return {each.name for each in fields(make) if not (each.default is MISSING and each.default_factory is MISSING)}


def _at(place: str, check: Check[A], value: Any) -> A:
    try:
        return check(value)
    except ShapeError as error:
        raise error.within(place) from None


def _is_not(value: Any, what: str) -> ShapeError:
    return ShapeError(f"is {_shown(value)}, not {what}")


def _shown(value: Any) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "too large a number"
