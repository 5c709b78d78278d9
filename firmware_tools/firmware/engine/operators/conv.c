/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution: 3 output pixels at a time, 2 channels at a time (PLAN.md, packed weights). Where fewer are left, the
 * last one is repeated.
 *
 * The pixels are numbered through, so a group of 3 may span two rows: it is read completely before any of it is
 * written, and what is written lies in rows whose inputs the overlap rule no longer needs. */
#include "kernels.h"
#include "operators.h"
#include "packed.h"
#include "window.h"

/* Scratch: [groups][inputs 0 and 2, inputs 1 and 3][pixels][2]. */
#define HALF (2u * EN_PIXELS)
#define GROUP (2u * HALF)

typedef struct {
    int32_t top, left; /* where the patch of a pixel begins in the input; may lie outside */
} en_corner;

typedef struct {
    const en_window *window;
    const int8_t *in;
    int16_t *scratch;
    uint32_t run; /* values of one kernel row */
    uint32_t groups;
    int8_t outside[4];
} en_patches;

/* Widen n values for one pixel to the places k, k + 1, ... of its patch; step 0 repeats the first four (all equal). */
static EN_NOINLINE uint32_t put(int16_t *slots, uint32_t k, const int8_t *from, uint32_t n, uint32_t step) {
    const uint32_t end = k + n;
    for (; k < end && k % 4 != 0; k++, from += step)
        slots[k / 4 * GROUP + k % 2 * HALF + k / 2 % 2] = *from;
    for (; k + 4 <= end; k += 4, from += 4 * step)
        en_widen(from, slots + 3 * k, slots + 3 * k + HALF);
    for (; k < end; k++, from += step)
        slots[k / 4 * GROUP + k % 2 * HALF + k / 2 % 2] = *from;
    return end;
}

/* Kernel row `row` of one pixel, any part of which may lie outside the input; its values begin at place k. What lies
 * inside is there already if `widened`. */
static uint32_t put_row(const en_patches *patches, en_corner corner, int32_t row, uint32_t k, int16_t *slots,
                        int widened) {
    const en_window *const window = patches->window;
    const int32_t in_w = window->in_w, in_c = window->in_c, y = corner.top + row;
    if (y < 0 || y >= window->in_h)
        return put(slots, k, patches->outside, patches->run, 0);
    const int32_t over = corner.left + window->kernel_w - in_w;
    const int32_t before = corner.left < 0 ? -corner.left : 0, after = over < 0 ? 0 : over;
    const uint32_t inside = (uint32_t)((window->kernel_w - before - after) * in_c);
    if (before > 0)
        k = put(slots, k, patches->outside, (uint32_t)(before * in_c), 0);
    k = widened ? k + inside : put(slots, k, patches->in + (y * in_w + corner.left + before) * in_c, inside, 1);
    return after > 0 ? put(slots, k, patches->outside, (uint32_t)(after * in_c), 0) : k;
}

/* Kernel rows of any length. */
static EN_NOINLINE void gather_bytes(const en_patches *patches, const en_corner corners[EN_PIXELS]) {
    const int8_t nothing[4] = {0};
    for (uint32_t pixel = 0; pixel < EN_PIXELS; pixel++) {
        int16_t *const slots = patches->scratch + 2 * pixel;
        uint32_t k = 0;
        for (int32_t row = 0; row < patches->window->kernel_h; row++)
            k = put_row(patches, corners[pixel], row, k, slots, 0);
        put(slots, k, nothing, (4u - k % 4u) % 4u, 0);
    }
}

static int inside(const en_window *window, en_corner corner) {
    return corner.top >= 0 && corner.left >= 0 && corner.top + window->kernel_h <= window->in_h &&
           corner.left + window->kernel_w <= window->in_w;
}

/* Three patches of whole words that lie inside. */
static EN_NOINLINE void gather_inside(const en_patches *patches, const en_corner corners[EN_PIXELS]) {
    const en_window *const window = patches->window;
    const int32_t in_c = window->in_c, row_bytes = window->in_w * in_c;
    const int8_t *pixel0 = patches->in + corners[0].top * row_bytes + corners[0].left * in_c;
    const int8_t *pixel1 = patches->in + corners[1].top * row_bytes + corners[1].left * in_c;
    const int8_t *pixel2 = patches->in + corners[2].top * row_bytes + corners[2].left * in_c;
    int16_t *to = patches->scratch;
    for (uint32_t row = window->kernel_h; row > 0; row--, to += 3 * patches->run) {
        en_widen_3(to, pixel0, pixel1, pixel2, patches->run / 4);
        pixel0 += row_bytes;
        pixel1 += row_bytes;
        pixel2 += row_bytes;
    }
}

/* Three patches of whole words: first as if the input went on to the left and to the right, which it does in memory but
 * before its first and after its last row; then what lies outside is put right. */
