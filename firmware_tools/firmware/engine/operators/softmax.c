/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax as TFLite's reference kernel for int8 computes it, in gemmlowp's fixed point; PLAN.md has the formulas. */
#include "operators.h"
#include "requant.h"

#define EN_SUM_BITS 12 /* before the point of the sum of exponentials */
#define EN_SOFTMAX_DEPTH 4095u /* 1.0 fits so many times into that sum */

/* value * 2^left; what does not fit becomes the nearest int32. */
static int32_t shift_left(int32_t value, int32_t left) {
    const int64_t shifted = (int64_t)value * (INT32_C(1) << left);
    return (int32_t)(shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : shifted);
}

/* 1 / (1 + x) as Q0.31 for x in [0, 1) as Q0.31: gemmlowp's one_over_one_plus_x_for_x_in_0_1, three steps of
 * Newton-Raphson in Q2.29. */
static int32_t one_over_one_plus(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t y = 1515870810 + en_high_mul(half, -1010580540); /* 48 / 17 - 32 / 17 half */
    for (int i = 0; i < 3; i++) {
        const int32_t error = (INT32_C(1) << 29) - en_high_mul(half, y);
        y += shift_left(en_high_mul(y, error), 2);
    }
    return shift_left(y, 1);
}

static int32_t leading_zeros(uint32_t value) {
    int32_t count = 0;
    for (; (value & 0x80000000u) == 0u; value <<= 1) { /* never 0: the maximum's exponential is 1 */
        count++;
    }
    return count;
}

/* 256 for 1. `reciprocal` is 2^zeros / sum; past 2^31 the reference gives up, what remains there is 0. */
static int8_t probability(int32_t exponential, int32_t reciprocal, int32_t exponent) {
    const int32_t product = en_high_mul(reciprocal, exponential);
    const int32_t scaled = exponent > 31 ? 0 : en_divide_by_power(product, exponent);
    return en_clamp(scaled - 128, -128, 127);
}

static void softmax_row(const int8_t *in, int8_t *out, uint32_t depth, const int32_t *table) {
    int32_t most = INT8_MIN;
    for (uint32_t i = 0; i < depth; i++) {
        most = in[i] > most ? in[i] : most;
    }
    int32_t sum = 0;
    for (uint32_t i = 0; i < depth; i++) {
        sum += en_divide_by_power(table[most - in[i]], EN_SUM_BITS);
    }
    const int32_t zeros = leading_zeros((uint32_t)sum);
    const int32_t reciprocal = one_over_one_plus((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
    const int32_t exponent = EN_SUM_BITS - zeros + 31 - 8;
    for (uint32_t i = 0; i < depth; i++) {
        out[i] = probability(table[most - in[i]], reciprocal, exponent);
    }
}

void en_softmax(const en_model *model, const en_softmax_op *op) {
    const int8_t *in = (const int8_t *)(model->arena + op->in);
    int8_t *out = (int8_t *)(model->arena + op->out);
    const int32_t *const table = (const int32_t *)(const void *)(model->plan + op->table);
    for (uint32_t row = 0; row < op->rows; row++) {
        softmax_row(in, out, op->depth, table);
        in += op->depth;
        out += op->depth;
    }
}

/* No exponential is negative, and that of the maximum itself is 1: no sum is 0. */
static en_status check_exponentials(en_bounds *bounds, uint32_t at) {
    const int32_t *const table = (const int32_t *)(const void *)(bounds->plan + at);
    if (bounds->readable < 1024u) {
        return EN_BAD_SHAPE;
    }
    bounds->readable -= 1024u;
    for (uint32_t i = 0; i < 256u; i++) {
        if (table[i] < 0) {
            return EN_BAD_VALUE;
        }
    }
    return table[0] == INT32_MAX ? EN_OK : EN_BAD_VALUE;
}

en_status en_check_softmax(en_bounds *bounds, const en_softmax_op *op) {
    const en_span in = {op->in, (uint64_t)op->rows * op->depth};
    const en_span out = {op->out, in.bytes};
    if (op->rows == 0u || op->depth == 0u || op->depth > EN_SOFTMAX_DEPTH) {
        return EN_BAD_SHAPE;
    }
    if (op->table % 4u != 0u) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside((en_span){op->table, 1024u}, bounds->plan_bytes)) {
        return EN_BAD_OFFSET;
    }
    if (!en_disjoint(out, in) && out.at != in.at) {
        return EN_BAD_OVERLAP;
    }
    return check_exponentials(bounds, op->table);
}
