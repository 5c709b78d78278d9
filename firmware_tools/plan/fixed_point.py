# SPDX-License-Identifier: Apache-2.0
"""TFLite's integer arithmetic on the host: quantised multipliers and gemmlowp's fixed-point functions.

Sources: TFLite's quantization_util.cc and common.h (two roundings), gemmlowp's fixedpoint.h. Values are Python
integers that stay in the range of an int32.
"""

from __future__ import annotations

import math

_ONE = (1 << 31) - 1  # 1.0 as Q0.31
_EXP_OF_MINUS_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)  # exp(-2^i), i from -2


def round_away(value: float) -> int:
    """The nearest integer, halves away from zero, as C's round."""
    whole = math.trunc(value)
    return whole + (int(math.copysign(1, value)) if abs(value - whole) >= 0.5 else 0)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """`real` as (multiplier, shift): real = multiplier 2^(shift - 31), multiplier in [2^30, 2^31) or 0."""
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    fixed = round_away(fraction * (1 << 31))
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    return (0, 0) if shift < -31 else (fixed, shift)


def wrap(value: int) -> int:
    """The int32 with the same low 32 bits."""
    return ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def high_mul(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul."""
    return _ONE if a == b == -(1 << 31) else (a * b + (1 << 30)) >> 31


def divide_by_power(value: int, exponent: int) -> int:
    """RoundingDivideByPOT: value / 2^exponent, halves away from zero."""
    mask = (1 << exponent) - 1
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0))


def multiply(value: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier."""
    return divide_by_power(high_mul(wrap(value << max(shift, 0)), multiplier), max(-shift, 0))


def input_radius(integer_bits: int, left_shift: int) -> int:
    """CalculateInputRadius: the largest difference that still fits once scaled."""
    return math.floor(((1 << integer_bits) - 1) * float(1 << (31 - integer_bits)) / 2.0**left_shift)


def _times_power(value: int, exponent: int) -> int:
    """SaturatingRoundingMultiplyByPOT."""
    if exponent < 0:
        return divide_by_power(value, -exponent)
    return max(-(1 << 31), min(_ONE, value << exponent))


def _exp_near_zero(a: int) -> int:
    """exp of a Q0.31 number in [-1/4, 0)."""
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    rest = divide_by_power(high_mul(divide_by_power(x4, 2) + x3, 715827883) + x2, 1)
    return 1895147668 + high_mul(1895147668, x + rest)


def exp_of_negative(a: int, integer_bits: int) -> int:
    """exp of a number of `integer_bits` (at most 5) that is not positive, as Q0.31."""
    if a == 0:
        return _ONE
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(_times_power(low, integer_bits))
    for power, factor in zip(range(-2, integer_bits), _EXP_OF_MINUS_POWERS, strict=False):
        if (low - a) & (1 << (fraction_bits + power)):
            result = high_mul(result, factor)
    return result


def _two_over_one_plus(a: int) -> int:
    """2 / (1 + a) of a Q0.31 number in [0, 1], as Q2.29, by Newton's method."""
    half = (a + _ONE + 1) // 2
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        x += _times_power(high_mul(x, (1 << 29) - high_mul(half, x)), 2)
    return x


def tanh(a: int, integer_bits: int = 4) -> int:
    """tanh of a number of `integer_bits`, as Q0.31."""
    if a == 0:
        return 0
    # exp(-2 |a|): doubling is one more integer bit.
    x = _two_over_one_plus(exp_of_negative(-abs(a), integer_bits + 1))
    result = _times_power(x - (1 << 29), 2)
    return result if a > 0 else -result


def logistic(a: int, integer_bits: int = 4) -> int:
    """1 / (1 + exp(-a)) of a number of `integer_bits`, as Q0.31."""
    if a == 0:
        return 1 << 30
    x = _two_over_one_plus(exp_of_negative(-abs(a), integer_bits))
    result = _times_power(x, 1)
    return result if a > 0 else _ONE - result
