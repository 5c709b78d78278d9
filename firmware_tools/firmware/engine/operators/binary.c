/* SPDX-License-Identifier: Apache-2.0 */
/* Add and multiply: two kinds with one record. */
#include "operators.h"
#include "requant.h"

/* One row of `count` values: operand 2 advances by `step2`, 0 for a scalar. */
typedef struct {
    const int8_t *in1, *in2;
    int8_t *out;
    uint32_t step2;
} en_rows;

typedef void (*en_row)(const en_rows *rows, uint32_t count, const en_binary_op *op);

static void repeat(const en_model *model, const en_binary_op *op, en_row row) {
    const uint8_t *const base2 = op->constant ? model->plan : model->arena;
    en_rows rows = {(const int8_t *)(model->arena + op->in1), (const int8_t *)(base2 + op->in2),
                    (int8_t *)(model->arena + op->out), op->period == 1u ? 0u : 1u};
    const uint32_t count = op->period == 1u ? op->count : op->period;
    for (uint32_t done = 0; done < op->count; done += count) {
        row(&rows, count, op);
        rows.in1 += count;
        rows.out += count;
    }
}

/* (x - zero_point) * 2^20 * multiplier * 2^shift, shift <= 0. */
static inline int32_t scaled(int32_t x, int32_t zero_point, int32_t multiplier, int32_t shift) {
    return en_multiply((x - zero_point) * (INT32_C(1) << 20), multiplier, shift);
}

static void add_any(const en_rows *rows, uint32_t count, const en_binary_op *op) {
    const int8_t *in2 = rows->in2;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t sum = scaled(rows->in1[i], op->zero_point1, op->multiplier1, op->shift1) +
                            scaled(*in2, op->zero_point2, op->multiplier2, op->shift2);
        rows->out[i] =
            en_finish(en_multiply(sum, op->multiplier, op->shift), op->zero_point, op->low, op->high);
        in2 += rows->step2;
    }
}

/* What a converter makes: the scale of one operand ("half") is the larger one and half of what both are measured by, so
 * that its term is exactly (x - zero_point) << 19; the other one ("free") shifts to the right, and seldom by more than 4. */
typedef struct {
    int32_t free_offset; /* (x << 21) + free_offset is twice what is multiplied */
    int32_t multiplier, shift;
    int32_t offset; /* of the free term before its shift: half of a step, and the zero point of the half */
    en_fast sum;
} en_half;

static int is_half(int32_t multiplier, int32_t shift) {
    return multiplier == INT32_C(1) << 30 && shift == 0;
}

static int is_few(int32_t shift) {
    return shift >= -4 && shift <= -1; /* else en_half.offset would overflow */
}

static int is_quick(const en_binary_op *op) {
    const int halves = (is_half(op->multiplier1, op->shift1) && is_few(op->shift2)) ||
                       (is_half(op->multiplier2, op->shift2) && is_few(op->shift1));
    return halves && op->period > 1u && op->shift >= -22 && op->shift <= -1;
}

static en_half half_of(const en_binary_op *op, int first) {
    const int32_t half_zero = first ? op->zero_point1 : op->zero_point2;
    const int32_t free_zero = first ? op->zero_point2 : op->zero_point1;
    const int32_t right = first ? -op->shift2 : -op->shift1;
    return (en_half){
        .free_offset = -free_zero * (INT32_C(1) << 21),
        .multiplier = first ? op->multiplier2 : op->multiplier1,
        .shift = right,
        .offset = (INT32_C(1) << (right - 1)) - half_zero * (INT32_C(1) << (19 + right)),
        .sum = en_fast_of(op->multiplier, op->shift, op->zero_point),
    };
}

static inline int32_t add_one(const en_half *h, int32_t half, int32_t free) {
    const int32_t wide = free * (INT32_C(1) << 21) + h->free_offset;
    const int32_t term = en_high_mul_add(wide, h->multiplier, h->offset + (wide >> 31)) >> h->shift;
    return en_requant_fast(half * (INT32_C(1) << 19) + term, &h->sum);
}

static void add_quick(const en_rows *rows, uint32_t count, const en_binary_op *op) {
    const int first = is_half(op->multiplier1, op->shift1);
    const en_half h = half_of(op, first);
    const int8_t *half = first ? rows->in1 : rows->in2;
    const int8_t *free = first ? rows->in2 : rows->in1;
    int8_t *out = rows->out;
    for (const int8_t *const end = out + count; out < end; out++) {
        *out = en_saturate(add_one(&h, *half++, *free++));
    }
    if (op->low != INT8_MIN || op->high != INT8_MAX) { /* a second way is cheaper than registers for the bounds */
        for (out = rows->out; count > 0u; count--, out++) {
            *out = en_clamp(*out, op->low, op->high);
        }
    }
}

void en_add(const en_model *model, const en_binary_op *op) {
    repeat(model, op, is_quick(op) ? add_quick : add_any);
}

static void mul_any(const en_rows *rows, uint32_t count, const en_binary_op *op) {
    const int8_t *in2 = rows->in2;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t product = (rows->in1[i] - op->zero_point1) * (*in2 - op->zero_point2);
        rows->out[i] = en_finish(en_multiply(product, op->multiplier, op->shift), op->zero_point, op->low, op->high);
        in2 += rows->step2;
    }
}

static void mul_quick(const en_rows *rows, uint32_t count, const en_binary_op *op) {
    const en_fast fast = en_fast_of(op->multiplier, op->shift, op->zero_point);
    const int32_t zero1 = op->zero_point1, zero2 = op->zero_point2, low = op->low, high = op->high;
    const uint32_t step2 = rows->step2;
    const int8_t *in1 = rows->in1;
    const int8_t *in2 = rows->in2;
    int8_t *out = rows->out;
    for (const int8_t *const end = out + count; out < end; out++) {
        *out = en_clamp(en_requant_fast((*in1++ - zero1) * (*in2 - zero2), &fast), low, high);
        in2 += step2;
    }
}

void en_mul(const en_model *model, const en_binary_op *op) {
    repeat(model, op, op->shift >= -22 && op->shift <= -1 ? mul_quick : mul_any);
}

static en_status check_binary(const en_bounds *bounds, const en_binary_op *op, int is_add) {
    const en_span in1 = {op->in1, op->count};
    const en_span in2 = {op->in2, op->period};
    const en_span out = {op->out, op->count};
    if (op->count == 0u || op->period == 0u || op->count % op->period != 0u) {
        return EN_BAD_SHAPE;
    }
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

en_status en_check_add(en_bounds *bounds, const en_binary_op *op) {
    return check_binary(bounds, op, 1);
}

en_status en_check_mul(en_bounds *bounds, const en_binary_op *op) {
    return check_binary(bounds, op, 0);
}
