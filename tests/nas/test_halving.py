# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import inf, nan

import numpy as np
import pytest
from helpers.nas.synthetic_device import SyntheticDevice

from edgenas.costs.limits import Limits
from edgenas.errors import InfeasibleError
from edgenas.nas.admission import fills, nothing_fits
from edgenas.nas.halving import halving
from edgenas.nas.lattice import Edge, Lattice
from edgenas.nas.problem import LAST_RUNG, MIN_FILL, Candidate, Problem, SearchResult
from edgenas.nas.ranking import with_references
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace, Template
from edgenas.training import Outcome
from edgenas.units import MS

SPACE = SearchSpace.load("tiny", (1, 8, 8), 10)
# (seed, part of the range, whether the profile knows nothing of how slow two operators are)
CASES = [(0, 0.2, False), (1, 0.4, True), (2, 0.6, True), (3, 0.2, True)]
EACH = pytest.mark.parametrize("case", CASES, ids=str)


@lru_cache
def searched(
    case: tuple[int, float, bool], again: int = 0
) -> tuple[Problem, SyntheticDevice, SearchResult, tuple[str, ...]]:
    """A search on a device of its own; `again` only makes a second one."""
    seed, part, stale = case
    rng = np.random.default_rng(seed)
    factors = {operator: float(rng.uniform(0.75, 1.4)) for operator in SPACE.operators}
    device = SyntheticDevice(SPACE, seed, factors, {"mbconv": 1.3, "residual": 1.3} if stale else {})
    problem, lines = device.problem(part), []
    return problem, device, halving(problem, device, lines.append), tuple(lines)


def can_fill(device: SyntheticDevice, problem: Problem, template: Template) -> bool:
    """Whether the device has a member of the family that fills the budget, noise aside."""

    def family(index: int, edge: Edge) -> float:
        body = edge.stage and (edge.stage.operator, edge.stage.kernel, edge.stage.expansion)
        return 0.0 if body in (None, (template.operator, 3, template.expansion)) else -inf

    low, high = 0.91 * problem.target_ms, 0.985 * problem.budget_ms
    return device.lattice.best(family, low, high) is not None


@EACH
def test_whatever_is_trained_was_measured_within_the_budget_and_does_not_waste_it(
    case: tuple[int, float, bool],
) -> None:
    problem, device, found, _ = searched(case)
    assert len(found.tried) >= 8
    for candidate in found.tried:
        assert candidate.measured_ms == device.latency(candidate.architecture) <= problem.budget_ms
        assert SPACE.contains(candidate.architecture)
        family = [c for c in found.tried if c.origin == candidate.origin]
        if candidate.measured_ms < MIN_FILL * problem.target_ms:
            assert candidate.template  # a family that ran out of width and blocks, or whose steps are too coarse
            assert family == [candidate]
    assert {a for a, _ in device.trained} == {c.architecture for c in found.tried}
    assert len({c.architecture for c in found.tried}) == len(found.tried)


@EACH
def test_every_family_is_brought_within_the_budget_in_three_waves(case: tuple[int, float, bool]) -> None:
    problem, device, found, lines = searched(case)
    assert sum(line.startswith("wave ") for line in lines) == len(device.waves) <= 6  # 3 at first, 3 for the mutated
    first = device.waves[0]
    assert any(device.latency(a) > problem.budget_ms for a in first) or not case[2]
    for template in SPACE.templates:
        if can_fill(device, problem, template):
            assert any(c.origin == f"template:{template.name}" for c in found.tried), template.name


@EACH
def test_nothing_is_measured_twice(case: tuple[int, float, bool]) -> None:
    _, device, _, _ = searched(case)
    asked = [a for wave in device.waves for a in wave]
    assert len(set(asked)) == len(asked)


@EACH
def test_the_finalists_are_the_best_and_the_best_template_and_the_best_baseline(case: tuple[int, float, bool]) -> None:
    problem, device, found, _ = searched(case)
    assert all(c.measured_ms <= problem.budget_ms for c in found.finalists)
    losses = [c.outcome.train_loss for c in found.finalists if c.outcome]
    assert len(losses) == len(found.finalists)
    assert losses[0] == min(losses)
    fully = {a for a, until in device.trained if until == LAST_RUNG}
    assert {c.architecture for c in found.finalists} <= fully
    assert len(fully) < len(found.tried)  # only the better half was trained to the end
    for baseline in (False, True):
        templates = [c for c in found.tried if c.template and c.baseline == baseline]
        best = min(templates, key=lambda c: c.outcome.train_loss if c.outcome else inf)
        assert best.architecture in {c.architecture for c in found.finalists}


