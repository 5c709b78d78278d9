# SPDX-License-Identifier: Apache-2.0
"""The latency budget as a user writes it: a number with a unit, or a percentage of the space's range on the board."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from edgenas.errors import BudgetError, InfeasibleError
from edgenas.units import MINSN, MS, Unit


@dataclass(frozen=True)
class LatencyBudget:
    """One of `ms`, `minsn` and `percent` (0 is the space's fastest architecture on the board, 100 its slowest) is set.

    `ms` is in `unit`, the board's; `minsn` are millions of instructions on a board whose unit is another.
    """

    text: str
    ms: float | None = None
    percent: float | None = None
    unit: Unit = MS
    minsn: float | None = None

    @staticmethod
    def parse(text: str, unit: Unit = MS, *, counted: bool = False) -> LatencyBudget:
        """Read `350us`, `2.5ms`, `1s` or `40%`; for a board that counts instructions `800kinsn`, `8Minsn` or `40%`.

        counted: whether instructions are understood, too, because there is an emulator that counts those of the board.
        Raises BudgetError with the fix in the message.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Zµ%]*)\s*", text)
        if match is None:
            examples = "800kinsn, 8Minsn or 40%" if unit.counted else "350us, 2.5ms or 40%"
            raise BudgetError(f"latency budget {text!r} is not a number with a unit: write {examples}", value=text)
        number, name = float(match[1]), match[2]
        if not name:
            written = ", ".join(match[1] + multiple for multiple, _ in unit.multiples[:2])
            raise BudgetError(f"latency budget {text!r} has no unit: write {written} or {match[1]}%", value=text)
        if name == "%":
            if number > 100:
                raise BudgetError(
                    f"latency budget {text!r} is over 100%, the space's slowest: write 0% to 100%", value=text
                )
            return LatencyBudget(text, percent=number, unit=unit)
        named = MINSN if counted and unit.size(name) is None else unit
        size = named.size(name)
        if size is None:
            raise BudgetError(f"latency budget {text!r} {_other(name, unit)}: write {unit.choices}", value=text)
        if number == 0:
            what = "number of instructions" if unit.counted else "duration"
            raise BudgetError(
                f"latency budget {text!r} is zero: write a positive {what}, as {unit.example}", value=text
            )
        if named is not unit:
            return LatencyBudget(text, minsn=number * size, unit=unit)
        return LatencyBudget(text, ms=number * size, unit=unit)

    def timed(self, ms_per_minsn: float) -> LatencyBudget:
        """The budget with its `minsn` converted to `ms`."""
        assert self.minsn is not None
        return replace(self, ms=self.minsn * ms_per_minsn, minsn=None)

    def resolve(self, fastest_ms: float, slowest_ms: float) -> float:
        """The budget in ms, given the range of the space on the board; one of `minsn` has to be `timed` before.

        Raises InfeasibleError naming the fastest architecture's latency if the budget is below it.
        """
        if self.percent is not None:
            # A budget of exactly the fastest would be missed by noise alone: 0 % means the fastest plus 3 %.
            return max(fastest_ms + self.percent / 100 * (slowest_ms - fastest_ms), 1.03 * fastest_ms)
        assert self.ms is not None
        if self.ms < fastest_ms:
            raise InfeasibleError(
                f"latency budget {self.text} is below the fastest architecture of the space on this board "
                f"({self.unit.format(fastest_ms)}): ask for at least {self.unit.format(fastest_ms * 1.03)}",
                budget_ms=self.ms,
                fastest_ms=fastest_ms,
            )
        return self.ms


def _other(name: str, unit: Unit) -> str:
    """Why a unit is refused that is not among the board's."""
    if unit.counted and MS.size(name) is not None:
        return "is a time, but this board counts instructions"
    if not unit.counted and MINSN.size(name) is not None:
        return "counts instructions, but this board's latencies are times"
    return f"has the unknown unit {name!r}"
