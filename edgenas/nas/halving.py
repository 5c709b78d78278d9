# SPDX-License-Identifier: Apache-2.0
"""Successive halving from scratch: the default strategy.

The candidates are scaled templates, random and mutated networks and, if a supernet is cached, its proposals. All of
them measure within the budget on the device. They train for a part of the full recipe and are ranked by training loss,
which is the best cheap signal: Kendall tau is 0.61 after 3 of 10 epochs and 0.81 after 5 within one latency band, where
zero-cost proxies reach at most 0.1. The best go on, and the finalists resume from their checkpoints in the bake-off.
Successive halving: Jamieson and Talwalkar, AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgenas.nas import families
from edgenas.nas.admission import admit, nothing_fits
from edgenas.nas.problem import FIRST_RUNG, LAST_RUNG, Candidate, Evaluator, Problem, SearchResult
from edgenas.nas.ranking import loss, train

_RANDOM, _MUTATED, _SURVIVORS, _FINALISTS = 5, 3, 3, 2


def halving(problem: Problem, evaluator: Evaluator, say: Callable[[str], None] = lambda line: None) -> SearchResult:
    """Search by successive halving. Every template takes part, and the best baseline is always a finalist."""
    rng = np.random.default_rng(problem.seed)
    sources = [*families.templates(problem), families.supernet(problem), families.random(rng, _RANDOM)]
    first = admit(problem, evaluator, sources, say)
    if not first:
        raise nothing_fits(problem, evaluator)
    first = train(evaluator, first, FIRST_RUNG)
    parents = sorted(first, key=loss)[:2]
    children = admit(problem, evaluator, [families.mutations(rng, parents, _MUTATED)], say, known=first)
    everyone = first + train(evaluator, children, FIRST_RUNG)
    survivors = _keep(everyone, _SURVIVORS)
    say(f"{len(everyone)} candidates trained, {len(survivors)} go on: {', '.join(c.origin for c in survivors)}")
    survivors = train(evaluator, survivors, LAST_RUNG)
    finalists = _keep(survivors, _FINALISTS)
    return SearchResult(tuple(finalists), tuple(sorted(everyone, key=loss)))


def _keep(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The best `n` by training loss, and the best template and the best baseline whatever their rank."""
    ranked = sorted(candidates, key=loss)
    kept = ranked[:n]
    for baseline in (False, True):
        best = next((c for c in ranked if c.template and c.baseline == baseline), None)
        if best is not None and best not in kept:
            kept.append(best)
    return kept
