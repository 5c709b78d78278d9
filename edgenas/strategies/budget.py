"""The latency budget as a user writes it: a duration with a unit, or a percentage of the space's range on the board."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgenas.errors import BudgetError, InfeasibleError

_UNITS_MS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class LatencyBudget:
    """Either `ms` or `percent` (0 is the space's fastest architecture on the board, 100 its slowest) is set."""

    text: str
    ms: float | None = None
    percent: float | None = None

    @staticmethod
    def parse(text: str) -> LatencyBudget:
        """Read `350us`, `2.5ms`, `1s` or `40%`. Raises BudgetError with the fix in the message."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Zµ%]*)\s*", text)
        if match is None:
            raise BudgetError(
                f"latency budget {text!r} is not a number with a unit: write 350us, 2.5ms or 40%", value=text
            )
        number, unit = float(match[1]), match[2]
        if not unit:
            fix = f"write {match[1]}us, {match[1]}ms or {match[1]}%"
            raise BudgetError(f"latency budget {text!r} has no unit: {fix}", value=text)
        if unit == "%":
            if number > 100:
                raise BudgetError(
                    f"latency budget {text!r} is over 100%, the space's slowest: write 0% to 100%", value=text
                )
            return LatencyBudget(text, percent=number)
        if unit not in _UNITS_MS:
            raise BudgetError(
                f"latency budget {text!r} has the unknown unit {unit!r}: write us, ms, s or %", value=text
            )
        if number == 0:
            raise BudgetError(f"latency budget {text!r} is zero: write a positive duration, as 350us", value=text)
        return LatencyBudget(text, ms=number * _UNITS_MS[unit])

    def resolve(self, fastest_ms: float, slowest_ms: float) -> float:
        """The budget in ms, given the range of the space on the board.

        Raises InfeasibleError naming the fastest architecture's latency if the budget is below it.
        """
        if self.percent is not None:
            # A budget of exactly the fastest would be missed by noise alone: 0 % means the fastest plus 3 %.
            return max(fastest_ms + self.percent / 100 * (slowest_ms - fastest_ms), 1.03 * fastest_ms)
        assert self.ms is not None
        if self.ms < fastest_ms:
            raise InfeasibleError(
                f"latency budget {self.text} is below the fastest architecture of the space on this board "
                f"({format_ms(fastest_ms)}): ask for at least {format_ms(fastest_ms * 1.03)}",
                budget_ms=self.ms,
                fastest_ms=fastest_ms,
            )
        return self.ms


def format_ms(ms: float) -> str:
    """A latency for people: `84.3 us`, `2.51 ms`, `1.2 s`."""
    for limit, factor, unit in ((1.0, 1e3, "us"), (1e3, 1.0, "ms"), (float("inf"), 1e-3, "s")):
        if ms < limit:
            value = ms * factor
            return f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"  # not 1e+03
    raise ValueError(f"latency {ms!r} is not a number")
