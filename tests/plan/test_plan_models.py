# SPDX-License-Identifier: Apache-2.0
"""Whole networks: the plan, run by the engine, gives what TFLite Micro gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers.plan.engine_here import simulate
from helpers.tflite_builder import Op, T, constant, model, run

from firmware_tools.plan import compile_plan
from firmware_tools.plan import operators as plan_operators
from firmware_tools.plan.compile import Plan
from firmware_tools.plan.encode import decode, encode

if TYPE_CHECKING:
    from edgenas.artifacts.artifact import Artifact

MLPERF_TINY = Path(__file__).resolve().parents[3] / "shared" / "data" / "mlperf_tiny"
# What is promised of each: arena bytes, and plan bytes beyond 1.05 x (weights and biases).
MODELS = {"kws_ref_model": 18_100, "pretrainedResnet_quant": 43_900, "ad01_int8": 2_080}


def inputs(shape: tuple[int, ...], zero_point: int) -> npt.NDArray[np.int8]:
    """Noise, constants, and smooth ones as sensors give them."""
    rng = np.random.default_rng(0)
    size = int(np.prod(shape))
    noise = rng.integers(-128, 128, (4, size))
    time = np.arange(size) / size
    waves = [100 * np.sin(2 * np.pi * f * time + f) + zero_point / 4 + rng.normal(0, 4, size) for f in (1, 3, 7.5, 20)]
    steady = np.stack([np.full(size, value) for value in (-128, zero_point, 127)])
    return np.clip(np.concatenate([noise, waves, steady]), -128, 127).astype(np.int8).reshape(-1, *shape)


def check(tflite: bytes) -> Plan:
    plan = compile_plan(tflite)
    values = inputs(plan.input.shape, plan.input.zero_point)
    expected = np.stack([run(tflite, x).reshape(-1) for x in values])
    np.testing.assert_array_equal(simulate(plan.blob, values), expected)
    assert len(np.unique(expected, axis=0)) > 4  # the inputs do make a difference
    assert encode(decode(plan.blob)) == plan.blob
    assert decode(plan.blob).operators == tuple(operator.record for operator in plan.operators)
    assert max(operator.live_bytes for operator in plan.operators) <= plan.arena_bytes
    return plan


@pytest.mark.parametrize("name", MODELS)
def test_mlperf_tiny(name: str) -> None:
    path = MLPERF_TINY / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not on this computer")
    plan = check(path.read_bytes())
    assert plan.arena_bytes <= MODELS[name]
    records = [operator.record for operator in plan.operators]
    biases = sum(len(record.requant.bias) for record in records if isinstance(record, WITH_WEIGHTS))
    weights = sum(operator.weight_bytes for operator in plan.operators)
    assert len(plan.blob) <= 1.05 * (weights + biases) + 4096


WITH_WEIGHTS = (plan_operators.Conv, plan_operators.Dense, plan_operators.Depthwise)


def test_a_model_of_our_own_converter(artifact: Artifact) -> None:
    plan = check(artifact.tflite)
    said = artifact.manifest["input"]
    assert list(plan.input.shape) == said["shape"]
    assert (plan.input.scale, plan.input.zero_point) == pytest.approx((said["scale"], said["zero_point"]))


def branches() -> bytes:
    """An inverted bottleneck with a residual, and two branches that are joined."""
    rng = np.random.default_rng(2)
    options = {"StrideH": 1, "StrideW": 1, "Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
    tensors = [T((1, 9, 7, 6), 0.05, -3)]
    ops: list[Op] = []

    def add(kind: str, sources: list[int], out: T, constants: list[T], **more: Any) -> int:
        first = len(tensors)
        tensors.extend([*constants, out])
        inputs = [*sources, *range(first, first + len(constants))]
        ops.append(Op(kind, inputs, [len(tensors) - 1], more))
        return len(tensors) - 1

    def weights(*shape: int, axis: int = 0) -> T:
        return constant(rng.integers(-127, 128, shape), np.full(shape[axis], 0.01).tolist(), axis=axis)

    wide = T((1, 9, 7, 13), 0.04, -20)
    a = add("CONV_2D", [0], wide, [weights(13, 1, 1, 6)], **options, FusedActivationFunction=3)
    b = add("DEPTHWISE_CONV_2D", [a], replace(wide), [weights(1, 3, 3, 13, axis=3)], **options, DepthMultiplier=1)
    c = add("CONV_2D", [b], T((1, 9, 7, 6), 0.06, 4), [weights(6, 1, 1, 13)], **options)
    d = add("ADD", [0, c], T((1, 9, 7, 6), 0.07, 1), [])
    m = add("MEAN", [d], T((1, 1, 1, 6), 0.05, 0), [constant([1, 2], None, "int32")], KeepDims=True)
    s = add("LOGISTIC", [m], T((1, 1, 1, 6), 1 / 256, -128), [])
    d = add("MUL", [s, d], T((1, 9, 7, 6), 0.07, 1), [])  # squeeze and excite
    e = add("CONV_2D", [d], T((1, 9, 7, 5), 0.05, 2), [weights(5, 3, 3, 6)], **options)
    f = add("MAX_POOL_2D", [d], T((1, 9, 7, 6), 0.07, 1), [], **options | {"FilterHeight": 3, "FilterWidth": 3})
    g = add("QUANTIZE", [f], T((1, 9, 7, 6), 0.05, 2), [])
    h = add("CONCATENATION", [e, g], T((1, 9, 7, 11), 0.05, 2), [], Axis=3)
    i = add("MEAN", [h], T((1, 11), 0.03, 0), [constant([1, 2], None, "int32")], KeepDims=False)
    j = add("FULLY_CONNECTED", [i], T((1, 4), 0.02, -8), [constant(rng.integers(-127, 128, (4, 11)), 0.01)])
    for op in ops:
        if "MAX" in op.kind:
            op.options = {key: value for key, value in op.options.items() if not key.startswith("Dilation")}
    return model(tensors, ops, [0], [j])


def test_branches_and_residuals() -> None:
    plan = check(branches())
    assert [operator.kind for operator in plan.operators].count("copy") == 2
    # Far below the sum of all tensors: what is no longer needed makes room.
    assert plan.arena_bytes < 9 * 7 * (13 + 6 + 11) + 1000
