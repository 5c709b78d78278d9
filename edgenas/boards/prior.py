# SPDX-License-Identifier: Apache-2.0
"""What latencies of a board are taken for as long as nothing was measured on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.tables import MAX_NUMBER, damaged, take

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Prior:
    """What latencies of a board are taken for as long as nothing was measured on it.

    cycles_per_instruction: the board's own cycles for one instruction of the emulated board `counted_on`. clock_mhz:
    the board's. source: where the figure comes from.
    """

    cycles_per_instruction: float
    clock_mhz: float
    counted_on: str
    source: str

    @property
    def ms_per_minsn(self) -> float:
        """Milliseconds of a million counted instructions."""
        return 1e3 * self.cycles_per_instruction / self.clock_mhz

    def to_json(self) -> dict[str, Any]:
        """A part of the objects that `--json` prints."""
        return {**asdict(self), "ms_per_minsn": self.ms_per_minsn}

    def __str__(self) -> str:
        """As in `prior: 1.56 cycles per instruction, not measured`."""
        return f"prior: {self.cycles_per_instruction:g} cycles per instruction, not measured"


def read_prior(table: Mapping[str, Any], path: Path) -> Prior | None:
    """What the file says in [prior], and of the clock in [facts]; None if it has no [prior]."""
    if "prior" not in table:
        return None
    given, facts = take(table, "prior", dict, path), take(table, "facts", dict, path)
    numbers = []
    for place, name in ((given, "cycles_per_instruction"), (facts, "clock_mhz")):
        value = place.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MAX_NUMBER:
            raise damaged(path, name, f"is {value!r:.60}, not a positive number, which a [prior] needs")
        numbers.append(float(value))
    counted_on = take(given, "counted_on", str, path)
    if re.fullmatch("[a-z0-9][a-z0-9_-]*", counted_on) is None:  # a path would lead to another file
        raise damaged(path, "counted_on", f"is {counted_on!r}, not the name of an emulated board")
    return Prior(numbers[0], numbers[1], counted_on, take(given, "source", str, path))
