/* Softmax as TFLite's reference kernel for int8 computes it, in gemmlowp's fixed point; PLAN.md has the formulas. */
#include "kernels.h"
#include "requant.h"

#define EN_SUM_BITS 12 /* before the point of the sum of exponentials */

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
