/* What the operators with a window or packed weights may ask for. */
#include "check.h"

#define EN_PRODUCT (INT64_C(1) << 14)    /* the largest product of two int8 */
#define EN_ACCUMULATOR (INT64_C(1) << 31) /* what bias and products together must stay below */
#define EN_FAST (INT64_C(1) << 30)       /* the same where requant.fast is 1 */

/* One way of the window: pad < kernel, and the last window begins inside. Together: every window meets the input. */
static int fits(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad) {
    return in != 0u && out != 0u && kernel != 0u && stride != 0u && pad < kernel && (out - 1u) * stride < in + pad;
}

static int is_window(const en_window *w) {
    return fits(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top) &&
           fits(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left) && w->in_c != 0u && w->out_c != 0u;
}

static en_span input_of(uint32_t at, const en_window *w) {
    return (en_span){at, (uint64_t)w->in_h * w->in_w * w->in_c};
}

static en_span output_of(uint32_t at, const en_window *w) {
    return (en_span){at, (uint64_t)w->out_h * w->out_w * w->out_c};
}

/* What row y still needs lies so far behind what has been written when it is complete (PLAN.md: D). */
static int64_t lag(const en_window *w, int64_t y) {
    const int64_t first = y * w->stride_h - w->pad_top;
    return (y + 1) * w->out_w * w->out_c - (first > 0 ? first : 0) * w->in_w * w->in_c;
}

/* The largest lag. Up to the last row that begins in the padding it grows, from the next row on it is linear. */
static uint64_t distance(const en_window *w) {
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

static int is_requant(const en_requant *requant) {
    return requant->low <= requant->high && requant->fast <= 1u;
}

static int tables_inside(const en_bounds *bounds, const en_requant *requant, uint32_t channels) {
    const uint64_t words = (uint64_t)channels * 4u;
    return en_inside((en_span){requant->bias, words}, bounds->plan_bytes) &&
           en_inside((en_span){requant->multiplier, words}, bounds->plan_bytes) &&
           en_inside((en_span){requant->shift, channels}, bounds->plan_bytes);
}

static int aligned(uint32_t weights, uint32_t scratch, const en_requant *requant) {
    return (weights | scratch | requant->bias | requant->multiplier) % 4u == 0u;
}

/* To each bias `inputs` products of int8 are added. */
static en_status check_tables(en_bounds *bounds, const en_requant *requant, uint32_t channels, uint64_t inputs) {
    const int32_t *const bias = (const int32_t *)(const void *)(bounds->plan + requant->bias);
    const int32_t *const multiplier = (const int32_t *)(const void *)(bounds->plan + requant->multiplier);
    const int8_t *const shift = (const int8_t *)(bounds->plan + requant->shift);
    const int64_t room = (requant->fast ? EN_FAST : EN_ACCUMULATOR) - (int64_t)inputs * EN_PRODUCT;
    if (bounds->readable < (uint64_t)channels * 9u) {
        return EN_BAD_SHAPE;
    }
    bounds->readable -= (uint64_t)channels * 9u;
    for (uint32_t i = 0; i < channels; i++) {
        const int64_t magnitude = bias[i] < 0 ? -(int64_t)bias[i] : bias[i];
        if (magnitude >= room || multiplier[i] < 0 || shift[i] < (requant->fast ? -22 : -31) ||
            shift[i] > (requant->fast ? -1 : 30)) {
            return EN_BAD_VALUE;
        }
    }
    return EN_OK;
}

static uint32_t up(uint32_t value, uint32_t multiple) {
    return (value + multiple - 1u) / multiple * multiple;
}

en_status en_check_conv(en_bounds *bounds, const en_conv_op *op) {
    const en_window *const w = &op->window;
    const uint64_t groups = ((uint64_t)w->kernel_h * w->kernel_w * w->in_c + 3u) / 4u;
    const uint32_t packed = up(w->out_c, EN_CONV_CHANNELS);
    const en_span in = input_of(op->in, w);
    const en_span out = output_of(op->out, w);
    const en_span scratch = {op->scratch, groups * 4u * EN_PIXELS * 2u};
    if (!is_window(w)) {
        return EN_BAD_SHAPE;
    }
    if (!is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, groups * 4u * packed}, bounds->plan_bytes) ||
        !tables_inside(bounds, &op->requant, packed)) {
        return EN_BAD_OFFSET;
    }
    const int pointwise = w->kernel_h == 1u && w->kernel_w == 1u && w->stride_h == 1u && w->stride_w == 1u;
    const uint64_t ahead = pointwise && w->out_c <= w->in_c ? 0u : distance(w);
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out) || !en_ahead(out, in, ahead)) {
        return EN_BAD_OVERLAP;
    }
    return check_tables(bounds, &op->requant, packed, groups * 4u);
}

en_status en_check_dense(en_bounds *bounds, const en_dense_op *op) {
    const uint64_t groups = ((uint64_t)op->inputs + 3u) / 4u;
    const en_span in = {op->in, op->inputs};
    const en_span out = {op->out, op->outputs};
    const en_span scratch = {op->scratch, groups * 4u * 2u};
    if (op->inputs == 0u || op->outputs == 0u || op->outputs > INT32_MAX) {
        return EN_BAD_SHAPE;
    }
    const uint32_t packed = up(op->outputs, EN_DENSE_CHANNELS);
    if (!is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, groups * 4u * packed}, bounds->plan_bytes) ||
        !tables_inside(bounds, &op->requant, packed)) {
        return EN_BAD_OFFSET;
    }
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out)) {
        return EN_BAD_OVERLAP;
    }
    return check_tables(bounds, &op->requant, packed, groups * 4u);
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
    const en_span in = input_of(op->in, w);
    const en_span out = output_of(op->out, w);
    if (!is_window(w) || w->out_c % w->in_c != 0u || op->strip == 0u || op->strip > w->out_h) {
        return EN_BAD_SHAPE;
    }
    const en_span scratch = {op->scratch, depthwise_scratch(w, op->strip)};
    if (!is_requant(&op->requant)) {
        return EN_BAD_VALUE;
    }
    if (!aligned(op->weights, op->scratch, &op->requant)) {
        return EN_BAD_ALIGNMENT;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes) ||
        !en_inside(scratch, bounds->arena_bytes) ||
        !en_inside((en_span){op->weights, (uint64_t)w->out_c * taps}, bounds->plan_bytes) ||
        !tables_inside(bounds, &op->requant, w->out_c)) {
        return EN_BAD_OFFSET;
    }
    const int in_place = op->in == op->out && w->stride_h == 1u && w->stride_w == 1u && w->in_c == w->out_c &&
                         w->in_h == w->out_h && w->in_w == w->out_w;
    if (!en_disjoint(scratch, in) || !en_disjoint(scratch, out) || !(in_place || en_disjoint(out, in))) {
        return EN_BAD_OVERLAP;
    }
    return check_tables(bounds, &op->requant, w->out_c, taps);
}

en_status en_check_pool(const en_bounds *bounds, const en_pool_op *op) {
    const en_window *const w = &op->window;
    const en_span in = input_of(op->in, w);
    const en_span out = output_of(op->out, w);
    if (!is_window(w) || w->in_c != w->out_c) {
        return EN_BAD_SHAPE;
    }
    if (op->low > op->high) {
        return EN_BAD_VALUE;
    }
    if (!en_inside(in, bounds->arena_bytes) || !en_inside(out, bounds->arena_bytes)) {
        return EN_BAD_OFFSET;
    }
    return en_ahead(out, in, distance(w)) ? EN_OK : EN_BAD_OVERLAP;
}
