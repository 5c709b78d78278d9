# SPDX-License-Identifier: Apache-2.0
"""What the engine itself takes of a microcontroller, beside the plan and the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_tools.reading import read_json

_FILE = Path(__file__).resolve().parent.parent / "firmware" / "footprint.json"


@dataclass(frozen=True)
class Footprint:
    """`code_bytes` of flash, all operators included, and `stack_bytes` of RAM at the deepest call."""

    code_bytes: int
    stack_bytes: int


def footprints() -> Mapping[str, Footprint]:
    """The engine's footprint by kernel set, "dsp" and "portable", as measured from its images."""
    table = read_json(_FILE)
    return {name: Footprint(sizes["code_bytes"], sizes["stack_bytes"]) for name, sizes in table.items()}
