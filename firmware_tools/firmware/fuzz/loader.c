/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes to en_load, as they are and with a header that gets them past the first checks. */
#include <stdlib.h>
#include <string.h>

#include "patch.h"

static uint32_t arena[1u << 16];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint8_t *const plan = malloc(bytes); /* of exactly this size: a byte behind it is an error */
    en_model model;
    if (bytes == 0u || !plan) {
        free(plan);
        return 0;
    }
    memcpy(plan, data, bytes);
    (void)en_load(&model, plan, (uint32_t)bytes, arena, sizeof arena);
    if (bytes >= sizeof(en_plan_header)) {
        patch(plan, (uint32_t)(bytes / 4u * 4u));
        (void)en_load(&model, plan, (uint32_t)bytes, arena, sizeof arena);
    }
    free(plan);
    return 0;
}
