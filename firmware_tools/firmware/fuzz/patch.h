/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzzer cannot guess: the right magic, version, size and CRC-32. */
#ifndef EDGENAS_FUZZ_PATCH_H
#define EDGENAS_FUZZ_PATCH_H

#include "engine.h"

/* Of its own, so that it also checks the one that it fuzzes. */
static uint32_t bitwise_crc32(const uint8_t *bytes, uint32_t count) {
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

static void patch(uint8_t *plan, uint32_t plan_bytes) {
    en_plan_header *const header = (en_plan_header *)(void *)plan;
    header->magic = EN_PLAN_MAGIC;
    header->version = EN_PLAN_VERSION;
    header->packing = EN_PACKING;
    header->plan_bytes = plan_bytes;
    header->crc32 = bitwise_crc32(plan + 16, plan_bytes - 16u);
}

#endif
