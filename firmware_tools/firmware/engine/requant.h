/* SPDX-License-Identifier: Apache-2.0 */
/* From accumulators to int8: the one place for requantisation, for all kernel sets. PLAN.md has the formulas.
 *
 * Source of the arithmetic: gemmlowp's SaturatingRoundingDoublingHighMul and RoundingDivideByPOT, as TFLite's reference
 * kernels use them. */
#ifndef EDGENAS_REQUANT_H
#define EDGENAS_REQUANT_H

#include <stdint.h>

#include "kernel_set.h"
#include EN_PRIMITIVES

/* (a * b + 2^30) >> 31, b >= 0: a times a fraction of 2^31, rounded half up. */
static inline int32_t en_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* value / 2^exponent, rounded half away from zero; exponent in 0..31. */
static inline int32_t en_divide_by_power(int32_t value, int32_t exponent) {
    const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
    const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
    return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

/* Any shift in [-31, 30]. The shift to the left wraps, as the reference's does where it overflows. */
static inline int32_t en_multiply(int32_t value, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return en_divide_by_power(en_high_mul((int32_t)((uint32_t)value << left), multiplier), right);
}

static inline int8_t en_clamp(int32_t value, int32_t low, int32_t high) {
    return (int8_t)(value < low ? low : value > high ? high : value);
}

/* value + zero_point, clamped; the value may be any int32. */
static inline int8_t en_finish(int32_t value, int32_t zero_point, int32_t low, int32_t high) {
    const int32_t least = low - zero_point;
    const int32_t most = high - zero_point;
    return (int8_t)((value < least ? least : value > most ? most : value) + zero_point);
}

static inline int8_t en_saturate(int32_t value) {
#if defined(__ARM_FEATURE_SAT)
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return (int8_t)result;
#else
    return en_clamp(value, INT8_MIN, INT8_MAX);
#endif
}

/* What the fast way needs of one channel. */
typedef struct {
    int32_t multiplier;
    int32_t offset; /* half of a step and the zero point, in units before the shift */
    int32_t shift;  /* to the right, 1 to 22 */
} en_fast;

static inline en_fast en_fast_of(int32_t multiplier, int32_t shift, int32_t zero_point) {
    const int32_t right = -shift;
    return (en_fast){multiplier, (2 * zero_point + 1) * (INT32_C(1) << (right - 1)), right};
}

/* Not clamped. `acc >> 31` is -1 below 0: gemmlowp rounds halves away from zero. */
static inline int32_t en_requant_fast(int32_t acc, const en_fast *channel) {
    return en_high_mul_add(acc * 2, channel->multiplier, channel->offset + (acc >> 31)) >> channel->shift;
}

#endif
