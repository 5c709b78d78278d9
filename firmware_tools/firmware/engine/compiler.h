/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels tell the compiler, and words of memory. */
#ifndef EDGENAS_COMPILER_H
#define EDGENAS_COMPILER_H

#include <stdint.h>

/* For a function with an inner loop: it then has the registers that its caller would otherwise hold. */
#define EN_NOINLINE __attribute__((noinline))
/* Before a loop over a few taps: -O2 alone leaves it a loop. */
#define EN_UNROLL _Pragma("GCC unroll 8")
/* For an inner loop whose sizes are constants where it is called. */
#define EN_INLINE static inline __attribute__((always_inline))

/* A word of anything in memory. */
typedef uint32_t __attribute__((may_alias)) en_word;

/* Four bytes from anywhere: one LDR where unaligned loads are allowed, else four LDRB. */
static inline uint32_t en_load4(const void *from) {
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}

#endif
