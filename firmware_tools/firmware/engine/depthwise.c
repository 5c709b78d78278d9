/* Depthwise convolution: 4 channels at a time are widened into one int16 plane each, `strip` output rows at a time
 * (PLAN.md, depthwise). In a plane, a window is plain: what lies outside the input has been filled in. */
#include "kernels.h"
#include "simd.h"

typedef struct {
    const en_window *window;
    const int8_t *in;
    int16_t *planes;
    uint32_t row, rows; /* values of a plane's row, rows of a plane */
    uint32_t plane;     /* values of a plane */
    uint32_t columns;   /* of the input that the planes take in */
} en_strip;

/* `count` is even: a row of a plane is. */
static void fill(int16_t *to, uint32_t count, int8_t value) {
    en_word *const words = (en_word *)(void *)to;
    for (uint32_t i = 0; i < count / 2; i++)
        words[i] = 0x00010001u * (uint16_t)value;
}

#if EN_DSP
/* Pairs begin at even columns, so that words are stored aligned. */
static EN_ALONE void gather_4(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows) {
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
#endif

/* Rows that lie inside the input. */
static void gather_rows(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows, uint32_t lanes) {
    const uint32_t pixel = strip->window->in_c;
    if (rows == 0)
        return;
#if EN_DSP
    if (pixel % EN_LANES == 0) {
        gather_4(strip, from, to, rows);
        return;
    }
#endif
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
static EN_ALONE void gather(const en_strip *strip, uint32_t channel, uint32_t lanes, int32_t top, uint32_t first) {
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
static EN_ALONE void move_up(const en_strip *strip, uint32_t lanes, uint32_t keep) {
    const uint32_t words = keep * strip->row / 2;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        en_word *const to = (en_word *)(void *)(strip->planes + lane * strip->plane);
        const en_word *const from = to + (strip->rows - keep) * strip->row / 2;
        for (uint32_t i = 0; i < words; i++)
            to[i] = from[i];
    }
}

/* Where a row of outputs of one channel goes. */
typedef struct {
    int8_t *out;
    uint32_t step; /* from pixel to pixel */
    uint32_t width;
    int32_t bias;
    en_channel channel;
} en_row;

#if EN_DSP
/* Weights for two adjacent outputs, as pairs of taps that begin at even columns. The first output begins at one; the
 * second begins at one if the stride is even, else one later: then its first pair is (0, w0).
 *
 * [kernel_h] rows of at most kernel_w + 1 words: first, second, first, second, ..; the second may have a pair more. */
static EN_ALONE void widen_weights(const en_window *window, const int8_t *weights, uint32_t *to) {
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

static EN_ALONE void row_3x3_2(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, 3, 2, 0, 2}, to);
}

static EN_ALONE void row_3(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 2, 0, strip->window->stride_w}, to);
}

static EN_ALONE void row_5(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 3, 0, strip->window->stride_w}, to);
}

static EN_ALONE void row_7(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    row_any((en_taps){strip, x, weights, strip->window->kernel_h, 4, 0, strip->window->stride_w}, to);
}

static EN_ALONE void row_n(const en_strip *strip, const int16_t *x, const uint32_t *weights, const en_row *to) {
    const en_window *const window = strip->window;
    const uint32_t extra = window->stride_w % 2 != 0 && window->kernel_w % 2 == 0;
    row_any((en_taps){strip, x, weights, window->kernel_h, (window->kernel_w + 1u) / 2, extra, window->stride_w}, to);
}

/* Where en_depthwise_3x3 can do it, it does. */
static EN_ALONE int rows_3x3(const en_strip *strip, const int8_t *w, const int16_t *x, uint32_t count,
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

static EN_ALONE void rows(const en_strip *strip, const int8_t *plan_weights, uint32_t lane, uint32_t count,
                          en_row *to) {
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
#else
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

static EN_ALONE void row_3x3(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, 3, 3, 1, to);
}

static EN_ALONE void row_3x3_2(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, 3, 3, 2, to);
}

static EN_ALONE void row_5(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    row_any(strip, x, weights, strip->window->kernel_h, 5, strip->window->stride_w, to);
}

static EN_ALONE void row_n(const en_strip *strip, const int16_t *x, const int8_t *weights, const en_row *to) {
    const en_window *const window = strip->window;
    row_any(strip, x, weights, window->kernel_h, window->kernel_w, window->stride_w, to);
}

static EN_ALONE void rows(const en_strip *strip, const int8_t *weights, uint32_t lane, uint32_t count, en_row *to) {
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
            rows(strip, weights + to * window->kernel_h * window->kernel_w, lane, count, &row);
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
