/* What load.c asks of every operator before a plan may run. */
#ifndef EDGENAS_CHECK_H
#define EDGENAS_CHECK_H

#include "engine.h"

/* What operators may name, and how much reading en_load still grants itself: operators may share tables, and a plan in
 * which thousands of them share a large one must not take quadratic time. */
typedef struct {
    const uint8_t *plan;
    uint32_t plan_bytes;
    uint32_t arena_bytes;
    uint64_t readable; /* bytes of tables */
} en_bounds;

/* A place in the plan or the arena. Sizes are products of up to four fields of 16 bits: 64 bits hold them. */
typedef struct {
    uint32_t at;
    uint64_t bytes;
} en_span;

static inline int en_inside(en_span span, uint32_t bytes) {
    return span.at <= bytes && span.bytes <= bytes - span.at;
}

static inline int en_disjoint(en_span a, en_span b) {
    return a.at + a.bytes <= b.at || b.at + b.bytes <= a.at;
}

/* The output is disjoint from the input, or begins at least `distance` bytes before it. */
static inline int en_ahead(en_span out, en_span in, uint64_t distance) {
    return en_disjoint(out, in) || out.at + distance <= in.at;
}

/* The size of a record of this kind, 0 for an unknown kind. */
uint32_t en_record_bytes(uint32_t kind);

/* `op` lies completely inside the plan and has the size of its kind. */
en_status en_check_op(en_bounds *bounds, const en_op *op);

/* The same for the operators with a window or packed weights: check_window.c. */
en_status en_check_conv(en_bounds *bounds, const en_conv_op *op);
en_status en_check_dense(en_bounds *bounds, const en_dense_op *op);
en_status en_check_depthwise(en_bounds *bounds, const en_depthwise_op *op);
en_status en_check_pool(const en_bounds *bounds, const en_pool_op *op);

#endif
