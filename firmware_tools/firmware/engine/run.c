/* SPDX-License-Identifier: Apache-2.0 */
#include "operators.h"

static void run_op(const en_model *model, const en_op *op) {
    const void *const record = op;
    switch (op->kind) {
#define EN_RUN(kind, number, type, bytes, name) \
    case kind: \
        en_##name(model, record); \
        break;
        EN_OPERATORS(EN_RUN)
#undef EN_RUN
    default: /* en_load refuses every other kind */
        break;
    }
}

int8_t *en_input(const en_model *model) {
    return (int8_t *)(model->arena + model->header->input);
}

const int8_t *en_output(const en_model *model) {
    return (const int8_t *)(model->arena + model->header->output);
}

void en_run(const en_model *model, en_hook hook, void *context) {
    const uint32_t op_count = model->header->op_count;
    const uint8_t *next = model->plan + model->header->ops;
    for (uint32_t i = 0; i < op_count; i++) {
        const en_op *const op = (const en_op *)(const void *)next;
        if (hook) {
            hook(context, i, op_count);
        }
        run_op(model, op);
        next += op->bytes;
    }
    if (hook) {
        hook(context, op_count, op_count);
    }
}
