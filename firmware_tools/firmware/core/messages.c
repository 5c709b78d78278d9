/* SPDX-License-Identifier: Apache-2.0 */
#include "messages.h"

#include <string.h>

void answer_bytes(answer *to, const uint8_t *bytes, uint32_t count) {
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

void answer_u8(answer *to, uint32_t value) {
    to->bytes[to->count++] = (uint8_t)value;
}

void answer_u16(answer *to, uint32_t value) {
    answer_u8(to, value & 0xFFu);
    answer_u8(to, value >> 8);
}

void answer_u32(answer *to, uint32_t value) {
    answer_u16(to, value & 0xFFFFu);
    answer_u16(to, value >> 16);
}

void answer_u64(answer *to, uint64_t value) {
    answer_u32(to, (uint32_t)value);
    answer_u32(to, (uint32_t)(value >> 32));
}
