/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels are made of, in C. */
#ifndef EDGENAS_PORTABLE_PRIMITIVES_H
#define EDGENAS_PORTABLE_PRIMITIVES_H

#include <stdint.h>

/* The high word of (a * b + 2^31), plus c. */
static inline int32_t en_high_mul_add(int32_t a, int32_t b, int32_t c) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32) + c;
}

/* Four int8 to int16: the inputs 0, 2 to `even`, the inputs 1, 3 to `odd`. */
static inline void en_widen(const int8_t *from, int16_t *even, int16_t *odd) {
    even[0] = from[0];
    odd[0] = from[1];
    even[1] = from[2];
    odd[1] = from[3];
}

#endif
