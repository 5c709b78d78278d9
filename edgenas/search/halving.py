"""Successive halving from scratch: the default strategy.

Filled templates, a supernet's proposals where there is one, random and mutated networks, all measured within the budget
on the device, train for a part of the full recipe, ranked by their training loss (the best cheap signal: Kendall tau
0.61 after 3 of 10 epochs and 0.81 after 5 within one latency band, where zero-cost proxies reach at most 0.1). The
better part goes on, and who reaches the bake-off goes on there from its checkpoint.
Successive halving: Jamieson and Talwalkar, AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from edgenas.errors import InfeasibleError
from edgenas.search.lattice import Lattice
from edgenas.search.problem import (
    FIRST_RUNG,
    HEADROOM,
    LAST_RUNG,
    SLACK,
    Candidate,
    Evaluator,
    Found,
    Problem,
    mutate,
    operator_weight,
)
from edgenas.search.scaling import fill
from edgenas.spaces.architecture import Architecture

_RANDOM, _MUTATED, _SURVIVORS, _FINALISTS = 5, 3, 3, 2
_STEPS = (1.0, 0.97, 0.94)  # of an aim, where what is proposed for it was measured before
_LEAST_BIAS = 0.8  # a family that measures less than predicted aims higher by as much
_WAVES = 3  # of measuring and repairing before a family is given up

Propose = Callable[[Lattice, float], list[Candidate]]


def halving(problem: Problem, evaluator: Evaluator, say: Callable[[str], None] = lambda line: None) -> Found:
    """Search by successive halving; the filled templates are always in, the best baseline always reaches the end."""
    rng = np.random.default_rng(problem.seed)
    first = admit(problem, evaluator, [*_templates(problem), _supernet(problem), _random(rng, _RANDOM)], say)
    if not first:
        raise nothing_fits(problem, evaluator)
    first = _train(evaluator, first, FIRST_RUNG)
    parents = sorted(first, key=_loss)[:2]
    children = admit(problem, evaluator, [_mutated(rng, parents, _MUTATED)], say, known=first)
    everyone = first + _train(evaluator, children, FIRST_RUNG)
    survivors = _keep(everyone, _SURVIVORS)
    say(f"{len(everyone)} candidates trained, {len(survivors)} go on: {', '.join(c.origin for c in survivors)}")
    survivors = _train(evaluator, survivors, LAST_RUNG)
    finalists = _keep(survivors, _FINALISTS)
    return Found(tuple(finalists), tuple(sorted(everyone, key=_loss)))


def with_references(problem: Problem, evaluator: Evaluator, found: Found, say: Callable[[str], None]) -> Found:
    """`found` with the best template and the best baseline among its finalists: a bake-off never goes without them.

    Where a strategy did not try them, they are filled, measured and ranked by a short training.
    """
    missing = [b for b in (False, True) if not any(c.template and c.baseline == b for c in found.finalists)]
    if not missing:
        return found
    templates = _train(evaluator, admit(problem, evaluator, _templates(problem), say), FIRST_RUNG)
    ranked = sorted(templates, key=_loss)
    added = [best for b in missing if (best := next((c for c in ranked if c.baseline == b), None)) is not None]
    twice = {c.architecture for c in added}
    kept = [c for c in found.finalists if c.architecture not in twice]
    return replace(found, finalists=(*kept, *added), tried=(*found.tried, *templates))


def admit(
    problem: Problem,
    evaluator: Evaluator,
    families: Sequence[Propose],
    say: Callable[[str], None],
    known: Sequence[Candidate] = (),
) -> list[Candidate]:
    """Fill every family to the budget by measuring: what misses it is proposed again on the refined model.

    A family's next proposals aim at the budget divided by what its last ones measured over what the refined model says
    of them. What stays too far below is admitted only for a template that has run out of width and blocks: its nearest
    one.
    """
    admitted: list[tuple[int, Candidate]] = []
    seen = {c.architecture for c in known}
    missed: dict[int, list[Candidate]] = {index: [] for index in range(len(families))}
    for wave in range(_WAVES):
        lattice = problem.lattice(evaluator.model())
        problem = problem.on(lattice)
        proposed: list[tuple[int, Candidate]] = []
        for index, last in missed.items():
            aim = HEADROOM * problem.target_ms / _bias(lattice, last)
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
    """The most that one of them measured over its refined price, which the model does not explain; 1 without any.

    The most, not the median: a family that stays over the budget for all waves is lost, one that is under rises again.
    """
    measured = [c for c in measured if isfinite(c.measured_ms)]  # what does not fit says nothing of latencies
    if not measured:
        return 1.0
    return max(_LEAST_BIAS, max(c.measured_ms / lattice.price(c.architecture) for c in measured))


def _unseen(propose: Propose, lattice: Lattice, aim: float, seen: Collection[Architecture]) -> list[Candidate]:
    """A family's proposals that were not measured yet; where all were, what it proposes for a little less."""
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
    return SLACK * problem.target_ms <= candidate.measured_ms <= problem.budget_ms


