# SPDX-License-Identifier: Apache-2.0
"""Every latency model on the same measurements: what all of them promise, and what each is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas import latency
from edgenas.errors import ProfileError
from edgenas.latency.auto import AutoModel
from edgenas.latency.calibration import scaling
from edgenas.latency.table import TableModel
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace

MEASURED = json.loads((Path(__file__).parent / "host_measured.json").read_text())["networks"]
SPACES = {shape: SearchSpace.load("tiny", shape, 10) for shape in ((1, 28, 28), (3, 32, 32))}
NETWORKS = [SPACES[tuple(m["input_shape"])].blocks(Architecture.parse(m["architecture"])) for m in MEASURED]
Y = np.array([m["int8_ms"] for m in MEASURED])
ALONE: dict[Any, float] = {
    block: 1e-3 + 1e-9 * sum(layer.macs for layer in block.layers()) for n in NETWORKS for block in n
}
NAMES = sorted(latency.MODELS)


def unfitted(name: str) -> Any:
    return TableModel().with_operators(ALONE) if name == "table" else latency.create(name)


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest) -> Any:
    return unfitted(request.param).fit(NETWORKS[:24], Y[:24].tolist())


def test_a_model_comes_back_from_json(fitted: Any) -> None:
    table = json.loads(json.dumps(fitted.to_json()))
    for mine, read in zip(fitted.predict(NETWORKS), latency.load(table).predict(NETWORKS), strict=True):
        assert read == pytest.approx(mine, rel=1e-6)
    assert latency.load(table).to_json() == table


def test_every_key_that_is_missing_is_named(fitted: Any) -> None:
    for key in fitted.to_json():
        table = fitted.to_json()
        del table[key]
        with pytest.raises(ProfileError, match=rf"^b\.json: key '{key}' is missing"):
            latency.load(table, "b.json")


def test_what_is_additive_is_the_bias_and_the_sum_of_the_parts(fitted: Any) -> None:
    table = fitted.to_json()
    if table["model"] not in latency.ADDITIVE:
        with pytest.raises(ProfileError, match="no terms to solve a budget by"):
            latency.load_additive(table)
        return
    model = latency.load_additive(table)
    sums = [model.bias_ms + sum(map(model.block_ms, network)) for network in NETWORKS]
    assert sums == pytest.approx(model.predict(NETWORKS)[0])


@pytest.mark.parametrize("name", NAMES)
def test_latencies_that_are_none_are_refused(name: str) -> None:
    for wrong in (float("nan"), 0.0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="must be positive"):
            unfitted(name).fit(NETWORKS[:2], [1.0, wrong])
    with pytest.raises(ValueError, match="must be positive"):
        unfitted(name).fit(NETWORKS[:2], [1.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="2 architectures, 1 latencies"):
        unfitted(name).fit(NETWORKS[:2], [1.0])
    with pytest.raises(ValueError, match="only after fit"):
        unfitted(name).predict(NETWORKS[:1])


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_is_met_and_nothing_is_claimed(name: str) -> None:
    model = unfitted(name).fit(NETWORKS[:1], [0.5])
    mean, std = model.predict(NETWORKS)
    assert mean[0] == pytest.approx(0.5, rel=0.05)
    assert np.all(np.isfinite(mean))
    assert std[0] >= 0.1


@pytest.mark.parametrize("name", NAMES)
def test_one_network_measured_again_and_again_is_one_network(name: str) -> None:
    model = unfitted(name).fit(NETWORKS[:1] * 20, (0.5 + 0.01 * np.sin(np.arange(20))).tolist())
    mean, std = model.predict(NETWORKS[:1])
    assert mean[0] == pytest.approx(0.5, rel=0.05)
    assert std[0] >= 0.1


@pytest.mark.parametrize("name", ["auto", "gp", "regressed-table"])
def test_constant_latencies_are_predicted_of_what_was_measured(name: str) -> None:
    mean, std = unfitted(name).fit(NETWORKS[:20], [0.5] * 20).predict(NETWORKS[:20])
    assert np.mean(np.abs(mean / 0.5 - 1)) < 0.1
    assert np.all(np.isfinite(std) & (std >= 0))


@pytest.mark.parametrize("name", NAMES)
def test_weights_decide_between_contradictions(name: str) -> None:
    mean, _ = unfitted(name).fit(NETWORKS[:1] * 2, [1.0, 2.0], [1.0, 0.01]).predict(NETWORKS[:1])
    assert mean[0] < 1.1


# The median network takes 0.066 ms. Left are .40 to .56 of the features' error.
@pytest.mark.parametrize("more_ms", [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03])
def test_an_operator_that_is_unlike_its_features_gets_a_term_of_its_own(more_ms: float) -> None:
    extra = np.array([more_ms * sum(b.operator == "separable" and b.kernel == 5 for b in n) for n in NETWORKS])
    model = AutoModel().fit(NETWORKS[:48], (Y + extra)[:48].tolist())
    plain = latency.create("features").fit(NETWORKS[:48], (Y + extra)[:48].tolist())
    truth, held = (Y + extra)[48:], NETWORKS[48:]
    assert model.terms
    mine, general = (np.mean(np.abs(m.predict(held)[0] / truth - 1)) for m in (model, plain))
    assert mine < 0.65 * general


def test_outliers_do_not_move_the_rest() -> None:
    rng = np.random.default_rng(0)
    y = Y * np.exp(0.05 * rng.standard_normal(len(Y)))
    y[::9] *= 2.0
    mean, _ = AutoModel().fit(NETWORKS, y.tolist()).predict(NETWORKS)
    general, _ = latency.create("features").fit(NETWORKS, y.tolist()).predict(NETWORKS)
    assert np.mean(np.abs(mean / Y - 1)) < 0.75 * np.mean(np.abs(general / Y - 1))


def test_a_fitted_model_is_remembered_where_new_measurements_say_nothing() -> None:
    before = AutoModel().fit(NETWORKS, Y.tolist())
    mean, _ = before.fit(NETWORKS[:3], (1.2 * Y[:3]).tolist()).predict(NETWORKS)
    assert np.mean(np.abs(mean / (1.2 * Y) - 1)) < 0.05


def test_the_table_is_hsconas_s_sum_and_bias() -> None:
    model = TableModel().with_operators(ALONE).fit(NETWORKS[:10], Y[:10].tolist())
    sums = np.array([sum(ALONE[block] for block in network) for network in NETWORKS])
    assert model.bias_ms == pytest.approx(np.mean(Y[:10] - sums[:10]))
    assert model.predict(NETWORKS)[0] == pytest.approx(sums + model.bias_ms)
    with pytest.raises(ValueError, match="was not timed alone"):
        TableModel().fit(NETWORKS[:1], [1.0])
    with pytest.raises(ValueError, match="must be positive"):
        TableModel().with_operators({NETWORKS[0][0]: 0.0})


def test_nine_in_ten_held_out_errors_lie_within_the_scaled_interval() -> None:
    rng = np.random.default_rng(0)
    factor = scaling(3.0 * rng.standard_normal(999), np.ones(999))
    assert factor == pytest.approx(3.0, rel=0.1)


def test_importing_the_models_loads_nothing_heavy() -> None:
    modules = ", ".join(path.split(":")[0] for path in latency.MODELS.values())
    code = f"import sys, {modules}; print([m for m in ('scipy', 'sklearn', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
