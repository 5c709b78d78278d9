/* SPDX-License-Identifier: Apache-2.0 */
/* What power leaves of a write or an erase of flash that it goes away under. */
#ifndef EDGENAS_TEAR_H
#define EDGENAS_TEAR_H

#include <stdint.h>

enum {
    TEAR_NOTHING, /* it never began */
    TEAR_DONE,    /* it was over, but nobody learnt of it */
    TEAR_FRONT,   /* the first half of the bytes */
    TEAR_BACK,
    TEAR_BITS,   /* each bit or not, by the seed */
    TEAR_PIECES, /* each piece or not: the units of a page, the bytes of a unit */
    TEAR_STYLES,
    TEAR_ONLY = 16,    /* + n: the nth piece and nothing else */
    TEAR_ALL_BUT = 32, /* + n: everything but the nth piece */
    TEAR_NUMBERED = 16 /* how many n there are */
};

static inline uint32_t tear_hash(uint32_t seed, uint32_t index) {
    uint32_t value = (seed + 1u) * 0x9E3779B1u ^ (index + 1u) * 0x85EBCA77u;
    value = (value ^ value >> 15) * 0x2C1B3C6Du;
    return value ^ value >> 13;
}

/* Which bits of byte `index` of `bytes` are changed. */
static inline uint8_t tear_mask(uint32_t style, uint32_t seed, uint32_t index, uint32_t bytes) {
    const uint32_t piece = bytes > 8u ? index / 8u : index;
    const int second_half = index >= bytes / 2u;
    int done = 0;
    switch (style) {
    case TEAR_BITS:
        return (uint8_t)tear_hash(seed, index);
    case TEAR_DONE:
        done = 1;
        break;
    case TEAR_FRONT:
        done = !second_half;
        break;
    case TEAR_BACK:
        done = second_half;
        break;
    case TEAR_PIECES:
        done = (tear_hash(seed, piece) & 1u) != 0u;
        break;
    default:
        done = style >= TEAR_ALL_BUT ? piece != style - TEAR_ALL_BUT : style >= TEAR_ONLY && piece == style - TEAR_ONLY;
    }
    return done ? 0xFFu : 0u;
}

/* The `bytes` at `at` should have become those at `after`, or erased if that is 0. */
static inline void tear(uint32_t style, uint32_t seed, uint8_t *at, const uint8_t *after, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        const uint8_t mask = tear_mask(style, seed, i, bytes);
        at[i] = (uint8_t)((at[i] & ~mask) | ((after ? after[i] : 0xFFu) & mask));
    }
}

#endif
