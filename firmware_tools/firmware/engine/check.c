/* What the operators without packed weights may ask for. The order of PLAN.md: shapes, values, offsets, overlaps, tables. */
#include "check.h"

#define EN_SOFTMAX_DEPTH 4095u /* so many times 1.0 fit into the sum, which has 12 bits before the point */

static en_status check_binary(const en_bounds *bounds, const en_binary_op *op) {
    const en_span in1 = {op->in1, op->count};
    const en_span in2 = {op->in2, op->period};
    const en_span out = {op->out, op->count};
    if (op->count == 0u || op->period == 0u || op->count % op->period != 0u) {
        return EN_BAD_SHAPE;
    }
    const int is_add = op->op.kind == EN_ADD;
    if (op->multiplier < 0 || op->shift < -31 || op->shift > (is_add ? 0 : 30) || op->low > op->high ||
        op->constant > 1u) {
        return EN_BAD_VALUE;
    }
    if (is_add && (op->multiplier1 < 0 || op->multiplier2 < 0 || op->shift1 < -31 || op->shift1 > 0 ||
                   op->shift2 < -31 || op->shift2 > 0)) {
        return EN_BAD_VALUE;
    }
    if (!en_inside(in1, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(in2, op->constant ? bounds->plan_bytes : bounds->arena_bytes)) {
        return EN_BAD_OFFSET;
    }
    const int repeats = op->period != op->count;
    const int in2_safe = op->constant || (repeats ? en_disjoint(out, in2) : en_ahead(out, in2, 0));
    return en_ahead(out, in1, 0) && in2_safe ? EN_OK : EN_BAD_OVERLAP;
}

static en_status check_mean(const en_bounds *bounds, const en_mean_op *op) {
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

static en_status check_copy(const en_bounds *bounds, const en_copy_op *op) {
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

static en_status check_fill(const en_bounds *bounds, const en_fill_op *op) {
    if (op->count == 0u) {
        return EN_BAD_SHAPE;
    }
    return en_inside((en_span){op->out, op->count}, bounds->arena_bytes) ? EN_OK : EN_BAD_OFFSET;
}

static en_status check_lut(const en_bounds *bounds, const en_lut_op *op) {
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

static en_status check_softmax(en_bounds *bounds, const en_softmax_op *op) {
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

uint32_t en_record_bytes(uint32_t kind) {
    static const uint8_t bytes[] = {
        [EN_CONV] = sizeof(en_conv_op),     [EN_DENSE] = sizeof(en_dense_op),
        [EN_DEPTHWISE] = sizeof(en_depthwise_op),
        [EN_ADD] = sizeof(en_binary_op),    [EN_MUL] = sizeof(en_binary_op),
        [EN_AVERAGE_POOL] = sizeof(en_pool_op), [EN_MAX_POOL] = sizeof(en_pool_op),
        [EN_MEAN] = sizeof(en_mean_op),     [EN_COPY] = sizeof(en_copy_op),
        [EN_FILL] = sizeof(en_fill_op),     [EN_LUT] = sizeof(en_lut_op),
        [EN_SOFTMAX] = sizeof(en_softmax_op),
    };
    return kind < sizeof bytes ? bytes[kind] : 0u;
}

en_status en_check_op(en_bounds *bounds, const en_op *op) {
    const void *const record = op;
    switch (op->kind) {
    case EN_CONV:
        return en_check_conv(bounds, record);
    case EN_DENSE:
        return en_check_dense(bounds, record);
    case EN_DEPTHWISE:
        return en_check_depthwise(bounds, record);
    case EN_ADD:
    case EN_MUL:
        return check_binary(bounds, record);
    case EN_AVERAGE_POOL:
    case EN_MAX_POOL:
        return en_check_pool(bounds, record);
    case EN_MEAN:
        return check_mean(bounds, record);
    case EN_COPY:
        return check_copy(bounds, record);
    case EN_FILL:
        return check_fill(bounds, record);
    case EN_LUT:
        return check_lut(bounds, record);
    case EN_SOFTMAX:
        return check_softmax(bounds, record);
    default:
        return EN_BAD_OPERATOR;
    }
}