def _missed(problem: Problem, results: Sequence[tuple[int, Candidate]]) -> dict[int, list[Candidate]]:
    """The families that are not done: one is once a member measured inside the budget without wasting it."""
    families = {index: [c for i, c in results if i == index] for index in sorted({i for i, _ in results})}
    return {i: family for i, family in families.items() if not any(fills(problem, c) for c in family)}


def _templates(problem: Problem) -> list[Propose]:
    def family(index: int) -> Propose:
        template = problem.space.templates[index]

        def propose(lattice: Lattice, aim: float) -> list[Candidate]:
            origin = f"template:{template.name}"
            return [Candidate(a, origin, template.baseline) for a in fill(lattice, template, aim)]

        return propose

    return [family(index) for index in range(len(problem.space.templates))]


def _supernet(problem: Problem) -> Propose:
    return lambda lattice, aim: [Candidate(a, "supernet") for a in problem.proposals(lattice, aim)]


def _random(rng: np.random.Generator, n: int) -> Propose:
    def propose(lattice: Lattice, aim: float) -> list[Candidate]:
        drawn = [lattice.sample(rng, 0.96 * aim, aim, operator_weight(lattice)) for _ in range(n)]
        return [Candidate(a, "random") for a in drawn if a is not None]

    return propose


def _mutated(rng: np.random.Generator, parents: Sequence[Candidate], n: int) -> Propose:
    def propose(lattice: Lattice, aim: float) -> list[Candidate]:
        chosen = [parents[i % len(parents)].architecture for i in range(n)]
        drawn: list[Architecture | None] = [mutate(lattice, rng, a, 0.96 * aim, aim) for a in chosen]
        return [Candidate(a, "mutated") for a in drawn if a is not None]

    return propose


def _train(evaluator: Evaluator, candidates: Sequence[Candidate], until: float) -> list[Candidate]:
    outcomes = evaluator.train([c.architecture for c in candidates], until)
    return [c.trained(outcome) for c, outcome in zip(candidates, outcomes, strict=True)]


def _loss(candidate: Candidate) -> float:
    assert candidate.outcome is not None
    loss = candidate.outcome.train_loss
    return loss if isfinite(loss) else inf  # NaN would leave everything unsorted


def _keep(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The best `n` by training loss, the best template and the best baseline, which go on whatever their rank."""
    ranked = sorted(candidates, key=_loss)
    kept = ranked[:n]
    for baseline in (False, True):
        best = next((c for c in ranked if c.template and c.baseline == baseline), None)
        if best is not None and best not in kept:
            kept.append(best)
    return kept


def nothing_fits(problem: Problem, evaluator: Evaluator) -> InfeasibleError:
    """What to raise when nothing measured within the budget; names what the fastest architecture measures."""
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
