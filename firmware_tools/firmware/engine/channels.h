/* SPDX-License-Identifier: Apache-2.0 */
/* Requantisation channel by channel, out of an operator's tables. */
#ifndef EDGENAS_CHANNELS_H
#define EDGENAS_CHANNELS_H

#include <stdint.h>

#include "plan.h"
#include "requant.h"

/* A bias may be anything; sums wrap as the reference's do. */
static inline int32_t en_wrapping_sum(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
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
