# SPDX-License-Identifier: Apache-2.0
"""Which candidates a search admits: those that measure within the budget without wasting it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import isfinite

from edgenas.errors import InfeasibleError
from edgenas.nas.families import Family
from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import MIN_FILL, TARGET_FILL, Candidate, Evaluator, Problem
from edgenas.spaces.architecture import Architecture

_STEPS = (1.0, 0.97, 0.94)  # parts of the aim that a family tries in turn until it proposes something unmeasured
_MIN_BIAS = 0.8  # a family that measures less than predicted aims higher, by at most the inverse of this
_WAVES = 3  # of measuring and repairing before a family is given up


def admit(
    problem: Problem,
    evaluator: Evaluator,
    families: Sequence[Family],
    say: Callable[[str], None],
    known: Sequence[Candidate] = (),
) -> list[Candidate]:
    """Measure every family's proposals, and admit those that fill the budget.

    A family without such a proposal proposes again, in at most three waves, on the latency model refined by the
    measurements. It then aims lower or higher by the ratio of its last measurements to the refined predictions. A
    template that stays below MIN_FILL because it has run out of width and blocks is admitted with its slowest network.
    known: candidates that are not proposed again.
    """
    admitted: list[tuple[int, Candidate]] = []
    seen = {c.architecture for c in known}
    missed: dict[int, list[Candidate]] = {index: [] for index in range(len(families))}
    for wave in range(_WAVES):
        lattice = problem.lattice(evaluator.model())
        problem = problem.on(lattice)
        proposed: list[tuple[int, Candidate]] = []
        for index, last in missed.items():
            aim = TARGET_FILL * problem.target_ms / _bias(lattice, last)
            for candidate in _unseen(families[index], lattice, aim, seen):
                seen.add(candidate.architecture)
                proposed.append((index, replace(candidate, predicted_ms=lattice.price(candidate.architecture))))
        if not proposed:
            break
        measured = evaluator.measure([c.architecture for _, c in proposed])
        results = [(i, replace(c, measured_ms=ms)) for (i, c), ms in zip(proposed, measured, strict=True)]
        inside = [(i, c) for i, c in results if c.measured_ms <= problem.budget_ms]
        admitted += inside
        say(f"wave {wave + 1}: {len(inside)} of {len(results)} within {problem.unit.format(problem.budget_ms)}")
        missed = _missed(problem, results)
        if not missed:
            break
    return [c for index in range(len(families)) for c in _filled(problem, [c for i, c in admitted if i == index])]


def _bias(lattice: Lattice, measured: Sequence[Candidate]) -> float:
    """Largest ratio of measured to predicted latency, at least _MIN_BIAS; 1.0 if nothing was measured.

    The largest, not the median: a family over the budget in every wave is lost, one below it can rise in the next wave.
    """
    measured = [c for c in measured if isfinite(c.measured_ms)]  # what does not fit the board has no latency
    if not measured:
        return 1.0
    return max(_MIN_BIAS, max(c.measured_ms / lattice.price(c.architecture) for c in measured))


def _unseen(propose: Family, lattice: Lattice, aim: float, seen: Collection[Architecture]) -> list[Candidate]:
    """A family's proposals that were not measured yet; if all were, its proposals for a slightly lower latency."""
    for step in _STEPS:
        fresh = {c.architecture: c for c in propose(lattice, step * aim) if c.architecture not in seen}
        if fresh:
            return list(fresh.values())
    return []


def _filled(problem: Problem, family: Sequence[Candidate]) -> list[Candidate]:
    inside = [c for c in family if fills(problem, c)]
    if inside or not any(c.template for c in family):
        return inside
    return [max(family, key=lambda c: c.measured_ms)]


def fills(problem: Problem, candidate: Candidate) -> bool:
    """Whether a candidate measured within the budget without wasting it."""
    return MIN_FILL * problem.target_ms <= candidate.measured_ms <= problem.budget_ms


def _missed(problem: Problem, results: Sequence[tuple[int, Candidate]]) -> dict[int, list[Candidate]]:
    """The families, by index, none of whose candidates fills the budget, each with its candidates."""
    families = {index: [c for i, c in results if i == index] for index in sorted({i for i, _ in results})}
    return {i: family for i, family in families.items() if not any(fills(problem, c) for c in family)}


def nothing_fits(problem: Problem, evaluator: Evaluator) -> InfeasibleError:
    """The error to raise when nothing measures within the budget; it names the fastest architecture's latency."""
    fastest, _ = problem.lattice(evaluator.model()).extremes()
    measured, budget = evaluator.measure([fastest])[0], problem.unit.format(problem.budget_ms)
    if not isfinite(measured):
        what = "the fastest does not fit the board's RAM and flash: choose another board or a smaller --size"
    else:
        shown = problem.unit.format(measured)
        what = f"the fastest takes {shown}: ask for at least {problem.unit.format(measured * 1.05)}"
    return InfeasibleError(
        f"no architecture within {budget} was found; {what}",
        budget_ms=problem.budget_ms,
        fastest_ms=measured,
    )
