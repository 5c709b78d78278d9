# SPDX-License-Identifier: Apache-2.0
"""Which row of a bake-off ships."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from edgenas.tasks.recalls import Recalls
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


def test_where_classes_are_uneven_balanced_accuracy_chooses() -> None:
    def uneven(name: str, right: tuple[int, int], **changes: Any) -> Row:
        recalls = {"validation": Recalls(right, (80, 2)), "float": Recalls((100, 3), (100, 3)), "int8": None}
        return row(name, sum(right) / 82, recalls=recalls, uneven=True, **changes)

    constant = uneven("constant", (80, 0), won=8, lost=1)
    fair = uneven("fair", (74, 2), won=2, lost=7, balanced_lead=(0.4, 0.3))
    baseline = uneven("baseline", (73, 1), baseline=True, balanced_lead=(0.0, 0.0))
    assert constant.validation > fair.validation
    assert _best([replace(constant, balanced_lead=(-0.2, 0.1)), fair, baseline], BUDGET_MS, set()) == fair
    noise = replace(fair, balanced_lead=(0.24, 0.25))  # one of two images
    assert _best([noise, baseline], BUDGET_MS, set()) == baseline
    for each in (fair, baseline):
        assert Row.from_json(json.loads(json.dumps(asdict(each)))) == each


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
