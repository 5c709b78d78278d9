/* The instructions of the DSP extension (Cortex-M4, M7, M33) that the kernels use, and what both kernel sets share
 * around them. "Halves" are two int16 in one word, the lower first. */
#ifndef EDGENAS_SIMD_H
#define EDGENAS_SIMD_H

#include <stdint.h>
#include <string.h>

#include "requant.h"

/* For a function with an inner loop: alone it gets the registers that its caller would otherwise hold. */
#define EN_ALONE __attribute__((noinline))
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

#if defined(__ARM_FEATURE_DSP)
#define EN_DSP 1

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

#else
#define EN_DSP 0
#endif

static inline int8_t en_saturate(int32_t value) {
#if defined(__ARM_FEATURE_SAT)
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return (int8_t)result;
#else
    return en_clamp(value, INT8_MIN, INT8_MAX);
#endif
}

/* A bias may be anything; sums wrap as the reference's do. */
static inline int32_t en_wrapping_sum(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Four int8 to int16: the inputs 0, 2 to `even`, the inputs 1, 3 to `odd`. */
static inline void en_widen(const int8_t *from, int16_t *even, int16_t *odd) {
#if EN_DSP
    const uint32_t word = en_load4(from);
    const uint32_t first = en_even_bytes(word), second = en_odd_bytes(word);
    __builtin_memcpy(even, &first, sizeof first);
    __builtin_memcpy(odd, &second, sizeof second);
#else
    even[0] = from[0];
    odd[0] = from[1];
    even[1] = from[2];
    odd[1] = from[3];
#endif
}

/* The tables of an operator's en_requant in memory. */
typedef struct {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero_point, low, high;
    int fast, saturate; /* saturate: the clamp is that of int8 */
} en_tables;

static inline en_tables en_tables_of(const uint8_t *plan, const en_requant *requant) {
    return (en_tables){(const int32_t *)(const void *)(plan + requant->bias),
                       (const int32_t *)(const void *)(plan + requant->multiplier),
                       (const int8_t *)(plan + requant->shift),
                       requant->zero_point,
                       requant->low,
                       requant->high,
                       requant->fast != 0,
                       requant->low == INT8_MIN && requant->high == INT8_MAX};
}

/* What one channel needs; `fast` is filled only where the tables say so. */
typedef struct {
    const en_tables *tables;
    int32_t multiplier, shift;
    en_fast fast;
    int quick; /* fast, and saturate */
} en_channel;

static inline en_channel en_channel_of(const en_tables *tables, uint32_t channel) {
    en_channel result = {tables, tables->multiplier[channel], tables->shift[channel], {0, 0, 1},
                         tables->fast && tables->saturate};
    if (tables->fast)
        result.fast = en_fast_of(result.multiplier, result.shift, tables->zero_point);
    return result;
}

static __attribute__((noinline, unused)) int8_t en_to_int8_any(int32_t acc, const en_channel *channel) {
    const en_tables *const tables = channel->tables;
    if (!tables->fast)
        return en_finish(en_multiply(acc, channel->multiplier, channel->shift), tables->zero_point, tables->low,
                         tables->high);
    return en_clamp(en_requant_fast(acc, &channel->fast), tables->low, tables->high);
}

static inline int8_t en_to_int8(int32_t acc, const en_channel *channel) {
    return channel->quick ? en_saturate(en_requant_fast(acc, &channel->fast)) : en_to_int8_any(acc, channel);
}

#endif