def test_the_same_seed_is_the_same_search() -> None:
    first, second = searched(CASES[0]), searched(CASES[0], again=1)
    assert first[1] is not second[1]
    assert first[2] == second[2]
    assert first[3] == second[3]


def test_another_seed_draws_other_networks() -> None:
    problem, device, found, _ = searched(CASES[0])
    other = halving(replace(problem, seed=9), device)
    random = [{c.architecture for c in f.tried if c.origin == "random"} for f in (found, other)]
    assert random[0] != random[1]


def test_nothing_within_the_budget_names_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SyntheticDevice(SPACE, 0)
    budget = 0.8 * device.latency(device.fastest)
    problem = Problem(SPACE, budget, budget, Limits(), "int8", 0)
    with pytest.raises(InfeasibleError, match="no architecture within") as caught:
        halving(problem, device)
    fastest = caught.value.fields["fastest_ms"]
    assert fastest == pytest.approx(device.latency(device.fastest), rel=0.02)
    assert isinstance(fastest, float)
    assert caught.value.fields["budget_ms"] == budget
    for ms in (budget, fastest, 1.05 * fastest):
        assert MS.format(ms) in caught.value.message
    assert device.trained == []
    monkeypatch.setattr(device, "measure", lambda architectures: [inf for _ in architectures])
    message = nothing_fits(problem, device).message
    assert "the fastest does not fit the board's RAM and flash: choose" in message
    assert "inf" not in message


def test_a_supernets_proposals_are_measured_like_all_others() -> None:
    device = SyntheticDevice(SPACE, 0)
    asked: list[float] = []

    def proposals(lattice: Lattice, high: float) -> list[Architecture]:
        asked.append(high)
        found = lattice.best(lambda index, edge: float(edge.target[1]), 0.95 * high, high)
        return [found] if found else []

    problem = replace(device.problem(0.5), proposals=proposals)
    found = halving(problem, device)
    (mine,) = [c for c in found.tried if c.origin == "supernet"]
    assert fills(problem, mine)
    assert asked[0] == pytest.approx(0.985 * problem.target_ms)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_a_loose_budget_is_filled_up_to_the_slowest_at_whatever_speed_the_board_has_by_now(speed: float) -> None:
    device = SyntheticDevice(SPACE, 0)
    slowest = device.latency(device.slowest)
    problem = replace(device.problem(0.5), budget_ms=10 * slowest, target_ms=speed * slowest, loose=True)
    found = halving(problem, device)
    now = problem.on(problem.lattice(device.model()))
    assert {c.origin for c in found.tried} >= {"random", *(f"template:{t.name}" for t in SPACE.templates)}
    for candidate in found.tried:
        assert candidate.template or fills(now, candidate)
    assert max(c.measured_ms for c in found.tried) > 0.97 * slowest


def test_a_network_that_diverged_is_the_worst() -> None:
    device = SyntheticDevice(SPACE, 0)
    lost: set[Architecture] = set()
    train = device.train

    def diverging(architectures: list[Architecture], until: float) -> list[Outcome]:
        if not lost:
            lost.update(architectures[::3])
        return [
            replace(o, train_loss=nan) if a in lost else o
            for a, o in zip(architectures, train(architectures, until), strict=True)
        ]

    device.train = diverging  # type: ignore[assignment, method-assign]
    found = halving(device.problem(0.5), device)
    trained = [c for c in found.tried if c.architecture not in lost]
    assert [c.architecture for c in found.tried[: len(trained)]] == [c.architecture for c in trained]
    losses = [c.outcome.train_loss for c in trained if c.outcome]
    assert losses == sorted(losses)
    assert found.finalists[0].architecture not in lost


def test_references_join_finalists_that_lack_them() -> None:
    device = SyntheticDevice(SPACE, 0)
    problem = device.problem(0.5)
    (drawn,) = [device.lattice.best(lambda i, e: 0.0, 0.95 * problem.target_ms, 0.98 * problem.target_ms)]
    assert drawn is not None
    mine = Candidate(drawn, "supernet", measured_ms=device.latency(drawn))
    found = with_references(problem, device, SearchResult((mine,), (mine,)), lambda line: None)
    assert found.finalists[0] == mine
    assert [(c.template, c.baseline) for c in found.finalists[1:]] == [(True, False), (True, True)]
    assert all(c.measured_ms <= problem.budget_ms for c in found.finalists)
    again = with_references(problem, device, found, lambda line: None)
    assert again is found
