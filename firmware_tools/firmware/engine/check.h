/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator's check is told, and what it asks with. Checks go in the order of PLAN.md: shapes, values, offsets,
 * overlaps, tables. */
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

#endif
