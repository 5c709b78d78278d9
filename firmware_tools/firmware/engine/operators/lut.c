/* SPDX-License-Identifier: Apache-2.0 */
/* Any function of one value, as a table. */
#include "operators.h"

void en_lut(const en_model *model, const en_lut_op *op) {
    const int8_t *const table = (const int8_t *)(model->plan + op->table) + 128;
    const int8_t *in = (const int8_t *)(model->arena + op->in);
    int8_t *out = (int8_t *)(model->arena + op->out);
    uint32_t left = op->count;
    for (; left >= 4u; left -= 4u) {
        out[0] = table[in[0]];
        out[1] = table[in[1]];
        out[2] = table[in[2]];
        out[3] = table[in[3]];
        in += 4;
        out += 4;
    }
    for (; left > 0u; left--) {
        *out++ = table[*in++];
    }
}

en_status en_check_lut(en_bounds *bounds, const en_lut_op *op) {
    const en_span in = {op->in, op->count};
    const en_span out = {op->out, op->count};
    if (op->count == 0u) {
        return EN_BAD_SHAPE;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside((en_span){op->table, 256u}, bounds->plan_bytes)) {
        return EN_BAD_OFFSET;
    }
    return en_ahead(out, in, 0) ? EN_OK : EN_BAD_OVERLAP;
}
