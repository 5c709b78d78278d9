# SPDX-License-Identifier: Apache-2.0
"""Operators' latencies: the fit, and both ways to get them from real runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tflite_builder import Op, T, constant, model
from hypothesis import given
from hypothesis import strategies as st

from edgenas.measuring.operator_profile import fit, time_layers
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan

_TIMES = st.lists(st.floats(1e-3, 100), min_size=1, max_size=40)


@given(_TIMES, st.floats(1e-3, 1000))
def test_the_fitted_operators_sum_to_the_whole(alone: list[float], whole: float) -> None:
    bias, fitted = fit(alone, whole)
    assert sum(fitted) == pytest.approx(whole)
    assert all(value >= 0 for value in fitted)
    for value, before in zip(fitted, alone, strict=True):
        assert value == max(0.0, before - bias)


@given(_TIMES, st.floats(1e-3, 1000))
def test_with_operators_missing_the_others_are_not_stretched(alone: list[float], whole: float) -> None:
    bias, fitted = fit(alone, whole, complete=False)
    assert bias >= 0
    assert sum(fitted) == pytest.approx(min(whole, sum(alone)))


def test_nothing_to_fit() -> None:
    assert fit([], 1.0, complete=False) == (0.0, [])


def _net() -> bytes:
    """int8: PAD and a convolution, an ADD of input and result, a dense layer."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> T:
        return constant(rng.integers(-127, 128, shape), [0.01] * shape[0])

    def bias(count: int) -> T:
        return constant(np.zeros(count), [0.001] * count, "int32")

    tensors = [
        T((1, 12, 12, 8), 0.1),
        constant([[0, 0], [1, 1], [1, 1], [0, 0]], None, "int32"),
        T((1, 14, 14, 8), 0.1),
        weights(8, 3, 3, 8),
        bias(8),
        T((1, 12, 12, 8), 0.1),
        T((1, 12, 12, 8), 0.1),
        constant([1, 1152], None, "int32"),
        T((1, 1152), 0.1),
        weights(4, 1152),
        bias(4),
        T((1, 4), 0.1),
    ]
    strides = {"StrideH": 1, "StrideW": 1, "Padding": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    ops = [
        Op("PAD", (0, 1), (2,)),
        Op("CONV_2D", (2, 3, 4), (5,), strides),
        Op("ADD", (0, 5), (6,)),
        Op("RESHAPE", (6, 7), (8,)),
        Op("FULLY_CONNECTED", (8, 9, 10), (11,)),
    ]
    return model(tensors, ops, (0,), (11,))


@pytest.mark.parametrize("runtime", ["litert", "tflite"])
def test_operators_of_a_tflite_runtime(runtime: str, tmp_path: Path) -> None:
    url = "local:"
    if runtime == "tflite":
        python = Path(__file__).resolve().parents[2] / ".venv-tflite" / "bin" / "python"
        if not python.exists():
            pytest.skip("no tflite-runtime: .venv-tflite is not there (make setup-tests, Python 3.11)")
        url = f"local:?python={python}"
    calls: list[tuple[int, int]] = []
    with connect(url, home=tmp_path) as device:
        plan = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)
        timing, layers = time_layers(device, _net(), plan, lambda i, n: calls.append((i, n)))
    assert timing.conditions.runtime == runtime
    assert calls[-1] == (10, 10)  # the whole and four models of operators, in two processes
    pad, *others = layers.layers
    assert (pad.name, pad.latency_ms, layers.share(pad)) == ("PAD", None, None)
    assert "is timed with 1 CONV_2D" in pad.note
    assert [layer.name for layer in others] == ["CONV_2D", "ADD", "RESHAPE", "FULLY_CONNECTED"]
    assert others[0].macs == 12 * 12 * 8 * 3 * 3 * 8
    assert sum(layer.latency_ms or 0 for layer in others) == pytest.approx(timing.latency_ms)
    assert layers.rest_ms == pytest.approx(0, abs=1e-9)
    table = json.loads(json.dumps(layers.to_json(), allow_nan=False))
    assert sum(operator["share"] or 0 for operator in table["operators"]) == pytest.approx(1)
