"""Which row of a bake-off ships."""

from __future__ import annotations

from typing import Any

import pytest

from edgenas.workflows.bakeoff import Row
from edgenas.workflows.deploy import _best, _nearest

BUDGET_MS = 1.0


def row(name: str, validation: float, **changes: Any) -> Row:
    fields: dict[str, Any] = {
        "architecture": name,
        "origin": "random",
        "baseline": False,
        "predicted_ms": 0.97,
        "measured_ms": 0.97,
        "ci95_ms": (0.96, 0.98),
        "validation": validation,
        "won": 0,
        "lost": 0,
        "accuracy_float": 0.9,
        "accuracy_int8": 0.9,
        "macs": 1,
        "bytes": 1,
        "peak_ram_bytes": None,
        "gate": "passed",
        "folder": "",
    }
    return Row(**{**fields, **changes})


BASELINE = row("baseline", 0.80, baseline=True)


@pytest.mark.parametrize(
    ("won", "lost", "ships"), [(30, 10, "better"), (9, 6, "baseline"), (3, 2, "baseline"), (2, 0, "better")]
)
def test_a_row_ships_over_the_baseline_only_if_it_is_better_beyond_the_standard_error(
    won: int, lost: int, ships: str
) -> None:
    better = row("better", 0.80 + (won - lost) / 200, won=won, lost=lost)
    best = _best([better, BASELINE], BUDGET_MS, set())
    assert best is not None
    assert best.architecture == ships


def test_of_the_proven_rows_the_best_by_validation_ships_and_of_equals_the_faster() -> None:
    rows = [row("slow", 0.9, won=40), row("fast", 0.9, won=40, measured_ms=0.93), row("worse", 0.88, won=36), BASELINE]
    best = _best(rows, BUDGET_MS, set())
    assert best is not None
    assert best.architecture == "fast"


def test_without_a_baseline_that_may_ship_the_best_by_validation_does() -> None:
    rows = [row("only", 0.7, lost=20), row("baseline", 0.8, baseline=True, measured_ms=1.01)]
    best = _best(rows, BUDGET_MS, set())
    assert best is not None
    assert best.architecture == "only"


def test_what_failed_the_gate_or_was_refused_does_not_ship() -> None:
    rows = [row("gate", 0.99, won=99, gate="gate operators: no"), row("refused", 0.98, won=90), BASELINE]
    best = _best(rows, BUDGET_MS, {"refused"})
    assert best == BASELINE
    assert _best(rows, BUDGET_MS, {"refused", "baseline"}) is None


def test_a_row_that_wastes_the_budget_ships_only_if_no_other_may() -> None:
    small = row("small", 0.95, won=50, measured_ms=0.7)
    assert _best([small, BASELINE], BUDGET_MS, set()) == BASELINE
    assert _best([small, row("over", 0.99, measured_ms=1.2)], BUDGET_MS, set()) == small


def test_where_all_measured_over_the_budget_the_nearest_that_passed_is_installed_and_measured_once_more() -> None:
    over = [
        row("far", 0.99, measured_ms=1.3),
        row("near", 0.7, measured_ms=1.02),
        row("spoilt", 0.9, measured_ms=1.01, gate="failed"),
    ]
    assert _best(over, BUDGET_MS, set()) is None
    assert _nearest(over, set()) == over[1]
    assert _nearest(over, {"near"}) == over[0]
    assert _nearest(over, {"near", "far"}) is None
