/* Operators that compute nothing. */
#include <string.h>

#include "kernels.h"

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

void en_fill(const en_model *model, const en_fill_op *op) {
    memset(model->arena + op->out, op->value, op->count);
}
