# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.errors import BudgetError, InfeasibleError
from edgenas.nas.budget import LatencyBudget
from edgenas.units import MINSN, MS, Unit

UNITS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
NUMBERS = st.decimals(min_value="0.001", max_value=9999, places=3).map(str)
SPACES = st.text(" ", max_size=2)


@given(NUMBERS, st.sampled_from(sorted(UNITS)), SPACES, SPACES, SPACES)
@settings(deadline=None, max_examples=100)
def test_a_duration_is_read_in_milliseconds(number: str, unit: str, before: str, between: str, after: str) -> None:
    text = f"{before}{number}{between}{unit}{after}"
    budget = LatencyBudget.parse(text)
    assert budget.text == text
    assert budget.percent is None
    assert budget.ms == pytest.approx(float(number) * UNITS[unit])


@given(st.floats(0, 100).map(lambda x: f"{x:.4f}"))
@settings(deadline=None, max_examples=50)
def test_a_percentage_lies_between_the_fastest_and_the_slowest(number: str) -> None:
    budget = LatencyBudget.parse(f"{number}%")
    assert (budget.ms, budget.percent) == (None, float(number))
    resolved = budget.resolve(2.0, 12.0)
    assert resolved == pytest.approx(max(2.06, 2.0 + float(number) / 10))
    assert 2.0 < resolved <= 12.0


@pytest.mark.parametrize(("text", "ms"), [("350us", 0.35), ("2.5ms", 2.5), ("1s", 1000), (".5ms", 0.5), ("3.ms", 3)])
def test_examples(text: str, ms: float) -> None:
    assert LatencyBudget.parse(text).ms == pytest.approx(ms)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "is not a number with a unit: write 350us, 2.5ms or 40%"),
        ("fast", "is not a number with a unit"),
        ("-3ms", "is not a number with a unit"),
        ("1,5ms", "is not a number with a unit"),
        ("1e3us", "is not a number with a unit"),
        ("nanms", "is not a number with a unit"),
        ("3 m s", "is not a number with a unit"),
        ("350", "has no unit: write 350us, 350ms or 350%"),
        (" 2.5 ", "has no unit: write 2.5us, 2.5ms or 2.5%"),
        ("101%", "is over 100%, the space's slowest: write 0% to 100%"),
        ("5min", "has the unknown unit 'min': write us, ms, s or %"),
        ("5MS", "has the unknown unit 'MS': write us, ms, s or %"),
        ("40%%", "has the unknown unit '%%'"),
        ("0ms", "is zero: write a positive duration, as 350us"),
        ("0.000us", "is zero"),
    ],
)
def test_what_is_refused_says_the_fix(text: str, fix: str) -> None:
    with pytest.raises(BudgetError, match=re.escape(fix)) as caught:
        LatencyBudget.parse(text)
    assert repr(text) in caught.value.message
    assert caught.value.fields["value"] == text
    assert caught.value.exit_code == 2


@given(st.floats(1e-3, 1e4), st.floats(1, 50), st.floats(0.01, 3))
@settings(deadline=None, max_examples=100)
def test_a_duration_is_kept_or_refused_naming_the_fastest(fastest: float, span: float, part: float) -> None:
    budget = LatencyBudget(f"{fastest * part}ms", ms=fastest * part)
    if part * fastest >= fastest:
        assert budget.resolve(fastest, fastest * span) == fastest * part
        return
    with pytest.raises(InfeasibleError) as caught:
        budget.resolve(fastest, fastest * span)
    assert MS.format(fastest) in caught.value.message
    assert MS.format(1.03 * fastest) in caught.value.message
    assert caught.value.fields == {"budget_ms": budget.ms, "fastest_ms": fastest}
    assert caught.value.exit_code == 3


@given(st.floats(1e-5, 1e6))
@settings(deadline=None, max_examples=200)
def test_a_latency_for_people_is_right_to_three_digits_and_can_be_read_back(ms: float) -> None:
    text = MS.format(ms)
    assert re.fullmatch(r"\d+(\.\d+)?(e-\d+)? (us|ms|s)", text)
    if "e" not in text:
        read = LatencyBudget.parse(text).ms
        assert read is not None
        assert math.isclose(read, ms, rel_tol=6e-3)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.0843, "84.3 us"), (2.514, "2.51 ms"), (1200.0, "1.2 s"), (0.35, "350 us"), (999.9, "1000 ms"), (5e6, "5000 s")],
)
def test_formatted_examples(ms: float, text: str) -> None:
    assert MS.format(ms) == text


def test_a_latency_that_is_no_number_is_a_callers_bug() -> None:
    with pytest.raises(ValueError, match="nan"):
        MS.format(math.nan)


@pytest.mark.parametrize(("text", "millions"), [("8Minsn", 8), ("800kinsn", 0.8), (" .5 Minsn ", 0.5)])
def test_instructions_are_a_budget_of_a_board_that_counts_them(text: str, millions: float) -> None:
    budget = LatencyBudget.parse(text, MINSN)
    assert budget.ms == pytest.approx(millions)
    assert LatencyBudget.parse("40%", MINSN).percent == 40
    with pytest.raises(InfeasibleError, match=r"\(9\.5 Minsn\): ask for at least 9\.785 Minsn"):
        budget.resolve(9.5, 20)


@pytest.mark.parametrize(("text", "millions"), [("8Minsn", 8), ("800kinsn", 0.8)])
def test_instructions_are_a_budget_of_a_board_with_a_clock_whose_instructions_can_be_counted(
    text: str, millions: float
) -> None:
    budget = LatencyBudget.parse(text, MS, counted=True)
    assert (budget.ms, budget.minsn) == (None, pytest.approx(millions))
    assert budget.timed(13.0).resolve(1.0, 2.0) == pytest.approx(13 * millions)
    with pytest.raises(InfeasibleError, match=rf"budget {text} is below the fastest .* \(200 ms\)"):
        budget.timed(13.0).resolve(200.0, 300.0)
    assert LatencyBudget.parse("20ms", MS, counted=True).ms == 20
    with pytest.raises(BudgetError, match="has the unknown unit 'insn'"):
        LatencyBudget.parse("8insn", MS, counted=True)


@pytest.mark.parametrize(
    ("text", "unit", "fix"),
    [
        ("20ms", MINSN, "is a time, but this board counts instructions: write kinsn, Minsn or %"),
        ("20µs", MINSN, "is a time, but this board counts instructions"),
        ("8Minsn", MS, "counts instructions, but this board's latencies are times: write us, ms, s or %"),
        ("8insn", MINSN, "has the unknown unit 'insn': write kinsn, Minsn or %"),
        ("8", MINSN, "has no unit: write 8kinsn, 8Minsn or 8%"),
        ("fast", MINSN, "is not a number with a unit: write 800kinsn, 8Minsn or 40%"),
        ("0Minsn", MINSN, "is zero: write a positive number of instructions, as 8Minsn"),
    ],
)
def test_a_budget_in_a_unit_that_the_board_does_not_have_says_the_fix(text: str, unit: Unit, fix: str) -> None:
    with pytest.raises(BudgetError, match=re.escape(fix)) as caught:
        LatencyBudget.parse(text, unit)
    assert caught.value.fields["value"] == text
    assert "\n" not in caught.value.message
