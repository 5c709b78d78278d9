/* SPDX-License-Identifier: Apache-2.0 */
/* Fully connected: the input is widened once, then 4 outputs at a time. */
#include "kernels.h"
#include "operators.h"
#include "packed.h"

/* [groups][inputs 0, 2, 1, 3]; what the last group lacks is zero. */
static EN_NOINLINE void widen(const int8_t *in, uint32_t inputs, int16_t *x) {
    uint32_t i = 0;
    for (; i + 4 <= inputs; i += 4)
        en_widen(in + i, x + i, x + i + 2);
    if (i == inputs)
        return;
    int8_t last[4] = {0};
    for (uint32_t k = 0; i + k < inputs; k++)
        last[k] = in[i + k];
    en_widen(last, x + i, x + i + 2);
}

/* Up to 4 accumulators to int8. */
static inline void store(const en_tables *tables, uint32_t channel, const int32_t *acc, uint32_t count, int8_t *out) {
    const int32_t *const multiplier = tables->multiplier + channel;
    const int8_t *const shift = tables->shift + channel;
    const int32_t zero_point = tables->zero_point;
    if (count == EN_DENSE_CHANNELS && tables->fast && tables->saturate) { /* the usual case, unrolled */
        for (uint32_t i = 0; i < EN_DENSE_CHANNELS; i++) {
            const en_fast fast = en_fast_of(multiplier[i], shift[i], zero_point);
            out[i] = en_saturate(en_requant_fast(acc[i], &fast));
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const en_channel of = en_channel_of(tables, channel + i);
        out[i] = en_to_int8(acc[i], &of);
    }
}

/* The outputs from `channel` on. */
static EN_NOINLINE void multiply(const int16_t *x, const int8_t *weights, uint32_t groups, const en_tables *tables,
                     uint32_t channel, uint32_t outputs, int8_t *out) {
    const uint32_t block = 4 * EN_DENSE_CHANNELS * groups;
    weights += 4 * channel * groups;
    for (; channel < outputs; channel += EN_DENSE_CHANNELS, weights += block) {
        const uint32_t left = outputs - channel, count = left < EN_DENSE_CHANNELS ? left : EN_DENSE_CHANNELS;
        int32_t acc[EN_DENSE_CHANNELS];
        en_dot_1x4(x, weights, groups, tables->bias + channel, acc);
        store(tables, channel, acc, count, out + channel);
    }
}

void en_dense(const en_model *model, const en_dense_op *op) {
    const uint32_t groups = (op->inputs + 3) / 4;
    const en_tables tables = en_tables_of(model->plan, &op->requant);
    const int8_t *const weights = (const int8_t *)(model->plan + op->weights);
    int16_t *const x = (int16_t *)(void *)(model->arena + op->scratch);
    int8_t *const out = (int8_t *)(model->arena + op->out);
    widen((const int8_t *)(model->arena + op->in), op->inputs, x);
    const uint32_t done = en_dense_blocks(x, weights, groups, &tables, op->outputs, out);
    multiply(x, weights, groups, &tables, done, op->outputs, out);
}

en_status en_check_dense(en_bounds *bounds, const en_dense_op *op) {
    const uint64_t groups = ((uint64_t)op->inputs + 3u) / 4u;
    const en_span in = {op->in, op->inputs};
    const en_span out = {op->out, op->outputs};
    const en_span scratch = {op->scratch, groups * 4u * 2u};
    if (op->inputs == 0u || op->outputs == 0u || op->outputs > INT32_MAX) {
        return EN_BAD_SHAPE;
    }
    const uint32_t packed = en_round_up(op->outputs, EN_DENSE_CHANNELS);
    if (!en_is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!en_packed_aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, groups * 4u * packed}, bounds->plan_bytes) ||
        !en_tables_inside(bounds, &op->requant, packed)) {
        return EN_BAD_OFFSET;
    }
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out)) {
        return EN_BAD_OVERLAP;
    }
    return en_check_tables(bounds, &op->requant, packed, groups * 4u);
}
