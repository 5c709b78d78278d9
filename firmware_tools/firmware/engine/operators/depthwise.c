/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution: 4 channels at a time are widened into one int16 plane each, `strip` output rows at a time
 * (PLAN.md, depthwise). In a plane, a window is plain: what lies outside the input has been filled in. */
#include "kernels.h"
#include "operators.h"
#include "packed.h"
#include "window.h"

/* `count` is even: a row of a plane is. */
static void fill(int16_t *to, uint32_t count, int8_t value) {
    en_word *const words = (en_word *)(void *)to;
    for (uint32_t i = 0; i < count / 2; i++)
        words[i] = 0x00010001u * (uint16_t)value;
}

/* Rows that lie inside the input. */
static void gather_rows(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows, uint32_t lanes) {
    const uint32_t pixel = strip->window->in_c;
    if (rows == 0)
        return;
    if (en_gather_lanes(strip, from, to, rows))
        return;
    to += strip->window->pad_left;
    for (; rows > 0; rows--, from += strip->window->in_w * pixel, to += strip->row) {
        for (uint32_t lane = 0; lane < lanes; lane++) {
            const int8_t *next = from + lane;
            int16_t *const row = to + lane * strip->plane;
            for (uint32_t i = 0; i < strip->columns; i++, next += pixel)
                row[i] = *next;
        }
    }
}

/* Rows that lie outside. */
static void fill_rows(const en_strip *strip, int16_t *to, uint32_t rows, uint32_t lanes) {
    for (uint32_t lane = 0; lane < lanes && rows > 0; lane++)
        fill(to + lane * strip->plane, rows * strip->row, strip->window->in_zero_point);
}

/* Rows first .. rows - 1 of the planes; row 0 is the input row `top`. The columns left and right are filled already. */
static EN_NOINLINE void gather(const en_strip *strip, uint32_t channel, uint32_t lanes, int32_t top, uint32_t first) {
    const en_window *const window = strip->window;
    const int32_t begin = top + (int32_t)first, end = top + (int32_t)strip->rows;
    const int32_t from = begin < 0 ? 0 : begin, to = end < window->in_h ? end : window->in_h;
    const uint32_t inside = from < to ? (uint32_t)(to - from) : 0;
    const uint32_t above = (uint32_t)(from - begin), below = strip->rows - first - above - inside;
    int16_t *planes = strip->planes + first * strip->row;
    fill_rows(strip, planes, above, lanes);
    planes += above * strip->row;
    gather_rows(strip, strip->in + (uint32_t)from * window->in_w * window->in_c + channel, planes, inside, lanes);
    fill_rows(strip, planes + inside * strip->row, below, lanes);
}

/* The planes' last `keep` rows become their first. */
static EN_NOINLINE void move_up(const en_strip *strip, uint32_t lanes, uint32_t keep) {
    const uint32_t words = keep * strip->row / 2;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        en_word *const to = (en_word *)(void *)(strip->planes + lane * strip->plane);
        const en_word *const from = to + (strip->rows - keep) * strip->row / 2;
        for (uint32_t i = 0; i < words; i++)
            to[i] = from[i];
    }
}

/* `count` output rows from row y on, of all output channels that follow from the gathered input channels. */
static void multiply(const en_model *model, const en_depthwise_op *op, const en_strip *strip, const en_tables *tables,
                     uint32_t channel, uint32_t lanes, uint32_t y, uint32_t count) {
    const en_window *const window = strip->window;
    const uint32_t out_c = window->out_c, multiplier = out_c / window->in_c;
    const int8_t *const weights = (const int8_t *)(model->plan + op->weights);
    int8_t *const out = (int8_t *)(model->arena + op->out) + y * window->out_w * out_c;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        for (uint32_t i = 0; i < multiplier; i++) {
            const uint32_t to = (channel + lane) * multiplier + i;
            en_row row = {out + to, out_c, window->out_w, tables->bias[to], en_channel_of(tables, to)};
            en_depthwise_rows(strip, weights + to * window->kernel_h * window->kernel_w, lane, count, &row);
        }
    }
}

static en_strip strip_of(const en_model *model, const en_depthwise_op *op) {
    const en_window *const window = &op->window;
    const uint32_t least = (window->out_w - 1u) * window->stride_w + window->kernel_w + 1u;
    const uint32_t row = (least + 1u) / 2u * 2u, rows = (op->strip - 1u) * window->stride_h + window->kernel_h;
    const uint32_t room = row - window->pad_left;
    return (en_strip){window,
                      (const int8_t *)(model->arena + op->in),
                      (int16_t *)(void *)(model->arena + op->scratch),
                      row,
                      rows,
                      row * rows,
                      window->in_w < room ? window->in_w : room};
}

void en_depthwise(const en_model *model, const en_depthwise_op *op) {
    const en_window *const window = &op->window;
    const en_strip strip = strip_of(model, op);
    const en_tables tables = en_tables_of(model->plan, &op->requant);
    const uint32_t kept = window->kernel_h > window->stride_h ? (uint32_t)window->kernel_h - window->stride_h : 0;
    fill(strip.planes, EN_LANES * strip.plane, window->in_zero_point);
    for (uint32_t channel = 0; channel < window->in_c; channel += EN_LANES) {
        const uint32_t left = window->in_c - channel, lanes = left < EN_LANES ? left : EN_LANES;
        uint32_t first = 0;
        for (uint32_t y = 0; y < window->out_h; y += op->strip, first = kept) {
            const uint32_t rest = window->out_h - y, count = rest < op->strip ? rest : op->strip;
            if (first > 0)
                move_up(&strip, lanes, first);
            gather(&strip, channel, lanes, (int32_t)(y * window->stride_h) - window->pad_top, first);
            multiply(model, op, &strip, &tables, channel, lanes, y, count);
        }
    }
}

/* 4 planes of int16, and one channel's widened weights behind them. */
static uint64_t depthwise_scratch(const en_window *w, uint32_t strip) {
    const uint64_t row = ((uint64_t)(w->out_w - 1u) * w->stride_w + w->kernel_w + 2u) / 2u * 2u;
    const uint64_t rows = (uint64_t)(strip - 1u) * w->stride_h + w->kernel_h;
    return EN_LANES * rows * row * 2u + (uint64_t)w->kernel_h * (w->kernel_w + 1u) * 4u;
}

en_status en_check_depthwise(en_bounds *bounds, const en_depthwise_op *op) {
    const en_window *const w = &op->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    const en_span in = en_window_input(op->in, w);
    const en_span out = en_window_output(op->out, w);
    if (!en_is_window(w) || w->out_c % w->in_c != 0u || op->strip == 0u || op->strip > w->out_h) {
        return EN_BAD_SHAPE;
    }
    const en_span scratch = {op->scratch, depthwise_scratch(w, op->strip)};
    if (!en_is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!en_packed_aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, (uint64_t)w->out_c * taps}, bounds->plan_bytes) ||
        !en_tables_inside(bounds, &op->requant, w->out_c)) {
        return EN_BAD_OFFSET;
    }
    const int in_place = op->in == op->out && w->stride_h == 1u && w->stride_w == 1u && w->in_c == w->out_c &&
                         w->in_h == w->out_h && w->in_w == w->out_w;
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out) || !(in_place || en_disjoint(out, in))) {
        return EN_BAD_OVERLAP;
    }
    return en_check_tables(bounds, &op->requant, w->out_c, taps);
}
