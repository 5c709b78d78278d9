/* SPDX-License-Identifier: Apache-2.0 */
/* memcpy and memset: the cross compiler comes without a libc. */
#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t words[4];
} quad;

typedef struct {
    uint32_t word;
} __attribute__((packed, may_alias)) unaligned;

/* As a libc's: 4 words by LDM and STM where both are aligned, else words, which these cores load from any address. */
void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0u) {
        for (; count >= sizeof(quad); count -= sizeof(quad), out += sizeof(quad), in += sizeof(quad)) {
            *(quad *)(void *)out = *(const quad *)(const void *)in;
        }
    }
    for (; count >= 4u; count -= 4u, out += 4, in += 4) {
        ((unaligned *)(void *)out)->word = ((const unaligned *)(const void *)in)->word;
    }
    while (count-- > 0u) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t count) {
    uint8_t *out = to;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 4u; count -= 4u, out += 4) {
        ((unaligned *)(void *)out)->word = word;
    }
    while (count-- > 0u) {
        *out++ = (uint8_t)value;
    }
    return to;
}
