# SPDX-License-Identifier: Apache-2.0
"""Operators that only move values: concatenation, padding, and a reshape of the input into the output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from firmware_tools.plan import operators as plan
from firmware_tools.plan.graph import Operator
from firmware_tools.plan.lowering.context import RESHAPES, Lowering, Place
from firmware_tools.plan.lowering.elementwise import same_quantization
from firmware_tools.plan.quantization import check_int8, quantization
from firmware_tools.plan.support import refuse


def block_copies(
    block: Sequence[int], whole: Sequence[int], start: Sequence[int]
) -> Iterator[tuple[plan.Copy, int, int]]:
    """Copies of a `block` to `start` in a tensor of shape `whole`: (copy, input at, output at), bytes."""
    sizes, outer, begin = list(block), list(whole), list(start)
    for axis in range(len(sizes) - 1, 0, -1):  # axes that the block fills are one with the axis before them
        if sizes[axis] == outer[axis]:
            sizes[axis - 1 : axis + 1] = [sizes[axis - 1] * sizes[axis]]
            begin[axis - 1 : axis + 1] = [begin[axis - 1] * outer[axis]]
            outer[axis - 1 : axis + 1] = [outer[axis - 1] * outer[axis]]
    sizes, outer, begin = [1, 1, *sizes], [1, 1, *outer], [0, 0, *begin]
    strides = [math.prod(outer[axis + 1 :]) for axis in range(len(outer))]
    at = sum(first * stride for first, stride in zip(begin, strides, strict=True))
    rows, row_bytes = sizes[-2:]
    copy = plan.Copy(0, 0, rows, row_bytes, row_bytes, strides[-2] if rows > 1 else row_bytes)
    for number, indices in enumerate(product(*(range(size) for size in sizes[:-2]))):
        out = at + sum(index * stride for index, stride in zip(indices, strides, strict=False))
        yield copy, number * rows * row_bytes, out


def _concatenation(lowering: Lowering, operator: Operator) -> None:
    output = lowering.output(operator)
    axis = int(operator.options.get("Axis", 0))
    axis += len(output.shape) if axis < 0 else 0
    if operator.options.get("FusedActivationFunction", 0) != 0:
        raise refuse(operator, "has a fused activation: put RELU or RELU6 behind it")
    done = 0
    for index in range(len(operator.inputs)):
        input_ = lowering.activation(operator, index)
        if quantization(input_) != quantization(output):
            same_quantization(operator, input_, output)
        shape = list(output.shape)
        if not 0 <= axis < len(shape) or len(input_.shape) != len(shape):
            raise refuse(operator, f"joins {list(input_.shape)} along axis {axis}: convert the model again")
        shape[axis] = input_.shape[axis]
        if tuple(shape) != input_.shape or done + shape[axis] > output.shape[axis]:
            raise refuse(operator, f"joins {list(input_.shape)} into {list(output.shape)}: convert the model again")
        start = [done if place == axis else 0 for place in range(len(shape))]
        done += shape[axis]
        buffer = lowering.roots[operator.inputs[index]]
        for copy, at, out_at in block_copies(shape, output.shape, start):
            lowering.add(operator, copy, {"input": Place(buffer, at)}, out_at)
    if not 0 <= axis < len(output.shape) or done != output.shape[axis]:
        raise refuse(operator, f"fills {done} of {list(output.shape)} along axis {axis}: convert the model again")


def _pad(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    pads = lowering.constant(operator, 1, "paddings", "int32").tolist()
    value = quantization(output)[1]
    if operator.kind == "PADV2":
        constant = check_int8(operator, lowering.tensor(operator, 2), "padding value")
        values = lowering.constant(operator, 2, "padding value", "int8").reshape(-1)
        same_quantization(operator, constant, output)
        if len(values) != 1:
            raise refuse(operator, f"has {len(values)} padding values: 1 is supported; convert it again")
        value = int(values[0])
    same_quantization(operator, input_, output)
    if (
        len(pads) != len(input_.shape)
        or any(not isinstance(pair, list) or len(pair) != 2 or min(pair) < 0 for pair in pads)
        or len(output.shape) != len(pads)
        or any(sum(pair) + size != out for pair, size, out in zip(pads, input_.shape, output.shape, strict=True))
    ):
        raise refuse(
            operator, f"pads {list(input_.shape)} to {list(output.shape)}, unlike its paddings: convert it again"
        )
    if any(pair != [0, 0] for pair in pads):
        lowering.add(operator, plan.Fill(0, output.elements, value), {})
    buffer = lowering.roots[operator.inputs[0]]
    for copy, at, out_at in block_copies(input_.shape, output.shape, [pair[0] for pair in pads]):
        lowering.add(operator, copy, {"input": Place(buffer, at)}, out_at)


def _reshape(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    if input_.elements != output.elements:
        raise refuse(operator, f"maps {list(input_.shape)} to {list(output.shape)}: convert the model again")
    if lowering.roots[operator.inputs[0]] != lowering.roots[operator.outputs[0]]:
        size = input_.elements
        lowering.add(operator, plan.Copy(0, 0, 1, size, size, size), {"input": 0})


LOWERINGS = {
    "CONCATENATION": _concatenation,
    "PAD": _pad,
    "PADV2": _pad,
    **dict.fromkeys(RESHAPES, _reshape),
}
