# SPDX-License-Identifier: Apache-2.0
"""Convolutions and dense layers: weights packed, the input's zero point folded into the bias."""

from __future__ import annotations

import math

import numpy as np

from firmware_tools.plan import operators as plan
from firmware_tools.plan import wire
from firmware_tools.plan.graph import Array, Operator, Tensor
from firmware_tools.plan.lowering.context import Lowering
from firmware_tools.plan.quantization import clamp, quantization, requantize
from firmware_tools.plan.support import refuse

STRIP_ROWS = 16  # of a depthwise convolution's output, at most; layout.py may take fewer
_MAX_SIZE = 65535
_MAX_KERNEL = 255


def window(operator: Operator, input_: Tensor, output: Tensor, kernel: tuple[int, int]) -> wire.Window:
    """The window of a convolution or a pool over [1, height, width, channels]."""
    for what, shape in (("input", input_.shape), ("output", output.shape)):
        if len(shape) != 4:
            raise refuse(
                operator, f"has the {what} shape {list(shape)}: [1, height, width, channels] is supported; reshape it"
            )
        if shape[0] != 1:
            raise refuse(operator, f"has the {what} shape {list(shape)}: convert with batch 1")
        if max(shape) > _MAX_SIZE:
            raise refuse(operator, f"has the {what} shape {list(shape)}: make no size larger than {_MAX_SIZE}")
    if max(kernel) > _MAX_KERNEL:
        raise refuse(operator, f"has the kernel {list(kernel)}: use at most {_MAX_KERNEL}")
    strides = _option(operator, "StrideH"), _option(operator, "StrideW")
    if not all(1 <= stride <= 255 for stride in strides):
        raise refuse(operator, f"has the strides {list(strides)}: use 1 to 255")
    dilations = [int(operator.options.get(name, 1)) for name in ("DilationHFactor", "DilationWFactor")]
    if dilations != [1, 1]:
        raise refuse(operator, f"has dilation {max(dilations)}: use dilation 1 with a larger kernel")
    padding = _option(operator, "Padding")
    if padding not in (0, 1):
        raise refuse(operator, f"has padding {padding}: use SAME or VALID")
    pads, sizes = [], []
    # What a folded PAD adds at both ends.
    ends = [
        [int(operator.options.get(f"Pad{end}", 0)) for end in pair] for pair in (("Top", "Bottom"), ("Left", "Right"))
    ]
    for size, (before, after), width, stride in zip(input_.shape[1:3], ends, kernel, strides, strict=True):
        out = -(-size // stride) if padding == 0 else (size + before + after - width) // stride + 1
        sizes.append(out)
        pads.append(before if padding else max(0, (out - 1) * stride + width - size) // 2)
    if tuple(sizes) != output.shape[1:3] or min(sizes) < 1:
        raise refuse(operator, f"has the output shape {list(output.shape)} where {sizes} follow: convert it again")
    (_, in_h, in_w, in_c), (_, out_h, out_w, out_c) = input_.shape, output.shape
    point = int(input_.zero_points[0])
    return wire.Window(in_h, in_w, in_c, out_h, out_w, out_c, *kernel, *strides, pads[0], pads[1], point)


def _option(operator: Operator, name: str) -> int:
    if name not in operator.options:
        raise refuse(operator, f"lacks its option {name}: convert the model again")
    return int(operator.options[name])


def _weights(lowering: Lowering, operator: Operator, rank: int, axis: int) -> tuple[Tensor, Array]:
    values = lowering.constant(operator, 1, "weights", "int8")
    tensor = lowering.tensor(operator, 1)
    if len(tensor.shape) != rank:
        raise refuse(
            operator, f"has weights of shape {list(tensor.shape)}: {rank} dimensions are supported; convert it again"
        )
    if len(tensor.scales) not in (1, tensor.shape[axis]) or (len(tensor.scales) > 1 and tensor.axis != axis):
        raise refuse(
            operator,
            f"has {len(tensor.scales)} weight scales on axis {tensor.axis}: quantise with one, or one for each output "
            "channel",
        )
    if tensor.zero_points.any():
        raise refuse(operator, "has weights with a zero point: quantise the weights symmetrically")
    return tensor, values


def _bias(lowering: Lowering, operator: Operator, channels: int) -> Array:
    if lowering.optional(operator, 2) is None:
        return np.zeros(channels, np.int64)
    values = lowering.constant(operator, 2, "biases", "int32").reshape(-1)
    if len(values) != channels:
        raise refuse(operator, f"has {len(values)} biases for {channels} channels: convert the model again")
    return values.astype(np.int64)


def _multipliers(input_: Tensor, weights: Tensor, output: Tensor, channels: int) -> list[float]:
    """The real multiplier of each channel, in doubles and in the order of TFLite's operations."""
    in_scale, out_scale = quantization(input_)[0], quantization(output)[0]
    reals: list[float] = (in_scale * weights.scales.astype(np.float64) / out_scale).tolist()
    return reals * channels if len(reals) == 1 else reals


def _requant(
    lowering: Lowering, operator: Operator, tensors: tuple[Tensor, Tensor, Tensor], rows: Array, block: int
) -> wire.Requant:
    """`rows`: the weights as [channels][inputs]; the tables are filled up to a multiple of `block` channels."""
    input_, weights, output = tensors
    channels = len(rows)
    sums = rows.sum(axis=1, dtype=np.int64)
    bias = _bias(lowering, operator, channels) - quantization(input_)[1] * sums
    # What the engine can check without reading the weights: every product is at most 2^14.
    inputs = rows.shape[1] if block == 1 else plan.GROUP * plan.groups(rows.shape[1])
    bound = int(np.abs(bias).max()) + (inputs << 14)
    if bound >= 1 << 31:
        raise refuse(
            operator,
            f"has a bias of {int(np.abs(bias).max())}, with which {inputs} products leave an int32: train and quantise "
            "again, a channel's scale is next to 0",
        )
    reals = _multipliers(input_, weights, output, channels)
    known = {real: requantize(operator, real) for real in set(reals)}
    pairs = [known[real] for real in reals]
    shifts = [shift if multiplier else -1 for multiplier, shift in pairs]
    fill = -channels % block
    low, high = clamp(operator, output)
    return wire.Requant(
        np.pad(bias, (0, fill)).astype("<i4").tobytes(),
        np.pad(np.array([multiplier for multiplier, _ in pairs], "<i4"), (0, fill)).tobytes(),
        np.pad(np.array(shifts, np.int8), (0, fill), constant_values=-1).tobytes(),
        quantization(output)[1],
        low,
        high,
        int(all(-22 <= shift <= -1 for shift in shifts) and bound < 1 << 30),
    )


def _pack(rows: Array, block: int) -> bytes:
    """[channels][inputs] as [blocks][groups][channels of a block][4 inputs]."""
    channels, inputs = rows.shape
    full = np.pad(rows, ((0, -channels % block), (0, -inputs % plan.GROUP)))
    return full.reshape(-1, block, full.shape[1] // plan.GROUP, plan.GROUP).transpose(0, 2, 1, 3).tobytes()


def _conv(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    weights, values = _weights(lowering, operator, 4, 0)
    channels, kernel_h, kernel_w, in_c = weights.shape
    view = window(operator, input_, output, (kernel_h, kernel_w))
    if view.in_c % in_c:
        raise refuse(operator, f"has weights for {in_c} channels and an input of {view.in_c}: convert it again")
    if in_c != view.in_c:
        raise refuse(operator, f"has {view.in_c // in_c} groups: use groups 1, or DEPTHWISE_CONV_2D")
    _check_channels(operator, channels, view.out_c)
    rows = values.reshape(channels, -1)
    _add_conv(lowering, operator, view, rows, (input_, weights, output))


def _check_channels(operator: Operator, weights: int, output: int) -> None:
    if weights != output:
        raise refuse(operator, f"has weights for {weights} channels and an output of {output}: convert it again")


def _add_conv(
    lowering: Lowering, operator: Operator, view: wire.Window, rows: Array, tensors: tuple[Tensor, Tensor, Tensor]
) -> None:
    requant = _requant(lowering, operator, tensors, rows, plan.CONV_CHANNELS)
    packed = _pack(rows, plan.CONV_CHANNELS)
    macs = view.out_h * view.out_w * rows.size
    lowering.add(
        operator, plan.Conv(0, 0, 0, packed, view, requant), {"input": 0}, macs=macs, constant_bytes=len(packed)
    )


def _depthwise(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    weights, values = _weights(lowering, operator, 4, 3)
    one, kernel_h, kernel_w, channels = weights.shape
    view = window(operator, input_, output, (kernel_h, kernel_w))
    if one != 1 or channels % view.in_c:
        raise refuse(operator, f"has weights of shape {list(weights.shape)} on {view.in_c} channels: convert it again")
    _check_channels(operator, channels, view.out_c)
    rows = np.ascontiguousarray(values.reshape(-1, channels).T)
    requant = _requant(lowering, operator, (input_, weights, output), rows, 1)
    strips = -(-view.out_h // STRIP_ROWS)
    lowered = plan.Depthwise(0, 0, 0, rows.tobytes(), view, requant, -(-view.out_h // strips))
    macs = view.out_h * view.out_w * rows.size
    lowering.add(operator, lowered, {"input": 0}, macs=macs, constant_bytes=rows.size)


def _dense(lowering: Lowering, operator: Operator) -> None:
    input_, output = lowering.activation(operator, 0), lowering.output(operator)
    if operator.options.get("WeightsFormat", 0) != 0:
        raise refuse(operator, "has shuffled weights: convert with the default weights format")
    weights, rows = _weights(lowering, operator, 2, 0)
    outputs, inputs = rows.shape
    positions = math.prod(input_.shape) // inputs
    if positions * inputs != math.prod(input_.shape) or positions * outputs != math.prod(output.shape):
        raise refuse(
            operator,
            f"maps {list(input_.shape)} to {list(output.shape)} with weights {list(weights.shape)}: convert it again",
        )
    if positions > 1:  # the same weights at every position: a 1x1 convolution
        if max(positions, inputs, outputs) > _MAX_SIZE:
            raise refuse(
                operator, f"maps {inputs} values to {outputs} at {positions} positions: at most {_MAX_SIZE} each"
            )
        point = quantization(input_)[1]
        view = wire.Window(1, positions, inputs, 1, positions, outputs, 1, 1, 1, 1, 0, 0, point)
        _add_conv(lowering, operator, view, rows, (input_, weights, output))
        return
    requant = _requant(lowering, operator, (input_, weights, output), rows, plan.DENSE_CHANNELS)
    packed = _pack(rows, plan.DENSE_CHANNELS)
    lowered = plan.Dense(0, 0, 0, packed, inputs, outputs, requant)
    lowering.add(operator, lowered, {"input": 0}, macs=rows.size, constant_bytes=len(packed))


LOWERINGS = {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense}
