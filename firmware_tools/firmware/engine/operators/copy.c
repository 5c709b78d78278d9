/* SPDX-License-Identifier: Apache-2.0 */
/* Copy: rows from stride to stride. */
#include <string.h>

#include "operators.h"

void en_copy(const en_model *model, const en_copy_op *op) {
    const uint8_t *in = model->arena + op->in;
    uint8_t *out = model->arena + op->out;
    if (op->in_stride == op->row_bytes && op->out_stride == op->row_bytes) {
        memcpy(out, in, op->rows * op->row_bytes);
        return;
    }
    for (uint32_t row = op->rows; row > 0u; row--) {
        memcpy(out, in, op->row_bytes);
        if (row > 1u) { /* a stride behind the last row may be any number */
            in += op->in_stride;
            out += op->out_stride;
        }
    }
}

en_status en_check_copy(en_bounds *bounds, const en_copy_op *op) {
    if (op->rows == 0u || op->row_bytes == 0u || (op->rows > 1u && op->out_stride < op->row_bytes)) {
        return EN_BAD_SHAPE;
    }
    const en_span in = {op->in, (uint64_t)(op->rows - 1u) * op->in_stride + op->row_bytes};
    const en_span out = {op->out, (uint64_t)(op->rows - 1u) * op->out_stride + op->row_bytes};
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes)) {
        return EN_BAD_OFFSET;
    }
    return en_disjoint(out, in) ? EN_OK : EN_BAD_OVERLAP;
}