static EN_NOINLINE void gather_words(const en_patches *patches, const en_corner corners[EN_PIXELS]) {
    const en_window *const window = patches->window;
    const int32_t run = (int32_t)patches->run, row_bytes = window->in_w * window->in_c;
    const int32_t last = window->in_h * row_bytes - run;
    int32_t offset[EN_PIXELS];
    int whole[EN_PIXELS], known[EN_PIXELS];
    for (uint32_t pixel = 0; pixel < EN_PIXELS; pixel++) {
        offset[pixel] = corners[pixel].top * row_bytes + corners[pixel].left * window->in_c;
        whole[pixel] = inside(window, corners[pixel]);
    }
    int16_t *to = patches->scratch;
    for (int32_t row = 0; row < window->kernel_h; row++, to += 3 * run) {
        const int8_t *from[EN_PIXELS];
        for (uint32_t pixel = 0; pixel < EN_PIXELS; pixel++) {
            known[pixel] = offset[pixel] >= 0 && offset[pixel] <= last;
            from[pixel] = patches->in + (known[pixel] ? offset[pixel] : 0);
            offset[pixel] += row_bytes;
        }
        en_widen_3(to, from[0], from[1], from[2], patches->run / 4);
        for (uint32_t pixel = 0; pixel < EN_PIXELS; pixel++) {
            if (!whole[pixel])
                put_row(patches, corners[pixel], row, 0, to + 2 * pixel, known[pixel]);
        }
    }
}

static void gather(const en_patches *patches, const en_corner corners[EN_PIXELS]) {
    const en_window *const window = patches->window;
    const uint32_t run = patches->run;
    if (run % 4 != 0 || run > (uint32_t)window->in_h * window->in_w * window->in_c)
        gather_bytes(patches, corners);
    else if (inside(window, corners[0]) && inside(window, corners[1]) && inside(window, corners[2]))
        gather_inside(patches, corners);
    else
        gather_words(patches, corners);
}

static inline void store(const en_tables *tables, uint32_t channel, const int32_t *acc, uint32_t pixels, int8_t *out,
                         uint32_t out_c) {
    const en_channel of = en_channel_of(tables, channel);
    out[0] = en_to_int8(acc[0], &of);
    if (pixels > 1)
        out[out_c] = en_to_int8(acc[1], &of);
    if (pixels > 2)
        out[2 * out_c] = en_to_int8(acc[2], &of);
}

/* The channels from `channel` on, of `pixels` pixels whose patches are in the scratch. */
static EN_NOINLINE void multiply(const en_patches *patches, const int8_t *weights, const en_tables *tables,
                              uint32_t pixels, uint32_t channel, int8_t *out) {
    const uint32_t out_c = patches->window->out_c, groups = patches->groups;
    for (; channel < out_c; channel += EN_CONV_CHANNELS) {
        int32_t acc[EN_CONV_CHANNELS * EN_PIXELS];
        en_dot_3x2(patches->scratch, weights + 4 * channel * groups, groups, tables->bias + channel, acc);
        for (uint32_t i = 0; i < EN_CONV_CHANNELS && channel + i < out_c; i++)
            store(tables, channel + i, acc + i * EN_PIXELS, pixels, out + channel + i, out_c);
    }
}

void en_conv(const en_model *model, const en_conv_op *op) {
    const en_window *const window = &op->window;
    const int8_t zero = window->in_zero_point;
    const uint32_t run = (uint32_t)window->kernel_w * window->in_c;
    const en_patches patches = {window,
                                (const int8_t *)(model->arena + op->in),
                                (int16_t *)(void *)(model->arena + op->scratch),
                                run,
                                (run * window->kernel_h + 3) / 4,
                                {zero, zero, zero, zero}};
    const en_tables tables = en_tables_of(model->plan, &op->requant);
    const int8_t *const weights = (const int8_t *)(model->plan + op->weights);
    int8_t *out = (int8_t *)(model->arena + op->out);
    uint32_t left = (uint32_t)window->out_h * window->out_w, x = 0, y = 0;
    while (left > 0) {
        const uint32_t pixels = left < EN_PIXELS ? left : EN_PIXELS;
        en_corner corners[EN_PIXELS];
        for (uint32_t i = 0; i < EN_PIXELS; i++) {
            corners[i].top = (int32_t)(y * window->stride_h) - window->pad_top;
            corners[i].left = (int32_t)(x * window->stride_w) - window->pad_left;
            if (i + 1 >= pixels && i + 1 < EN_PIXELS) /* the last one once more */
                continue;
            x = x + 1 == window->out_w ? 0 : x + 1;
            y += x == 0;
        }
        gather(&patches, corners);
        const uint32_t done = en_conv_pairs(patches.scratch, weights, patches.groups, &tables, pixels, window->out_c, out);
        multiply(&patches, weights, &tables, pixels, done, out);
        out += pixels * window->out_c;
        left -= pixels;
    }
}

en_status en_check_conv(en_bounds *bounds, const en_conv_op *op) {
    const en_window *const w = &op->window;
    const uint64_t groups = ((uint64_t)w->kernel_h * w->kernel_w * w->in_c + 3u) / 4u;
    const uint32_t packed = en_round_up(w->out_c, EN_CONV_CHANNELS);
    const en_span in = en_window_input(op->in, w);
    const en_span out = en_window_output(op->out, w);
    const en_span scratch = {op->scratch, groups * 4u * EN_PIXELS * 2u};
    if (!en_is_window(w)) {
        return EN_BAD_SHAPE;
    }
    if (!en_is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!en_packed_aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, groups * 4u * packed}, bounds->plan_bytes) ||
        !en_tables_inside(bounds, &op->requant, packed)) {
        return EN_BAD_OFFSET;
    }
    const int pointwise = w->kernel_h == 1u && w->kernel_w == 1u && w->stride_h == 1u && w->stride_w == 1u;
    const uint64_t ahead = pointwise && w->out_c <= w->in_c ? 0u : en_window_distance(w);
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out) || !en_ahead(out, in, ahead)) {
        return EN_BAD_OVERLAP;
    }
    return en_check_tables(bounds, &op->requant, packed, groups * 4u);
}
