/* SPDX-License-Identifier: Apache-2.0 */
/* Mean over positions. */
#include "operators.h"
#include "requant.h"
#include "sums.h"

void en_mean(const en_model *model, const en_mean_op *op) {
    int8_t *const out = (int8_t *)(model->arena + op->out);
    const en_patch patch = {(const int8_t *)(model->arena + op->in), 1u, op->count, 0u, op->channels};
    for (uint32_t from = 0; from < op->channels;) {
        int32_t acc[4];
        const uint32_t some = en_sum_some(&patch, from, op->channels, op->bias, acc);
        for (uint32_t i = 0; i < some; i++) {
            out[from + i] = en_finish(en_multiply(acc[i], op->multiplier, op->shift), op->zero_point, -128, 127);
        }
        from += some;
    }
}

en_status en_check_mean(en_bounds *bounds, const en_mean_op *op) {
    const en_span in = {op->in, (uint64_t)op->count * op->channels};
    const en_span out = {op->out, op->channels};
    if (op->count == 0u || op->channels == 0u) {
        return EN_BAD_SHAPE;
    }
    const int64_t magnitude = op->bias < 0 ? -(int64_t)op->bias : op->bias;
    if (op->multiplier < 0 || op->shift < -31 || op->shift > 30 || magnitude + (int64_t)op->count * 128 > INT32_MAX) {
        return EN_BAD_VALUE;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes)) {
        return EN_BAD_OFFSET;
    }
    return en_disjoint(out, in) ? EN_OK : EN_BAD_OVERLAP;
}
