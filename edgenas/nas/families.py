# SPDX-License-Identifier: Apache-2.0
"""Families of candidates: each proposes architectures for a latency, from one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import Candidate, Problem, mutate, operator_weight
from edgenas.nas.scaling import scale_to_budget
from edgenas.spaces.architecture import Architecture

Family = Callable[[Lattice, float], list[Candidate]]  # (lattice, highest latency) -> candidates of at most that latency


def templates(problem: Problem) -> list[Family]:
    """One family for each of the space's templates: the template scaled to the latency."""

    def family(index: int) -> Family:
        template = problem.space.templates[index]

        def propose(lattice: Lattice, aim: float) -> list[Candidate]:
            origin = f"template:{template.name}"
            return [Candidate(a, origin, template.baseline) for a in scale_to_budget(lattice, template, aim)]

        return propose

    return [family(index) for index in range(len(problem.space.templates))]


def supernet(problem: Problem) -> Family:
    """The proposals of a cached supernet; empty without one."""
    return lambda lattice, aim: [Candidate(a, "supernet") for a in problem.proposals(lattice, aim)]


def random(rng: np.random.Generator, n: int) -> Family:
    """At most `n` random architectures from 96 to 100 % of the latency; operators have equal chances."""

    def propose(lattice: Lattice, aim: float) -> list[Candidate]:
        drawn = [lattice.sample(rng, 0.96 * aim, aim, operator_weight(lattice)) for _ in range(n)]
        return [Candidate(a, "random") for a in drawn if a is not None]

    return propose


def mutations(rng: np.random.Generator, parents: Sequence[Candidate], n: int) -> Family:
    """At most `n` variants of `parents` in turn, from 96 to 100 % of the latency."""

    def propose(lattice: Lattice, aim: float) -> list[Candidate]:
        chosen = [parents[i % len(parents)].architecture for i in range(n)]
        drawn: list[Architecture | None] = [mutate(lattice, rng, a, 0.96 * aim, aim) for a in chosen]
        return [Candidate(a, "mutated") for a in drawn if a is not None]

    return propose
