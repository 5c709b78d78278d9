/* SPDX-License-Identifier: Apache-2.0 */
/* en_load: the header here, every operator in its own file. */
#include "crc32.h"
#include "operators.h"

/* Operators together name at most this many times plan_bytes of tables. */
#define EN_SHARING 16u

static en_status check_identity(const uint8_t *plan, uint32_t plan_bytes) {
    const en_plan_header *header = (const en_plan_header *)(const void *)plan;
    if (header->plan_bytes > plan_bytes || header->plan_bytes < sizeof *header || header->plan_bytes % 4u != 0u ||
        header->plan_bytes > INT32_MAX) {
        return EN_BAD_SIZE;
    }
    if (header->magic != EN_PLAN_MAGIC) {
        return EN_BAD_MAGIC;
    }
    if (header->version != EN_PLAN_VERSION || header->packing != EN_PACKING) {
        return EN_BAD_VERSION;
    }
    return en_crc32(plan + 16, header->plan_bytes - 16u) == header->crc32 ? EN_OK : EN_BAD_CRC;
}

static int is_int8(int32_t value) {
    return value >= INT8_MIN && value <= INT8_MAX;
}

static en_status check_arena(const en_plan_header *header, uint32_t arena_bytes) {
    const en_span input = {header->input, header->input_bytes};
    const en_span output = {header->output, header->output_bytes};
    if (header->arena_bytes % 4u != 0u || header->ops % 4u != 0u) {
        return EN_BAD_ALIGNMENT;
    }
    if (header->arena_bytes > arena_bytes) {
        return EN_ARENA_TOO_SMALL;
    }
    if (header->arena_bytes > INT32_MAX || input.bytes == 0u || output.bytes == 0u) {
        return EN_BAD_SHAPE;
    }
    if (!is_int8(header->input_zero_point) || !is_int8(header->output_zero_point)) {
        return EN_BAD_VALUE;
    }
    const en_span ops = {header->ops, header->ops_bytes};
    if (!en_inside(input, header->arena_bytes) || !en_inside(output, header->arena_bytes) ||
        !en_inside(ops, header->plan_bytes) || ops.at < sizeof *header) {
        return EN_BAD_OFFSET;
    }
    return EN_OK;
}

/* The size of a record of this kind, 0 for an unknown kind. */
static uint32_t record_bytes(uint32_t kind) {
#define EN_BYTES(kind, number, record, bytes, name) [kind] = sizeof(record),
    static const uint8_t sizes[] = {EN_OPERATORS(EN_BYTES)};
#undef EN_BYTES
    return kind < sizeof sizes ? sizes[kind] : 0u;
}

static en_status check_op(en_bounds *bounds, const en_op *op) {
    const void *const record = op;
    switch (op->kind) {
#define EN_CHECK(kind, number, type, bytes, name) \
    case kind: \
        return en_check_##name(bounds, record);
        EN_OPERATORS(EN_CHECK)
#undef EN_CHECK
    default:
        return EN_BAD_OPERATOR;
    }
}

/* A record that lies completely in the `left` bytes from `op` on. */
static int is_record(const en_op *op, uint32_t left) {
    return left >= sizeof *op && op->bytes <= left && op->bytes != 0u && op->bytes == record_bytes(op->kind);
}

static en_status check_ops(en_model *model) {
    const en_plan_header *const header = model->header;
    en_bounds bounds = {model->plan, header->plan_bytes, header->arena_bytes, (uint64_t)header->plan_bytes * EN_SHARING};
    uint32_t done = 0;
    for (uint32_t i = 0; i < header->op_count; i++) {
        const en_op *const op = (const en_op *)(const void *)(model->plan + header->ops + done);
        const en_status status =
            is_record(op, header->ops_bytes - done) ? check_op(&bounds, op) : EN_BAD_OPERATOR;
        if (status != EN_OK) {
            model->failed_op = i;
            return status;
        }
        done += op->bytes;
    }
    return header->op_count != 0u && done == header->ops_bytes ? EN_OK : EN_BAD_OPERATOR;
}

en_status en_load(en_model *model, const void *plan, uint32_t plan_bytes, void *arena, uint32_t arena_bytes) {
    *model = (en_model){.plan = plan, .arena = arena, .header = plan, .failed_op = 0};
    if ((uintptr_t)plan % 4u != 0u || (uintptr_t)arena % 4u != 0u) {
        return EN_BAD_ALIGNMENT;
    }
    if (plan_bytes < sizeof(en_plan_header)) {
        return EN_BAD_SIZE;
    }
    model->failed_op = model->header->op_count;
    const en_status identity = check_identity(model->plan, plan_bytes);
    if (identity != EN_OK) {
        return identity;
    }
    const en_status places = check_arena(model->header, arena_bytes);
    return places != EN_OK ? places : check_ops(model);
}
