/* SPDX-License-Identifier: Apache-2.0 */
/* Fill: one value. */
#include <string.h>

#include "operators.h"

void en_fill(const en_model *model, const en_fill_op *op) {
    memset(model->arena + op->out, op->value, op->count);
}

en_status en_check_fill(en_bounds *bounds, const en_fill_op *op) {
    if (op->count == 0u) {
        return EN_BAD_SHAPE;
    }
    return en_inside((en_span){op->out, op->count}, bounds->arena_bytes) ? EN_OK : EN_BAD_OFFSET;
}
