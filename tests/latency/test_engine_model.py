# SPDX-License-Identifier: Apache-2.0
"""The engine's latency model on counts of instructions, taken on an emulated Cortex-M4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas import latency
from edgenas.costs import engine_plan
from edgenas.errors import ProfileError
from edgenas.latency.engine import START, EngineModel
from edgenas.latency.features import FeatureModel
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace

COUNTED = json.loads((Path(__file__).parent / "mps2_an386_counted.json").read_text())["networks"]
SPACE = SearchSpace.load("tiny", (1, 28, 28), 10)
NETWORKS: list[tuple[Block, ...]] = [SPACE.blocks(Architecture.parse(m["architecture"])) for m in COUNTED]
Y = np.array([m["instructions"] / 1e6 for m in COUNTED])


def unseen(model: Any, seed: int) -> Any:
    """Relative errors on networks that the model was not fitted on."""
    order = np.random.default_rng(seed).permutation(len(Y))
    fit, rest = order[:48], order[48:]
    mean, _ = model.fit([NETWORKS[i] for i in fit], Y[fit].tolist()).predict([NETWORKS[i] for i in rest])
    return mean / Y[rest] - 1


def test_counted_networks_predict_the_others_better_than_by_the_features_of_any_engine() -> None:
    mine = np.concatenate([unseen(EngineModel(), seed) for seed in range(3)])
    general = np.concatenate([unseen(FeatureModel(), seed) for seed in range(3)])
    assert np.sqrt(np.mean(mine**2)) < 0.003
    assert np.sqrt(np.mean(mine**2)) < np.sqrt(np.mean(general**2)) / 10


def test_few_counted_networks_predict_the_others_within_a_percent() -> None:
    errors = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(Y))
        known, others = order[:12], order[12:]
        fitted = EngineModel().fit([NETWORKS[i] for i in known], Y[known].tolist())
        mean, _ = fitted.predict([NETWORKS[i] for i in others])
        errors.append(np.mean(np.abs(mean / Y[others] - 1)))
    assert np.mean(errors) < 0.008


def test_networks_without_depthwise_convolutions_are_predicted_to_half_a_percent() -> None:
    dense = [all(layer.kind != "depthwise" for block in n for layer in block.layers()) for n in NETWORKS]
    known = np.flatnonzero(dense)
    fit, rest = known[::2], known[1::2]
    mean, _ = EngineModel().fit([NETWORKS[i] for i in fit], Y[fit].tolist()).predict([NETWORKS[i] for i in rest])
    assert np.max(np.abs(mean / Y[rest] - 1)) < 0.005


def test_relations_of_the_start_are_nearly_those_that_are_fitted() -> None:
    mean, std = EngineModel().fit(NETWORKS[:1], Y[:1].tolist()).predict(NETWORKS[1:])
    assert np.sqrt(np.mean((mean / Y[1:] - 1) ** 2)) < 0.08
    assert np.all(std >= 0.3 * mean)


def test_the_mean_is_the_bias_and_the_sum_of_the_blocks() -> None:
    model = EngineModel().fit(NETWORKS, Y.tolist())
    mean, _ = model.predict(NETWORKS[:5])
    assert mean == pytest.approx([model.bias_ms + sum(map(model.block_ms, n)) for n in NETWORKS[:5]])
    assert all(price >= 0 for price in model.unit_costs)


def test_it_comes_back_from_json_and_says_what_is_missing() -> None:
    model = EngineModel().fit(NETWORKS[:12], Y[:12].tolist())
    table = json.loads(json.dumps(model.to_json()))
    assert latency.load(table) == model
    table["prices"].pop("conv.blocks")
    with pytest.raises(ProfileError, match=r"f\.json: key 'conv\.blocks' is missing"):
        latency.load(table, "f.json")
    with pytest.raises(ProfileError, match="key 'prices' is missing"):
        latency.load({"model": "engine"})
    assert set(START) == set(model.to_json()["prices"])


def test_a_profile_from_before_a_loop_was_known_is_read_and_learns_its_price() -> None:
    table = EngineModel().fit(NETWORKS[:12], Y[:12].tolist()).to_json()
    for name in ("conv.turns", "depthwise.odd.k3s1"):
        table["prices"].pop(name)
    old = latency.load(table)
    assert isinstance(old, EngineModel)
    assert np.mean(np.abs(old.predict(NETWORKS)[0] / Y - 1)) < 0.02
    model = old.fit(NETWORKS, Y.tolist())
    assert model.to_json()["prices"]["depthwise.odd.k3s1"] > 0
    mean, _ = model.predict(NETWORKS)
    assert np.mean(np.abs(mean / Y - 1)) < 0.001


def test_callers_bugs_are_value_errors() -> None:
    with pytest.raises(ValueError, match="only after fit"):
        EngineModel().predict(NETWORKS[:1])
    with pytest.raises(ValueError, match="only after fit"):
        EngineModel().block_ms(NETWORKS[0][0])
    with pytest.raises(ValueError, match="1 architectures, 2 latencies"):
        EngineModel().fit(NETWORKS[:1], [1.0, 2.0])


def test_what_a_plan_takes_is_estimated_from_above_and_closely() -> None:
    for blocks, exact in zip(NETWORKS, COUNTED, strict=True):
        assert exact["arena_bytes"] <= engine_plan.arena_bytes(blocks) < 1.3 * exact["arena_bytes"]
        assert exact["plan_bytes"] <= engine_plan.flash_bytes(blocks) < 1.2 * exact["plan_bytes"]
