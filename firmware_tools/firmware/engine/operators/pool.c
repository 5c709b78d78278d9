/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: 4 channels at a time, so that a position costs one load of a word and nothing is stored on the way. */
#include "compiler.h"
#include "operators.h"
#include "requant.h"
#include "sums.h"
#include "window.h"

static void average_patch(const en_patch *patch, const en_pool_op *op, int8_t *out) {
    const uint32_t channels = op->window.in_c;
    const int32_t count = (int32_t)(patch->height * patch->width);
    for (uint32_t from = 0; from < channels;) {
        int32_t acc[4];
        const uint32_t some = en_sum_some(patch, from, channels, 0, acc);
        for (uint32_t i = 0; i < some; i++) {
            const int32_t half = acc[i] > 0 ? count / 2 : -(count / 2);
            out[from + i] = en_clamp((acc[i] + half) / count, op->low, op->high);
        }
        from += some;
    }
}

static inline int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static void max4(const en_patch *patch, uint32_t channel, int32_t best[4]) {
    int32_t a = best[0], b = best[1], c = best[2], d = best[3];
    const int8_t *row = patch->first + channel;
    for (uint32_t y = 0; y < patch->height; y++) {
        const int8_t *in = row;
        for (uint32_t x = patch->width; x > 0u; x--) {
            const uint32_t word = en_load4(in);
            a = larger((int8_t)word, a);
            b = larger((int8_t)(word >> 8), b);
            c = larger((int8_t)(word >> 16), c);
            d = larger((int8_t)(word >> 24), d);
            in += patch->stride;
        }
        row += patch->row_stride;
    }
    best[0] = a;
    best[1] = b;
    best[2] = c;
    best[3] = d;
}

static int32_t max1(const en_patch *patch, uint32_t channel, int32_t best) {
    const int8_t *row = patch->first + channel;
    for (uint32_t y = 0; y < patch->height; y++) {
        for (uint32_t x = 0; x < patch->width; x++) {
            best = larger(row[x * patch->stride], best);
        }
        row += patch->row_stride;
    }
    return best;
}

static void max_patch(const en_patch *patch, const en_pool_op *op, int8_t *out) {
    const uint32_t channels = op->window.in_c;
    uint32_t from = 0;
    for (; from + 4u <= channels; from += 4u) {
        int32_t best[4] = {op->low, op->low, op->low, op->low};
        max4(patch, from, best);
        for (uint32_t i = 0; i < 4u; i++) {
            out[from + i] = en_clamp(best[i], op->low, op->high);
        }
    }
    for (; from < channels; from++) {
        out[from] = en_clamp(max1(patch, from, op->low), op->low, op->high);
    }
}

/* The part of a window that lies inside: from `*first` on, as many as returned. en_load made sure that there is one. */
static uint32_t clip(uint32_t at, uint32_t stride, uint32_t pad, uint32_t kernel, uint32_t size, uint32_t *first) {
    const uint32_t begin = at * stride;
    const uint32_t end = begin + kernel < size + pad ? begin + kernel : size + pad;
    *first = begin > pad ? begin - pad : 0u;
    return end - pad - *first;
}

static void pool(const en_model *model, const en_pool_op *op,
                 void (*reduce)(const en_patch *patch, const en_pool_op *op, int8_t *out)) {
    const en_window *const w = &op->window;
    const int8_t *const in = (const int8_t *)(model->arena + op->in);
    int8_t *out = (int8_t *)(model->arena + op->out);
    en_patch patch = {.row_stride = (uint32_t)w->in_w * w->in_c, .stride = w->in_c};
    for (uint32_t y = 0; y < w->out_h; y++) {
        uint32_t row;
        patch.height = clip(y, w->stride_h, w->pad_top, w->kernel_h, w->in_h, &row);
        for (uint32_t x = 0; x < w->out_w; x++) {
            uint32_t column;
            patch.width = clip(x, w->stride_w, w->pad_left, w->kernel_w, w->in_w, &column);
            patch.first = in + row * patch.row_stride + column * patch.stride;
            reduce(&patch, op, out);
            out += w->out_c;
        }
    }
}

void en_average_pool(const en_model *model, const en_pool_op *op) {
    pool(model, op, average_patch);
}

void en_max_pool(const en_model *model, const en_pool_op *op) {
    pool(model, op, max_patch);
}

static en_status check_pool(const en_bounds *bounds, const en_pool_op *op) {
    const en_window *const w = &op->window;
    const en_span in = en_window_input(op->in, w);
    const en_span out = en_window_output(op->out, w);
    if (!en_is_window(w) || w->in_c != w->out_c) {
        return EN_BAD_SHAPE;
    }
    if (op->low > op->high) {
        return EN_BAD_VALUE;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes)) {
        return EN_BAD_OFFSET;
    }
    return en_ahead(out, in, en_window_distance(w)) ? EN_OK : EN_BAD_OVERLAP;
}

en_status en_check_average_pool(en_bounds *bounds, const en_pool_op *op) {
    return check_pool(bounds, op);
}

en_status en_check_max_pool(en_bounds *bounds, const en_pool_op *op) {
    return check_pool(bounds, op);
}
