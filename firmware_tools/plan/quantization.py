# SPDX-License-Identifier: Apache-2.0
"""The numbers that say how int8 values of a tensor are to be read, and what follows from them for an operator."""

from __future__ import annotations

import math

import numpy as np

from firmware_tools.plan import fixed_point
from firmware_tools.plan.graph import Operator, Tensor
from firmware_tools.plan.support import refuse

ACTIVATIONS = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def check_int8(operator: Operator, tensor: Tensor, what: str) -> Tensor:
    """The tensor, if it is int8 with one scale and zero point."""
    if tensor.dtype != "int8":
        raise refuse(
            operator,
            f"has the {what} {tensor.label} of type {tensor.dtype}: quantise to int8 throughout, inputs, outputs too",
            dtype=tensor.dtype,
        )
    if (problem := unquantised(tensor)) is not None:
        raise refuse(operator, f"has the {what} {tensor.label} with {problem}: quantise the model again")
    return tensor


def unquantised(tensor: Tensor) -> str | None:
    """What an int8 tensor has in place of one scale and an int8 zero point; None if it has those."""
    if len(tensor.scales) != 1:
        return f"{len(tensor.scales)} scales in place of 1" if len(tensor.scales) else "no scale"
    point = int(tensor.zero_points[0])
    return None if -128 <= point <= 127 else f"the zero point {point}, not one of -128 to 127"


def quantization(tensor: Tensor) -> tuple[float, int]:
    """Scale (a float32's value) and zero point of an activation."""
    return float(tensor.scales[0]), int(tensor.zero_points[0])


def clamp(operator: Operator, output: Tensor) -> tuple[int, int]:
    """Lowest and highest output under the fused activation, as CalculateActivationRangeQuantized."""
    number = int(operator.options.get("FusedActivationFunction", 0))
    if number not in ACTIVATIONS:
        raise refuse(operator, f"has the fused activation {number}: use none, RELU, RELU6 or RELU_N1_TO_1")
    scale, zero_point = np.float32(output.scales[0]), int(output.zero_points[0])
    bounds = []
    for real, limit in zip(ACTIVATIONS[number], (-128, 127), strict=True):
        with np.errstate(over="ignore"):
            steps = 0.0 if real is None else float(np.float32(real) / scale)
        if abs(steps) > 2**31:
            raise refuse(
                operator, f"has the output scale {float(scale):g}: its activation does not fit an int32; quantise again"
            )
        bounds.append(limit if real is None else zero_point + fixed_point.round_away(steps))
    return max(-128, bounds[0]), min(127, bounds[1])


def requantize(operator: Operator, real: float) -> tuple[int, int]:
    """A quantised multiplier whose shift the engine can apply."""
    multiplier, shift = fixed_point.quantize_multiplier(real) if math.isfinite(real) else (0, 99)
    if shift > 30:
        raise refuse(operator, f"rescales by {real:g}: at most 2^30 is supported; quantise the model again")
    return multiplier, shift
