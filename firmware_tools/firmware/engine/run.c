#include "kernels.h"

static void run_op(const en_model *model, const en_op *op) {
    const void *const record = op;
    switch (op->kind) {
    case EN_CONV:
        en_conv(model, record);
        break;
    case EN_DENSE:
        en_dense(model, record);
        break;
    case EN_DEPTHWISE:
        en_depthwise(model, record);
        break;
    case EN_ADD:
        en_add(model, record);
        break;
    case EN_MUL:
        en_mul(model, record);
        break;
    case EN_AVERAGE_POOL:
        en_average_pool(model, record);
        break;
    case EN_MAX_POOL:
        en_max_pool(model, record);
        break;
    case EN_MEAN:
        en_mean(model, record);
        break;
    case EN_COPY:
        en_copy(model, record);
        break;
    case EN_FILL:
        en_fill(model, record);
        break;
    case EN_LUT:
        en_lut(model, record);
        break;
    case EN_SOFTMAX:
        en_softmax(model, record);
        break;
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
