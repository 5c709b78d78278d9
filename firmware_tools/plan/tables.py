# SPDX-License-Identifier: Apache-2.0
"""Functions of one int8 as tables, computed with the reference's own integer arithmetic.

Sources: TFLite Micro's activations, leaky_relu, hard_swish, logistic, tanh, quantize and softmax kernels for int8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from firmware_tools.plan import fixed_point as fp
from firmware_tools.plan.graph import Operator, Tensor
from firmware_tools.plan.quantization import quantization, requantize
from firmware_tools.plan.support import refuse

_Function = Callable[[int], int]
_VALUES = range(-128, 128)


def unary(operator: Operator, input_: Tensor, output: Tensor) -> list[int]:
    """The outputs for the inputs -128 to 127. Raises PlanError for a quantisation that the reference refuses."""
    function = UNARY[operator.kind](operator, input_, output)
    return [max(-128, min(127, function(value))) for value in _VALUES]


def softmax(operator: Operator, scale: float) -> npt.NDArray[np.int32]:
    """exp(-i beta scale) as Q0.31 for the differences i to the maximum; 0 where the reference drops it."""
    real = min(float(operator.options.get("Beta", 1.0)) * scale * (1 << 26), (1 << 31) - 1.0)
    if not real > 1:
        raise refuse(operator, f"has beta x input scale = {real / 2**26:g}: it has to be above 2^-26; quantise again")
    multiplier, shift = fp.quantize_multiplier(real)
    radius = fp.input_radius(5, shift)
    values = [
        fp.exp_of_negative(fp.high_mul(-difference << shift, multiplier), 5) if difference <= radius else 0
        for difference in range(256)
    ]
    return np.array(values, np.int32)


def _requantized(operator: Operator, input_: Tensor, output: Tensor) -> _Function:
    (scale, point), (out_scale, out_point) = quantization(input_), quantization(output)
    multiplier, shift = requantize(operator, scale / out_scale)
    return lambda value: fp.multiply(value - point, multiplier, shift) + out_point


def _relu(operator: Operator, input_: Tensor, output: Tensor) -> _Function:
    rescale, low = _requantized(operator, input_, output), quantization(output)[1]
    return lambda value: max(low, rescale(value))


def _relu6(operator: Operator, input_: Tensor, _output: Tensor) -> _Function:
    # The reference clamps the input's numbers and leaves the output's quantisation out of account.
    scale, point = quantization(input_)
    six = point + fp.round_away(float(np.float32(6) / np.float32(scale)))
    return lambda value: max(point, min(max(-128, min(127, six)), value))


def _leaky_relu(operator: Operator, input_: Tensor, output: Tensor) -> _Function:
    (scale, point), (out_scale, out_point) = quantization(input_), quantization(output)
    if "Alpha" not in operator.options:
        raise refuse(operator, "lacks its option Alpha: convert the model again")
    # Doubles, as the interpreter of the package tflite-micro; older sources round each step to a float.
    slope = scale * float(np.float32(operator.options["Alpha"])) / out_scale
    negative, positive = requantize(operator, slope), requantize(operator, scale / out_scale)

    def function(value: int) -> int:
        return fp.multiply(value - point, *(positive if value >= point else negative)) + out_point

    return function


def _sigmoidal(operator: Operator, input_: Tensor, output: Tensor) -> _Function:
    scale, point = quantization(input_)
    logistic = operator.kind == "LOGISTIC"
    if logistic and quantization(output)[1] != -128:
        raise refuse(operator, f"has output zero point {quantization(output)[1]}: -128 is supported; quantise again")
    multiplier, shift = fp.quantize_multiplier(scale * (1 << 27))
    radius = fp.input_radius(4, shift)

    def function(value: int) -> int:
        difference = value - point
        if abs(difference) >= radius:
            return -128 if difference <= -radius else 127
        scaled = fp.multiply(difference, multiplier, shift)
        if logistic:
            return fp.divide_by_power(fp.logistic(scaled), 23) - 128
        return fp.divide_by_power(fp.tanh(scaled), 24)

    return function


def _hard_swish(operator: Operator, input_: Tensor, output: Tensor) -> _Function:
    (scale, point), (out_scale, out_point) = quantization(input_), quantization(output)
    with np.errstate(all="ignore"):
        fine = np.float32(1 / 128) * np.float32(scale)
        out = requantize(operator, float(fine / np.float32(out_scale)))
        relu = requantize(operator, float(fine / (np.float32(3) / np.float32(32768))))
    if not -15 <= out[1] <= 0:  # the reference shifts an int16 by it
        raise refuse(
            operator,
            f"has the output scale {out_scale:g}: {scale / 128:g} to {scale * 256:g} are supported; quantise again",
        )

    def function(value: int) -> int:
        exact = (value - point) * 128
        preshift = _high_mul16(exact, _to_int16(out[0]))
        gate = _reluish(exact, _to_int16(relu[0]), relu[1])
        product = _truncate(((gate + (1 << 15)) >> 1) * preshift, 15)
        return fp.divide_by_power(product, -out[1]) + out_point

    return function


def _reluish(value: int, multiplier: int, exponent: int) -> int:
    """`value` from [-3, 3] to [-1, 1], saturating, as an int16."""
    if exponent > 0:
        value = _saturate16(value << (exponent - 1))
    value = _high_mul16(value, multiplier)
    if exponent > 0:
        value = _saturate16(value << 1)
    return fp.divide_by_power(value, -exponent) if exponent < 0 else value


def _to_int16(multiplier: int) -> int:
    """DownScaleInt32ToInt16Multiplier."""
    return 32767 if multiplier >= (1 << 31) - (1 << 15) else (multiplier + (1 << 15)) >> 16


def _saturate16(value: int) -> int:
    return max(-(1 << 15), min((1 << 15) - 1, value))


def _high_mul16(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul of int16."""
    return _truncate(a * b + ((1 << 14) if a * b >= 0 else 1 - (1 << 14)), 15)


def _truncate(value: int, bits: int) -> int:
    """value / 2^bits towards 0."""
    return value >> bits if value >= 0 else -(-value >> bits)


UNARY: dict[str, Callable[[Operator, Tensor, Tensor], _Function]] = {
    "QUANTIZE": _requantized,
    "RELU": _relu,
    "RELU6": _relu6,
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _sigmoidal,
    "TANH": _sigmoidal,
    "HARD_SWISH": _hard_swish,
}
