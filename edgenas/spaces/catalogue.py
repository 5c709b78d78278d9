# SPDX-License-Identifier: Apache-2.0
"""The search spaces of stored measurements. A user's own space is saved, so that its measurements stay usable.

A space is saved as the table of its .toml file, without input and classes, in the user's folder `spaces`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgenas import resources
from edgenas.errors import UsageError
from edgenas.spaces.space import SearchSpace, from_table
from firmware_tools.reading import read_json, read_text

_SCHEMA = 1


def remember(space: SearchSpace) -> None:
    """Save a user's own space; a later one replaces an earlier one of the same name, but never a shipped one."""
    if is_shipped(space.name):
        return
    file, text = path(space.name), json.dumps({"schema": _SCHEMA, **to_table(space)}, indent=1) + "\n"
    if not _holds(file, text):
        resources.write_text(file, text)


def recall(name: str, input_shape: tuple[int, int, int], classes: int) -> SearchSpace | None:
    """The space of a name, shipped or remembered, bound to an input (C, H, W) and classes; None if it is not known."""
    if is_shipped(name):
        return _shipped(name, input_shape, classes)
    try:
        table = read_json(path(name))
        return bound(table, input_shape, classes)
    except (OSError, ValueError, UsageError):  # its measurements are then left out
        return None


def _holds(file: Path, text: str) -> bool:
    try:
        return read_text(file) == text
    except (OSError, ValueError):
        return False


def is_shipped(name: str) -> bool:
    """Whether a space of this name comes with edgenas."""
    return (resources.shipped("models") / f"{name}.toml").is_file() and Path(name).name == name


def named(space: SearchSpace) -> dict[str, Any]:
    """A space in an artifact's manifest: its name, and the table where the name alone does not tell, else None."""
    return {"name": space.name, "table": None if is_shipped(space.name) else to_table(space)}


def to_table(space: SearchSpace) -> dict[str, Any]:
    """The table of a space's .toml file."""
    return {
        "name": space.name,
        "stem": {"strides": list(space.stem_strides), "widths": list(space.stem_widths)},
        "body": {
            "operators": list(space.operators),
            "blocks": list(space.blocks_choices),
            "kernels": list(space.kernels),
            "expansions": list(space.expansions),
            "stage_macs_per_pixel": space.stage_macs_per_pixel,
            "depthwise_weight": space.depthwise_weight,
        },
        "stages": [{"stride": stage.stride, "widths": list(stage.widths)} for stage in space.stages],
        "templates": json.loads(json.dumps([asdict(template) for template in space.templates])),
    }


def bound(table: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """The space of a table, bound to an input (C, H, W) and classes. Raises UsageError for an invalid table."""
    try:
        space = from_table(table, input_shape, classes)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"search space {table!r:.60}: {error!r:.80}: not the table of a space's file") from error
    if any(stage.stride < 1 for stage in space.stages):
        raise UsageError(f"search space {space.name!r}: a stage's stride is less than 1")
    return space


def path(name: str) -> Path:
    """The file of a user's own space."""
    return resources.home() / "spaces" / f"{quote(name, safe='')}.json"


@lru_cache(maxsize=64)
def _shipped(name: str, input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
    return SearchSpace.load(name, input_shape, classes)
