/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of the DSP extension (Cortex-M4, M7, M33) that the kernels use. "Halves" are two int16 in one word, the
 * lower first. */
#ifndef EDGENAS_DSP_PRIMITIVES_H
#define EDGENAS_DSP_PRIMITIVES_H

#include <stdint.h>

#include "compiler.h"

/* Halves of the bytes 0 and 2, of the bytes 1 and 3. */
static inline uint32_t en_even_bytes(uint32_t word) {
    uint32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
}

static inline uint32_t en_odd_bytes(uint32_t word) {
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

/* The lower halves of both. */
static inline uint32_t en_pack_low(uint32_t first, uint32_t second) {
    uint32_t halves;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(first), "r"(second));
    return halves;
}

/* sum + both products of the halves. */
static inline int32_t en_smlad(uint32_t x, uint32_t w, int32_t sum) {
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(w), "r"(sum));
    return result;
}

/* The high word of (a * b + 2^31), plus c. */
static inline int32_t en_high_mul_add(int32_t a, int32_t b, int32_t c) {
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

/* Four int8 to int16: the inputs 0, 2 to `even`, the inputs 1, 3 to `odd`. */
static inline void en_widen(const int8_t *from, int16_t *even, int16_t *odd) {
    const uint32_t word = en_load4(from);
    const uint32_t first = en_even_bytes(word), second = en_odd_bytes(word);
    __builtin_memcpy(even, &first, sizeof first);
    __builtin_memcpy(odd, &second, sizeof second);
}

#endif
