/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers on the wire and in flash: little-endian, at any address. */
#ifndef EDGENAS_BYTES_H
#define EDGENAS_BYTES_H

#include <stdint.h>

static inline uint32_t get_u16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t get_u32(const uint8_t *at) {
    return get_u16(at) | get_u16(at + 2) << 16;
}

static inline void put_u32(uint8_t *to, uint32_t value) {
    for (uint32_t i = 0; i < 4u; i++) {
        to[i] = (uint8_t)(value >> (8u * i));
    }
}

static inline int bytes_equal(const uint8_t *a, const uint8_t *b, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (a[i] != b[i]) {
            return 0;
        }
    }
    return 1;
}

/* Whether all are as an erase leaves them. */
static inline int bytes_blank(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (bytes[i] != 0xFFu) {
            return 0;
        }
    }
    return 1;
}

#endif
