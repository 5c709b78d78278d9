/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution with the DSP extension: two taps in one multiply-accumulate. */
#include "kernels.h"

#if EN_KERNEL_SET == EN_DSP

/* Pairs begin at even columns, so that words are stored aligned. */
void en_gather_pixels(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows) {
    const en_window *const window = strip->window;
    const uint32_t pad = window->pad_left, late = pad % 2, left = strip->columns - late, pairs = left / 2;
    const uint32_t written = 4 * (late + pairs + left % 2), read = (late + 2 * pairs) * window->in_c;
    const en_planes_block block = {window->in_c,
                                   2 * strip->plane,
                                   0x01010101u * (uint8_t)window->in_zero_point,
                                   late,
                                   pairs,
                                   left % 2,
                                   (uint32_t)window->in_w * window->in_c - read,
                                   2 * strip->row - written,
                                   rows};
    en_gather_4(from, to + pad - late, &block);
}

/* Weights for two adjacent outputs, as pairs of taps that begin at even columns. The first output begins at one; the
 * second begins at one if the stride is even, else one later: then its first pair is (0, w0).
 *
 * [kernel_h] rows of at most kernel_w + 1 words: first, second, first, second, ..; the second may have a pair more. */
static EN_NOINLINE void widen_weights(const en_window *window, const int8_t *weights, uint32_t *to) {
    const uint32_t width = window->kernel_w, late = window->stride_w % 2;
    const uint32_t pairs = (width + 1) / 2, extra = late && width % 2 == 0;
    for (uint32_t row = 0; row < window->kernel_h; row++, weights += width, to += 2 * pairs + extra) {
        uint32_t before = 0;
        for (uint32_t j = 0; j < pairs; j++) {
            const uint32_t first = (uint32_t)weights[2 * j];
            const uint32_t second = 2 * j + 1 < width ? (uint32_t)weights[2 * j + 1] : 0;
            to[2 * j] = en_pack_low(first, second);
            to[2 * j + 1] = late ? en_pack_low(before, first) : to[2 * j];
            before = second;
        }
        if (extra)
            to[width] = en_pack_low(before, 0);
    }
}

/* What a loop over a row of outputs reads; copied, because a byte that is written might be any of it. */
typedef struct {
    const en_strip *strip;
    const int16_t *x; /* the first window */
    const uint32_t *weights;
    uint32_t kernel_h, pairs, extra, stride; /* constants where it matters; extra: the second has a pair more */
} en_taps;

EN_INLINE void row_any(const en_taps taps, const en_row *to) {
    const en_row here = *to;
    const uint32_t row = taps.strip->row / 2, next = 2 * taps.pairs + taps.extra;
    const en_word *first = (const en_word *)(const void *)taps.x;
    int8_t *out = here.out;
    for (uint32_t column = 0; column < here.width; column += 2, first += taps.stride) {
        const int both = column + 1 < here.width;
        const en_word *a = first, *b = both ? first + taps.stride / 2 : first;
        const uint32_t *w = taps.weights;
        int32_t acc0 = here.bias, acc1 = here.bias;
        for (uint32_t i = 0; i < taps.kernel_h; i++, a += row, b += row, w += next) {
            EN_UNROLL for (uint32_t j = 0; j < taps.pairs; j++) {
                acc0 = en_smlad(a[j], w[2 * j], acc0);
                acc1 = en_smlad(b[j], w[2 * j + 1], acc1);
            }
            if (taps.extra)
                acc1 = en_smlad(b[taps.pairs], w[2 * taps.pairs], acc1);
        }
        out[0] = en_to_int8(acc0, &here.channel);
        out += here.step;
        if (both)
            out[0] = en_to_int8(acc1, &here.channel);
        out += here.step;
    }
}

static EN_NOINLINE void row_3x3_2(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, 3, 2, 0, 2}, to);
}

static EN_NOINLINE void row_3(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 2, 0, strip->window->stride_w}, to);
}

static EN_NOINLINE void row_5(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 3, 0, strip->window->stride_w}, to);
}

static EN_NOINLINE void row_7(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 4, 0, strip->window->stride_w}, to);
}

static EN_NOINLINE void row_n(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    const en_window *const window = strip->window;
    const uint32_t extra = window->stride_w % 2 != 0 && window->kernel_w % 2 == 0;
    row_any((en_taps){strip, x, weights, window->kernel_h, (window->kernel_w + 1u) / 2, extra, window->stride_w}, to);
}

/* Where en_depthwise_3x3 can do it, it does. */
static EN_NOINLINE int rows_3x3(const en_strip *strip, const int8_t *w, const int16_t *x, uint32_t count,
                             const en_row *to) {
    const en_window *const window = strip->window;
    const en_tables *const tables = to->channel.tables;
    if (window->kernel_w != 3 || window->kernel_h != 3 || window->stride_w != 1 || !tables->fast || !tables->saturate)
        return 0;
    const en_fast *const fast = &to->channel.fast;
    const int32_t bias = (int32_t)(2u * (uint32_t)to->bias);
    en_depthwise_block block = {{0},
                                {bias, bias},
                                fast->multiplier,
                                fast->offset,
                                fast->shift,
                                to->step,
                                2 * window->stride_h * strip->row,
                                2 * strip->row,
                                to->width,
                                count};
    for (uint32_t i = 0; i < 3; i++, w += 3) {
        block.weights[2 * i] = en_pack_low((uint32_t)(2 * w[0]), (uint32_t)(2 * w[1]));
        block.weights[2 * i + 1] = en_pack_low((uint32_t)(2 * w[1]), (uint32_t)(2 * w[2]));
    }
    en_depthwise_3x3(x, to->out, &block);
    return 1;
}

void en_depthwise_rows(const en_strip *strip, const int8_t *plan_weights, uint32_t lane, uint32_t count, en_row *to) {
    const en_window *const window = strip->window;
    uint32_t *const weights = (uint32_t *)(void *)(strip->planes + EN_LANES * strip->plane);
    const int16_t *x = strip->planes + lane * strip->plane;
    const uint32_t kernel_w = window->kernel_w;
    if (rows_3x3(strip, plan_weights, x, count, to))
        return;
    widen_weights(window, plan_weights, weights);
    for (; count > 0; count--, x += window->stride_h * strip->row, to->out += to->width * to->step) {
        if (kernel_w == 3 && window->kernel_h == 3 && window->stride_w == 2)
            row_3x3_2(strip, x, weights, to);
        else if (kernel_w == 3)
            row_3(strip, x, weights, to);
        else if (kernel_w == 5)
            row_5(strip, x, weights, to);
        else if (kernel_w == 7)
            row_7(strip, x, weights, to);
        else
            row_n(strip, x, weights, to);
    }
}

#endif
