# SPDX-License-Identifier: Apache-2.0
"""What latencies are given in: milliseconds, or millions of instructions on a board that has no clock to speak of.

Inside edgenas every number whose name ends in `_ms` is in its board's unit. Here, and nowhere else, it is named for
people and for JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgenas.errors import UsageError


@dataclass(frozen=True)
class Unit:
    """A unit of latency, with its multiples as people write them.

    multiples: names and their size in the unit itself, small to large. digits: how many of a value are shown. example:
    a budget.
    """

    name: str
    multiples: tuple[tuple[str, float], ...]
    digits: int
    example: str

    @property
    def counted(self) -> bool:
        """Whether it is of instructions, which are the same in every run, and not of time."""
        return self is MINSN

    @property
    def choices(self) -> str:
        """What a budget may end in, as in `us, ms, s or %`."""
        return f"{', '.join(name for name, _ in self.multiples)} or %"

    def size(self, name: str) -> float | None:
        """What `name`, as in a budget, is in this unit; None if it is none of its multiples."""
        return dict(self.multiples).get("us" if name == "µs" else name)

    def format(self, value: float) -> str:
        """A latency for people: `84.3 us`, `2.51 ms`, `1.2 s`; `843.1 kinsn`, `8.021 Minsn`."""
        if value != value:
            raise ValueError(f"latency {value!r} is not a number")
        names = self.multiples
        larger = (size for _, size in names[1:])
        name, size = names[sum(value >= least for least in larger)]
        shown, limit = value / size, 10**self.digits - 0.5
        return f"{shown:.{self.digits}g} {name}" if shown < limit else f"{shown:.0f} {name}"  # not 1e+03

    def label(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """`table` for JSON, with a key `unit`: every key that ends in `_ms`, at any depth, ends in the unit instead."""
        return {"unit": self.name, **self._named(table)}

    def _named(self, value: Any) -> Any:
        if self is MS:
            return value
        if isinstance(value, Mapping):
            return {self._key(key): self._named(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._named(item) for item in value]
        return value

    def _key(self, key: str) -> str:
        return f"{key.removesuffix('_ms')}_{self.name.lower()}" if key.endswith("_ms") else key


MS = Unit("ms", (("us", 1e-3), ("ms", 1.0), ("s", 1e3)), 3, "350us")
MINSN = Unit("Minsn", (("kinsn", 1e-3), ("Minsn", 1.0)), 4, "8Minsn")
UNITS = {unit.name: unit for unit in (MS, MINSN)}


def fraction(text: str, what: str) -> float:
    """A percentage as people write it, `3%` or `2.5 %`, as 0.03 or 0.025.

    what: its name, for the message. Raises UsageError unless it is a number over 0 with a percent sign.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*", text)
    value = float(match[1]) / 100 if match is not None else 0.0
    if value == 0:
        raise UsageError(f"{what} {text!r} is not a percentage over 0: write it as in 3%", value=text)
    return value
