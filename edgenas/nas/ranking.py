# SPDX-License-Identifier: Apache-2.0
"""Candidates ranked by a short training, and the references that no ranking may leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isfinite

from edgenas.nas.admission import admit
from edgenas.nas.families import templates
from edgenas.nas.problem import FIRST_RUNG, Candidate, Evaluator, Problem, SearchResult


def train(evaluator: Evaluator, candidates: Sequence[Candidate], until: float) -> list[Candidate]:
    """The candidates with their outcomes after `until` (0 to 1) of the full recipe."""
    outcomes = evaluator.train([c.architecture for c in candidates], until)
    return [c.trained(outcome) for c, outcome in zip(candidates, outcomes, strict=True)]


def loss(candidate: Candidate) -> float:
    """The training loss of a trained candidate; infinite if it is not finite, because NaN cannot be sorted."""
    assert candidate.outcome is not None
    value = candidate.outcome.train_loss
    return value if isfinite(value) else inf


def with_references(
    problem: Problem, evaluator: Evaluator, result: SearchResult, say: Callable[[str], None]
) -> SearchResult:
    """The result with the best template and the best baseline among its finalists: every bake-off compares with them.

    If a strategy did not try them, they are scaled to the budget, measured and ranked by a short training.
    """
    missing = [b for b in (False, True) if not any(c.template and c.baseline == b for c in result.finalists)]
    if not missing:
        return result
    trained = train(evaluator, admit(problem, evaluator, templates(problem), say), FIRST_RUNG)
    ranked = sorted(trained, key=loss)
    added = [best for b in missing if (best := next((c for c in ranked if c.baseline == b), None)) is not None]
    twice = {c.architecture for c in added}
    kept = [c for c in result.finalists if c.architecture not in twice]
    return replace(result, finalists=(*kept, *added), tried=(*result.tried, *trained))
