# SPDX-License-Identifier: Apache-2.0
"""Every operator, lowered and run by the engine, gives what TFLite Micro's reference kernel gives: to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.plan.engine_here import simulate
from helpers.tflite_builder import Op, T, constant, model, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_tools.plan import compile_plan
from firmware_tools.plan.encode import decode, encode

pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this Python")

points = st.one_of(st.integers(-128, 127), st.sampled_from([-128, 127, 0]))
scales = st.floats(0.002, 3.0).map(np.float32).map(float)
activations = st.integers(0, 3)
sizes = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)
few = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def check(tflite: bytes, shape: tuple[int, ...], seed: int, kinds: tuple[str, ...] | None = None) -> None:
    """Random inputs, and the extreme ones, through the plan and through the oracle."""
    plan = compile_plan(tflite)
    if kinds is not None:
        assert tuple(operator.kind for operator in plan.operators) == kinds
    assert encode(decode(plan.blob)) == plan.blob
    random = np.random.default_rng(seed).integers(-128, 128, (2, *shape)).astype(np.int8)
    inputs = np.concatenate([random, np.full((1, *shape), -128, np.int8), np.full((1, *shape), 127, np.int8)])
    expected = np.stack([run(tflite, x).reshape(-1) for x in inputs])
    np.testing.assert_array_equal(simulate(plan.blob, inputs), expected)


def window(stride_h: int, stride_w: int, padding: int, activation: int, **more: int) -> dict[str, int]:
    return {
        "StrideH": stride_h,
        "StrideW": stride_w,
        "Padding": padding,
        "FusedActivationFunction": activation,
        **more,
    }


def weights(rng: np.random.Generator, shape: tuple[int, ...], axis: int, per_channel: bool) -> T:
    channels = shape[axis]
    values = rng.integers(-127, 128, shape) if rng.random() < 0.8 else rng.choice([-127, 127], shape)
    spread = np.exp(rng.uniform(-7, 0, channels if per_channel else 1)).astype(np.float32)
    return constant(values, spread.tolist(), axis=axis)


def bias(rng: np.random.Generator, channels: int, scale: float, filters: T) -> T:
    product = (scale * np.atleast_1d(np.array(filters.scale))).tolist()  # what the reference demands, nearly
    return constant(rng.integers(-(2**17), 2**17, channels), product, "int32")


def out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return -(-size // stride) if padding == 0 else -((kernel - 1 - size) // stride)


def output_scale(rng: np.random.Generator, tensor: T, scale: float, sums: int) -> float:
    """Mostly one with which outputs are neither all equal nor all clamped."""
    typical = scale * float(np.mean(tensor.scale)) * 5000 * np.sqrt(sums)
    extreme = 12 if rng.random() < 0.2 else 3  # shifts to the left, and far to the right
    return float(np.float32(typical / 40 * np.exp(rng.uniform(-extreme, extreme))))


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    padding = draw(st.integers(0, 1))
    pairs = []
    for _ in range(2):
        size, kernel = draw(st.integers(1, 11)), draw(st.integers(1, 5))
        pairs.append((max(size, kernel) if padding else size, kernel, draw(st.integers(1, 3))))
    return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), (pairs[0][2], pairs[1][2]), padding


@few
@given(windows(), sizes, sizes, points, points, scales, activations, st.booleans(), st.booleans(), seeds)
def test_conv(
    view: Any, in_c: int, out_c: int, zp: int, out_zp: int, scale: float, act: int, each: bool, biased: bool, seed: int
) -> None:
    size, kernel, stride, padding = view
    rng = np.random.default_rng(seed)
    filters = weights(rng, (out_c, *kernel, in_c), 0, each)
    out = [out_size(*three, padding) for three in zip(size, kernel, stride, strict=True)]
    tensors = [
        T((1, *size, in_c), scale, zp),
        T((1, *out, out_c), output_scale(rng, filters, scale, kernel[0] * kernel[1] * in_c), out_zp),
        filters,
        bias(rng, out_c, scale, filters),
    ]
    options = window(*stride, padding, act, DilationWFactor=1, DilationHFactor=1)
    op = Op("CONV_2D", [0, 2, 3] if biased else [0, 2], [1], options)
    check(model(tensors, [op], [0], [1]), (1, *size, in_c), seed, ("conv",))


@few
@given(windows(), sizes, st.integers(1, 3), points, points, scales, activations, st.booleans(), seeds)
def test_depthwise(
    view: Any, in_c: int, times: int, zp: int, out_zp: int, scale: float, act: int, each: bool, seed: int
) -> None:
    size, kernel, stride, padding = view
    # The reference takes one stride for both ways.
    stride = (stride[0], stride[0])
    rng = np.random.default_rng(seed)
    filters = weights(rng, (1, *kernel, in_c * times), 3, each)
    out = [out_size(*three, padding) for three in zip(size, kernel, stride, strict=True)]
    tensors = [
        T((1, *size, in_c), scale, zp),
        T((1, *out, in_c * times), output_scale(rng, filters, scale, kernel[0] * kernel[1]), out_zp),
        filters,
        bias(rng, in_c * times, scale, filters),
    ]
    options = window(*stride, padding, act, DilationWFactor=1, DilationHFactor=1, DepthMultiplier=times)
    op = Op("DEPTHWISE_CONV_2D", [0, 2, 3], [1], options)
    check(model(tensors, [op], [0], [1]), (1, *size, in_c), seed, ("depthwise",))


@few
@given(st.integers(1, 70), st.integers(1, 19), st.integers(1, 5), points, points, scales, activations, seeds)
def test_dense(inputs: int, outputs: int, rows: int, zp: int, out_zp: int, scale: float, act: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    filters = weights(rng, (outputs, inputs), 0, bool(rng.integers(2)))
    tensors = [
        T((1, rows, inputs), scale, zp),
        T((1, rows, outputs), output_scale(rng, filters, scale, inputs), out_zp),
        filters,
        bias(rng, outputs, scale, filters),
    ]
    op = Op("FULLY_CONNECTED", [0, 2, 3], [1], {"FusedActivationFunction": act, "KeepNumDims": True})
    check(model(tensors, [op], [0], [1]), (1, rows, inputs), seed, ("dense",) if rows == 1 else ("conv",))


@few
@given(
    st.sampled_from(["ADD", "MUL"]), sizes, sizes, sizes, st.sampled_from(["tensor", "vector", "scalar", "itself"]),
    st.booleans(), points, points, points, scales, scales, activations, seeds,
)  # fmt: skip
def test_add_and_mul(
    kind: str, height: int, width: int, channels: int, form: str, swap: bool,
    zp: int, zp2: int, out_zp: int, scale: float, scale2: float, act: int, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    shape = (1, height, width, channels)
    other = {"tensor": shape, "vector": (channels,), "scalar": (1,), "itself": shape}[form]
    out = max(scale, scale2) if kind == "ADD" else scale * scale2 * 60
    tensors = [
        T(shape, scale, zp),
        T(shape, float(np.float32(out * np.exp(rng.uniform(-1, 2)))), out_zp),
        T(other, scale2, zp2, data=rng.integers(-128, 128, other).astype(np.int8)),
    ]
    operands = [0, 0] if form == "itself" else [2, 0] if swap else [0, 2]
    op = Op(kind, operands, [1], {"FusedActivationFunction": act})
    check(model(tensors, [op], [0], [1]), shape, seed, (kind.lower(),))


@few
@given(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]), windows(), sizes, points, scales, activations, seeds)
def test_pools(kind: str, view: Any, channels: int, zp: int, scale: float, act: int, seed: int) -> None:
    size, kernel, stride, padding = view
    out = [out_size(*three, padding) for three in zip(size, kernel, stride, strict=True)]
    tensors = [T((1, *size, channels), scale, zp), T((1, *out, channels), scale, zp)]
    options = window(*stride, padding, act, FilterHeight=kernel[0], FilterWidth=kernel[1])
    check(model(tensors, [Op(kind, [0], [1], options)], [0], [1]), (1, *size, channels), seed)


@few
@given(sizes, sizes, sizes, st.booleans(), st.booleans(), points, points, scales, scales, seeds)
def test_mean(
    height: int, width: int, channels: int, keep: bool, same: bool, zp: int, zp2: int, s: float, s2: float, seed: int
) -> None:
    shape = (1, height, width, channels)
    out = T((1, 1, 1, channels) if keep else (1, channels), s if same else s2, zp if same else zp2)
    op = Op("MEAN", [0, 2], [1], {"KeepDims": keep})
    check(model([T(shape, s, zp), out, constant([1, 2], None, "int32")], [op], [0], [1]), shape, seed, ("mean",))


@few
@given(st.sampled_from(["PAD", "PADV2"]), st.lists(st.tuples(sizes, st.integers(0, 2), st.integers(0, 2)),
       min_size=3, max_size=3), points, scales, seeds)  # fmt: skip
def test_pad(kind: str, axes: list[tuple[int, int, int]], zp: int, scale: float, seed: int) -> None:
    shape = (1, *(size for size, _, _ in axes))
    out = (1, *(size + before + after for size, before, after in axes))
    pads = constant([[0, 0], *([before, after] for _, before, after in axes)], None, "int32")
    value = T((1,), scale, zp, data=np.array([seed % 256 - 128], np.int8))
    op = Op(kind, [0, 2, 3] if kind == "PADV2" else [0, 2], [1])
    check(model([T(shape, scale, zp), T(out, scale, zp), pads, value], [op], [0], [1]), shape, seed)


@few
@given(
    st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D"]),
    st.lists(st.tuples(st.integers(5, 9), st.integers(1, 5), *[st.integers(0, 3)] * 2), min_size=2, max_size=2),
    st.integers(1, 3), points, scales, seeds,
)  # fmt: skip
def test_a_pad_in_front_of_a_convolution(
    kind: str, axes: list[tuple[int, int, int, int]], stride: int, zp: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    height, width = (size for size, *_ in axes)
    padded = [size + before + after for size, _, before, after in axes]
    kernel = [kernel for _, kernel, *_ in axes]
    pads = constant([[0, 0], *([before, after] for *_, before, after in axes), [0, 0]], None, "int32")
    deep = kind == "CONV_2D"
    filters = weights(rng, (5, *kernel, 5) if deep else (1, *kernel, 5), 0 if deep else 3, True)
    out = [out_size(size, k, stride, 1) for size, k in zip(padded, kernel, strict=True)]
    tensors = [
        T((1, height, width, 5), scale, zp),
        T((1, *padded, 5), scale, zp),
        T((1, *out, 5), output_scale(rng, filters, scale, kernel[0] * kernel[1] * (5 if deep else 1)), 7),
        *(pads, filters, bias(rng, 5, scale, filters)),
    ]
    options = window(stride, stride, 1, 0, DilationWFactor=1, DilationHFactor=1)
    ops = [Op("PAD", [0, 3], [1]), Op(kind, [1, 4, 5], [2], options if deep else {**options, "DepthMultiplier": 1})]
    folded = all(max(before, after) < k for _, k, before, after in axes)
    unpadded = all(before == after == 0 for _, _, before, after in axes)
    name = "conv" if deep else "depthwise"
    kinds = (name,) if folded else ("copy", name) if unpadded else ("fill", "copy", name)
    check(model(tensors, ops, [0], [2]), (1, height, width, 5), seed, kinds)


@few
@given(st.integers(1, 3), st.lists(sizes, min_size=3, max_size=3), st.integers(1, 3), points, scales, seeds)
def test_concatenation(axis: int, shape: list[int], times: int, zp: int, scale: float, seed: int) -> None:
    whole = (1, *shape)
    out = [*whole]
    out[axis] *= times + 1
    low = Op("RELU6", [0], [2])
    op = Op("CONCATENATION", [2, *[0] * times], [1], {"Axis": axis - (4 if seed % 2 else 0)})
    tensors = [T(whole, scale, zp), T(out, scale, zp), T(whole, scale, zp)]
    check(model(tensors, [low, op], [0], [1]), whole, seed)


@few
@given(st.integers(1, 5), st.integers(1, 20), points, st.floats(0.001, 4), st.floats(0.25, 2), seeds)
def test_softmax(rows: int, depth: int, zp: int, scale: float, beta: float, seed: int) -> None:
    tensors = [T((1, rows, depth), scale, zp), T((1, rows, depth), 1 / 256, -128)]
    check(model(tensors, [Op("SOFTMAX", [0], [1], {"Beta": beta})], [0], [1]), (1, rows, depth), seed, ("softmax",))


UNARY = ("RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "QUANTIZE")


@settings(few, max_examples=100)
@given(st.sampled_from(UNARY), points, points, scales, scales, st.sampled_from([0.1, 0.2, 0.01, -0.3, 1.5]))
def test_functions_of_one_value(kind: str, zp: int, out_zp: int, scale: float, out: float, alpha: float) -> None:
    out, out_zp = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(kind, (out, out_zp))
    if kind == "HARD_SWISH":
        out = min(max(out, scale / 100), scale * 200)
    op = Op(kind, [0], [1], {"Alpha": alpha} if kind == "LEAKY_RELU" else {})
    tflite = model([T((1, 256), scale, zp), T((1, 256), out, out_zp)], [op], [0], [1])
    every = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    np.testing.assert_array_equal(simulate(compile_plan(tflite).blob, every), run(tflite, every))


def test_a_scale_at_which_the_order_of_roundings_shows() -> None:
    # 225 x 1.7 x 0.1 / 0.3 is 127.5: whether products are rounded to floats decides.
    tflite = model(
        [T((256, 1), 1.7), T((256, 3), 0.3), constant([[1], [3], [5]], 0.1)],
        [Op("FULLY_CONNECTED", [0, 2, -1], [1])],
        *([0], [1]),
    )
    every = np.arange(-128, 128).astype(np.int8)
    # The batch is 256 there; the plan takes one row at a time.
    one = model(
        [T((1, 1), 1.7), T((1, 3), 0.3), constant([[1], [3], [5]], 0.1)],
        [Op("FULLY_CONNECTED", [0, 2, -1], [1])],
        *([0], [1]),
    )
    expected = run(tflite, every.reshape(256, 1))
    np.testing.assert_array_equal(simulate(compile_plan(one).blob, every.reshape(256, 1, 1)), expected)


@pytest.mark.parametrize("kind", ["RESHAPE", "SQUEEZE", "EXPAND_DIMS"])
def test_a_reshape_from_input_to_output_is_a_copy(kind: str) -> None:
    shape, out = {"SQUEEZE": ((1, 4, 1, 3), (1, 4, 3))}.get(kind, ((1, 4, 3), (1, 1, 4, 3)))
    extra = constant([1] if kind == "EXPAND_DIMS" else list(out), None, "int32")
    inputs = [0] if kind == "SQUEEZE" else [0, 2]
    tflite = model([T(shape), T(out), extra], [Op(kind, inputs, [1])], [0], [1])
    plan = compile_plan(tflite)
    assert [operator.kind for operator in plan.operators] == ["copy"]
    x = np.arange(12, dtype=np.int8).reshape(1, *shape)
    np.testing.assert_array_equal(simulate(plan.blob, x).reshape(-1), x.reshape(-1))


def test_a_reshape_between_operators_is_nothing() -> None:
    tensors = [T((1, 4, 3)), T((1, 4, 3)), T((1, 12)), T((1, 12)), constant([1, 12], None, "int32")]
    ops = [Op("RELU6", [0], [1]), Op("RESHAPE", [1, 4], [2]), Op("RELU6", [2], [3])]
    plan = compile_plan(model(tensors, ops, [0], [3]))
    assert [operator.kind for operator in plan.operators] == ["lut", "lut"]
    assert plan.arena_bytes == 12
