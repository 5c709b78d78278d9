# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from helpers.nas.synthetic_device import SyntheticDevice

from edgenas.nas.problem import Candidate, mutate, operator_weight
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.training import Outcome

SPACE = SearchSpace.load("tiny", (1, 8, 8), 10)


@pytest.fixture(scope="module")
def device() -> SyntheticDevice:
    return SyntheticDevice(SPACE, 0, noise=0.0)


def test_a_child_is_another_network_within_the_latency_and_of_the_space(device: SyntheticDevice) -> None:
    high = device.between(0.5)
    rng = np.random.default_rng(0)
    parent = device.lattice.sample(rng, 0.9 * high, high, lambda index, edge: 1.0)
    assert parent is not None
    kept = []
    for _ in range(10):
        child = mutate(device.lattice, rng, parent, 0.96 * high, high)
        assert child is not None
        assert child != parent
        assert SPACE.contains(child)
        assert 0.955 * high <= device.lattice.price(child) <= high
        bodies = [(a.operator, a.kernel, a.expansion) for a in child.stages]
        kept += [b == (p.operator, p.kernel, p.expansion) for b, p in zip(bodies, parent.stages, strict=True)]
    strangers = [device.lattice.sample(rng, 0.96 * high, high, operator_weight(device.lattice)) for _ in range(10)]
    alike = [
        (s.operator, s.kernel, s.expansion) == (p.operator, p.kernel, p.expansion)
        for a in strangers
        if a is not None
        for s, p in zip(a.stages, parent.stages, strict=True)
    ]
    assert np.mean(kept) > np.mean(alike) + 0.2


def test_nothing_can_be_bred_where_nothing_lies(device: SyntheticDevice) -> None:
    parent, fastest = device.slowest, device.lattice.price(device.fastest)
    assert mutate(device.lattice, np.random.default_rng(0), parent, 0.5 * fastest, 0.9 * fastest) is None


def test_the_same_generator_breeds_the_same_child(device: SyntheticDevice) -> None:
    high = device.between(0.5)
    parent = device.lattice.best(lambda index, edge: 0.0, 0.9 * high, high)
    assert parent is not None
    children = [mutate(device.lattice, np.random.default_rng(5), parent, 0.9 * high, high) for _ in range(2)]
    assert children[0] == children[1]


def test_operators_have_the_same_weight_however_many_variants_they_have(device: SyntheticDevice) -> None:
    weight = operator_weight(device.lattice)
    assert {weight(-1, edge) for edge in device.lattice.stem} == {1.0}
    total: Counter[str] = Counter()
    bodies = set()
    for edge in device.lattice.stages[0]:
        stage = edge.stage
        assert stage is not None
        body = (stage.operator, stage.blocks, stage.kernel, stage.expansion)
        if body not in bodies:
            bodies.add(body)
            total[stage.operator] += weight(0, edge)  # type: ignore[assignment]
    assert set(total) == set(SPACE.operators)
    variants = Counter(body[0] for body in SPACE.stage_bodies())
    seen = Counter(body[0] for body in bodies)
    assert all(total[name] == pytest.approx(seen[name] / variants[name]) for name in total)


def test_a_candidate_keeps_what_it_was() -> None:
    architecture = Architecture.parse("stem-8s1/plain-8x1/plain-16x1/plain-32x1")
    candidate = Candidate(architecture, "template:plain", True, 1.0, 1.1)
    outcome = Outcome("a", 3, 0.5, 0.6, 0.9, 1.0)
    trained = candidate.trained(outcome)
    assert candidate.outcome is None
    assert trained == Candidate(architecture, "template:plain", True, 1.0, 1.1, outcome)
    assert trained.template
    assert not Candidate(architecture, "random").template
