/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as plan and input: what en_load accepts must run without touching anything but the plan and the arena. */
#include <stdlib.h>
#include <string.h>

#include "patch.h"

#define MOST_ARENA (1u << 20)
#define MOST_WORK (1u << 24) /* roughly multiplications; more would only make the fuzzer slow */

static uint64_t window_work(const en_window *w, uint64_t channels) {
    return (uint64_t)w->out_h * w->out_w * w->kernel_h * w->kernel_w * channels;
}

/* All records have the size of their kind: en_load accepted them. */
static uint64_t work_of(const en_op *op) {
    const void *const record = op;
    const en_conv_op *const conv = record;
    const en_dense_op *const dense = record;
    const en_depthwise_op *const depthwise = record;
    const en_pool_op *const pool = record;
    switch (op->kind) {
    case EN_CONV:
        return window_work(&conv->window, (uint64_t)conv->window.in_c * (conv->window.out_c + 1u));
    case EN_DENSE:
        return (uint64_t)dense->inputs * dense->outputs;
    case EN_DEPTHWISE: /* the columns that are gathered may be many where the outputs are few */
        return window_work(&depthwise->window, depthwise->window.out_c) * depthwise->window.stride_h *
               depthwise->window.stride_w;
    case EN_AVERAGE_POOL:
    case EN_MAX_POOL:
        return window_work(&pool->window, pool->window.in_c);
    default:
        return MOST_ARENA / 8u; /* at most every byte of the arena once or twice */
    }
}

static int is_short(const en_model *model) {
    const uint8_t *next = model->plan + model->header->ops;
    uint64_t work = 0;
    for (uint32_t i = 0; i < model->header->op_count && work <= MOST_WORK; i++) {
        const en_op *const op = (const en_op *)(const void *)next;
        work += work_of(op);
        next += op->bytes;
    }
    return work <= MOST_WORK;
}

static void fill(uint8_t *to, uint32_t count, const uint8_t *from, size_t bytes) {
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i % bytes];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint32_t plan_bytes = (uint32_t)(bytes / 4u * 4u);
    if (plan_bytes < sizeof(en_plan_header)) {
        return 0;
    }
    uint8_t *const plan = malloc(plan_bytes);
    memcpy(plan, data, plan_bytes);
    patch(plan, plan_bytes);
    const uint32_t arena_bytes = ((const en_plan_header *)(const void *)plan)->arena_bytes;
    uint8_t *const arena = arena_bytes > 0u && arena_bytes <= MOST_ARENA ? malloc(arena_bytes) : NULL;
    en_model model;
    if (arena && en_load(&model, plan, plan_bytes, arena, arena_bytes) == EN_OK && is_short(&model)) {
        fill(arena, arena_bytes, data, bytes); /* the end of the plan, its weights, is as good an input as any */
        en_run(&model, 0, 0);
        if (model.header->crc32 != bitwise_crc32(plan + 16, plan_bytes - 16u)) {
            abort(); /* the plan was written to */
        }
    }
    free(arena);
    free(plan);
    return 0;
}
