# SPDX-License-Identifier: Apache-2.0
"""Operators without weights that compute: add, multiply, pools, mean, softmax, and functions of one value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from firmware_tools.plan import operators as plan
from firmware_tools.plan import tables
from firmware_tools.plan.graph import Operator, Tensor
from firmware_tools.plan.lowering.context import Lowering, Place
from firmware_tools.plan.lowering.weights import window
from firmware_tools.plan.quantization import check_int8, clamp, quantization, requantize
from firmware_tools.plan.support import refuse

_MAX_DEPTH = 4095
_MAX_COUNT = 1 << 22  # the sum of so many differences fits an int32


def _add(lowering: Lowering, operator: Operator) -> None:
    output = lowering.output(operator)
    order, first, second = _operands(lowering, operator, output)
    scales = quantization(first)[0], quantization(second)[0]
    twice = 2 * max(scales)
    reals = (*(scale / twice for scale in scales), twice / ((1 << 20) * quantization(output)[0]))
    if reals[2] >= 1:
        raise refuse(operator, f"has an output scale below its inputs' by {reals[2] * 2**20:g}: quantise again")
    _binary(
        lowering, operator, plan.Add, (order, first, second, output), [requantize(operator, real) for real in reals]
    )


def _mul(lowering: Lowering, operator: Operator) -> None:
    output = lowering.output(operator)
    order, first, second = _operands(lowering, operator, output)
    real = quantization(first)[0] * quantization(second)[0] / quantization(output)[0]
    multipliers = [(0, 0), (0, 0), requantize(operator, real)]
    _binary(lowering, operator, plan.Mul, (order, first, second, output), multipliers)


def _operands(lowering: Lowering, operator: Operator, output: Tensor) -> tuple[tuple[int, int], Tensor, Tensor]:
    """The operands' positions and tensors, the one with the output's shape and no data first."""
    tensors = [check_int8(operator, lowering.tensor(operator, index), "input") for index in (0, 1)]
    order = (0, 1)
    if tensors[0].elements < output.elements or tensors[0].data is not None:
        order = (1, 0)
    first, second = (tensors[index] for index in order)
    if first.data is not None:
        raise refuse(operator, "joins two constants: let the converter fold constants")
    small = list(second.shape)
    while small and small[0] == 1:
        small.pop(0)
    if first.elements != output.elements or small != list(first.shape)[len(first.shape) - len(small) :]:
        raise refuse(
            operator,
            f"joins {list(tensors[0].shape)} and {list(tensors[1].shape)} to {list(output.shape)}: use equal shapes, "
            "a scalar, or a vector over the channels",
        )
    return order, first, second


def _binary(
    lowering: Lowering,
    operator: Operator,
    kind: type[plan.Binary],
    operands: tuple[tuple[int, int], Tensor, Tensor, Tensor],
    multipliers: list[tuple[int, int]],
) -> None:
    order, first, second, output = operands
    reads: dict[str, int | Place] = {"input1": order[0]}
    values: int | bytes = 0
    if second.data is None:
        reads["input2"] = order[1]
    else:
        values = second.data.tobytes()
    (multiplier1, shift1), (multiplier2, shift2), (multiplier, shift) = multipliers
    points = (quantization(tensor)[1] for tensor in (first, second, output))
    low, high = clamp(operator, output)
    lowered = kind(
        *(0, values, 0, first.elements, second.elements),
        *(multiplier1, multiplier2, multiplier, shift1, shift2, shift, *points, low, high),
    )
    lowering.add(operator, lowered, reads, constant_bytes=second.elements if isinstance(values, bytes) else 0)


def _pool(kind: type[plan.Pool]) -> Callable[[Lowering, Operator], None]:
    def lower(lowering: Lowering, operator: Operator) -> None:
        input_, output = lowering.activation(operator, 0), lowering.output(operator)
        kernel = int(operator.options.get("FilterHeight", 0)), int(operator.options.get("FilterWidth", 0))
        if min(kernel) < 1:
            raise refuse(operator, f"has the window {list(kernel)}: convert the model again")
        view = window(operator, input_, output, kernel)
        if view.out_c != view.in_c:
            raise refuse(operator, f"maps {view.in_c} channels to {view.out_c}: convert the model again")
        same_quantization(operator, input_, output)
        lowering.add(operator, kind(0, 0, view, *clamp(operator, output)), {"input": 0})

    return lower


def same_quantization(operator: Operator, input_: Tensor, output: Tensor) -> None:
    """Raise PlanError unless both mean the same by an int8, as the reference demands."""
    (scale, point), (out_scale, out_point) = quantization(input_), quantization(output)
    if abs(scale - out_scale) > 1e-6 or point != out_point:
        raise refuse(
            operator,
            f"maps scale {scale:.9g} and zero point {point} to {out_scale:.9g} and {out_point}: quantise them "
            "alike, or put a QUANTIZE before it",
        )


def _mean(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    axes = {
        int(axis) % max(1, len(input_.shape)) for axis in lowering.constant(operator, 1, "axes", "int32").reshape(-1)
    }
    reduced = [axis in axes for axis, size in enumerate(input_.shape) if size > 1]
    sizes = [size for size in input_.shape if size > 1]
    if reduced != sorted(reduced, reverse=True):
        raise refuse(
            operator, f"averages the axes {sorted(axes)} of {list(input_.shape)}: average height and width together"
        )
    count = math.prod(size for size, gone in zip(sizes, reduced, strict=True) if gone)
    channels = input_.elements // count
    if count > _MAX_COUNT:
        raise refuse(operator, f"averages {count} positions: at most {_MAX_COUNT} are supported; pool before it")
    if channels != output.elements:
        raise refuse(operator, f"has the output shape {list(output.shape)} for {channels} channels: convert it again")
    (scale, point), (out_scale, out_point) = quantization(input_), quantization(output)
    multiplier, shift = requantize(operator, scale / out_scale)
    # The division by `count` goes into the multiplier, as QuantizedMeanOrSum does it.
    extra = max(0, min(count.bit_length() - 1, 32, 31 + shift))
    lowered = plan.Mean(
        *(0, 0, count, channels, (multiplier << extra) // count, -point * count, shift - extra, out_point)
    )
    lowering.add(operator, lowered, {"input": 0})


def _softmax(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    scale, point = quantization(output)
    if (scale, point) != (1 / 256, -128):
        raise refuse(
            operator, f"has output scale {scale:g} and zero point {point}: 1/256 and -128 are supported; quantise again"
        )
    depth = input_.shape[-1] if input_.shape else 1
    if depth > _MAX_DEPTH:
        raise refuse(operator, f"has {depth} classes: at most {_MAX_DEPTH} are supported; end the model before it")
    _same_size(operator, input_, output)
    table = tables.softmax(operator, quantization(input_)[0])
    lowered = plan.Softmax(0, 0, input_.elements // depth, depth, table.astype("<i4").tobytes())
    lowering.add(operator, lowered, {"input": 0}, constant_bytes=table.nbytes)


def _same_size(operator: Operator, input_: Tensor, output: Tensor) -> None:
    if input_.elements != output.elements:
        raise refuse(operator, f"maps {list(input_.shape)} to {list(output.shape)}: convert the model again")


def _unary(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    _same_size(operator, input_, output)
    table = np.array(tables.unary(operator, input_, output), np.int8).tobytes()
    lowering.add(operator, plan.Lut(0, 0, input_.elements, table), {"input": 0}, constant_bytes=len(table))


LOWERINGS = {
    "ADD": _add,
    "MUL": _mul,
    "AVERAGE_POOL_2D": _pool(plan.AveragePool),
    "MAX_POOL_2D": _pool(plan.MaxPool),
    "MEAN": _mean,
    "SOFTMAX": _softmax,
    **dict.fromkeys(tables.UNARY, _unary),
}
