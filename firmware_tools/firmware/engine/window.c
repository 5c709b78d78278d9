/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

/* One way of the window: pad < kernel, and the last window begins inside. Together: every window meets the input. */
static int fits(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad) {
    return in != 0u && out != 0u && kernel != 0u && stride != 0u && pad < kernel && (out - 1u) * stride < in + pad;
}

int en_is_window(const en_window *w) {
    return fits(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top) &&
           fits(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left) && w->in_c != 0u && w->out_c != 0u;
}

/* What row y still needs lies so far behind what has been written when it is complete (PLAN.md: D). */
static int64_t lag(const en_window *w, int64_t y) {
    const int64_t first = y * w->stride_h - w->pad_top;
    return (y + 1) * w->out_w * w->out_c - (first > 0 ? first : 0) * w->in_w * w->in_c;
}

/* Up to the last row that begins in the padding it grows, from the next row on it is linear. */
uint64_t en_window_distance(const en_window *w) {
    const int64_t end = w->out_h - 1;
    const int64_t padded = w->pad_top / w->stride_h;
    if (padded >= end) {
        return (uint64_t)lag(w, end);
    }
    int64_t most = lag(w, padded);
    most = lag(w, padded + 1) > most ? lag(w, padded + 1) : most;
    most = lag(w, end) > most ? lag(w, end) : most;
    return (uint64_t)most;
}
