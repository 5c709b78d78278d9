/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over positions, for pools and the mean. Inline: a call costs as much as a sum over a small window. */
#ifndef EDGENAS_SUMS_H
#define EDGENAS_SUMS_H

#include <stdint.h>

#include "compiler.h"

/* Positions that are reduced to one: `height` rows of `width`, both strides in bytes. */
typedef struct {
    const int8_t *first;
    uint32_t height, width;
    uint32_t row_stride, stride;
} en_patch;

/* acc[0..3] += the sums of 4 channels. */
static inline void en_sum4(const en_patch *patch, uint32_t channel, int32_t acc[4]) {
    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
    const int8_t *row = patch->first + channel;
    for (uint32_t y = 0; y < patch->height; y++) {
        const int8_t *in = row;
        for (uint32_t x = patch->width; x > 0u; x--) {
            const uint32_t word = en_load4(in);
            a += (int8_t)word;
            b += (int8_t)(word >> 8);
            c += (int8_t)(word >> 16);
            d += (int8_t)(word >> 24);
            in += patch->stride;
        }
        row += patch->row_stride;
    }
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}

static inline int32_t en_sum1(const en_patch *patch, uint32_t channel, int32_t acc) {
    const int8_t *row = patch->first + channel;
    for (uint32_t y = 0; y < patch->height; y++) {
        const int8_t *in = row;
        for (uint32_t x = patch->width; x > 0u; x--) {
            acc += *in;
            in += patch->stride;
        }
        row += patch->row_stride;
    }
    return acc;
}

/* Sums of the channels from `from` on, each plus `bias`, into acc: of 4 channels while there are 4, then of one. How many. */
static inline uint32_t en_sum_some(const en_patch *patch, uint32_t from, uint32_t channels, int32_t bias, int32_t acc[4]) {
    if (channels - from < 4u) {
        acc[0] = en_sum1(patch, from, bias);
        return 1u;
    }
    acc[0] = acc[1] = acc[2] = acc[3] = bias;
    en_sum4(patch, from, acc);
    return 4u;
}

#endif
