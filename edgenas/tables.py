# SPDX-License-Identifier: Apache-2.0
"""Values of TOML and JSON files that others may have written: the right type, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.errors import ProfileError

if TYPE_CHECKING:
    pass

_REQUIRED: Any = object()
MAX_NUMBER = 1e300  # of a number that is to become a float; TOML's whole numbers may have any length


def take(
    table: Mapping[str, Any],
    key: str,
    kind: type,
    path: Path,
    *,
    default: Any = _REQUIRED,
    among: tuple[str, ...] = (),
    step: str = "",
) -> Any:
    """`table[key]` if it is of `kind` and among the allowed values. Raises ProfileError naming file, key and `step`."""
    if key not in table:
        if default is _REQUIRED:
            raise damaged(path, key, "is missing", step)
        return default
    value = table[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise damaged(path, key, f"is {value!r:.60}, not {'an' if kind is int else 'a'} {kind.__name__}", step)
    if among and value not in among:
        raise damaged(path, key, f"is {value!r:.60}, not one of {', '.join(among)}", step)
    return value


def damaged(path: Path, key: str | None, reason: str, step: str = "") -> ProfileError:
    """The error of a file whose `key` (None: the whole file) is wrong, with the next step."""
    where = f"key {key!r} {reason}" if key else reason
    return ProfileError(f"{path}: {where}{step}", file=str(path), key=key)
