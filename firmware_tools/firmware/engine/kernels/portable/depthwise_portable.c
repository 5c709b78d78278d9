/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution in C: rows of outputs out of the planes. */
#include "kernels.h"

#if EN_KERNEL_SET == EN_PORTABLE

/* One row of outputs, two at a time; sizes are constants where it matters. A missing last output is computed and
 * dropped: it reads at most one value behind the planes, where the scratch goes on, or what the first one reads. */
EN_INLINE void row_any(const en_strip *strip, const int16_t *x, const int8_t *weights, uint32_t kernel_h,
                       uint32_t kernel_w, uint32_t stride, const en_row *to) {
    const en_row here = *to; /* copied, because a byte that is written might be any of it */
    const uint32_t row = strip->row;
    int8_t *out = here.out;
    for (uint32_t column = 0; column < here.width; column += 2, x += 2 * stride) {
        const int both = column + 1 < here.width;
        const uint32_t next = stride <= 2 || both ? stride : 0;
        const int16_t *a = x;
        const int8_t *w = weights;
        int32_t acc0 = 0, acc1 = 0;
        for (uint32_t i = 0; i < kernel_h; i++, a += row, w += kernel_w) {
            EN_UNROLL for (uint32_t j = 0; j < kernel_w; j++) {
                acc0 += a[j] * w[j];
                acc1 += a[next + j] * w[j];
            }
        }
        out[0] = en_to_int8(en_wrapping_sum(acc0, here.bias), &here.channel);
        out += here.step;
        if (both)
            out[0] = en_to_int8(en_wrapping_sum(acc1, here.bias), &here.channel);
        out += here.step;
    }
}

static EN_NOINLINE void row_3x3(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, 3, 3, 1, to);
}

static EN_NOINLINE void row_3x3_2(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, 3, 3, 2, to);
}

static EN_NOINLINE void row_5(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, strip->window->kernel_h, 5, strip->window->stride_w, to);
}

static EN_NOINLINE void row_n(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    const en_window *const window = strip->window;
    row_any(strip, x, weights, window->kernel_h, window->kernel_w, window->stride_w, to);
}

void en_depthwise_rows(const en_strip *strip, const int8_t *weights, uint32_t lane, uint32_t count, en_row *to) {
    const en_window *const window = strip->window;
    const int16_t *x = strip->planes + lane * strip->plane;
    const int is_3x3 = window->kernel_h == 3 && window->kernel_w == 3;
    for (; count > 0; count--, x += window->stride_h * strip->row, to->out += to->width * to->step) {
        if (is_3x3 && window->stride_w == 1)
            row_3x3(strip, x, weights, to);
        else if (is_3x3 && window->stride_w == 2)
            row_3x3_2(strip, x, weights, to);
        else if (window->kernel_w == 5)
            row_5(strip, x, weights, to);
        else
            row_n(strip, x, weights, to);
    }
}

#endif
