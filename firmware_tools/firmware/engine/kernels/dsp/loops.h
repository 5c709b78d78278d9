/* SPDX-License-Identifier: Apache-2.0 */
/* What the DSP set has beyond the loops of every set. */
#ifndef EDGENAS_DSP_LOOPS_H
#define EDGENAS_DSP_LOOPS_H

/* The loops that take most of the time, with the requantisation in them: only for the fast way and a clamp of
 * -128 to 127. dot_dsp.S and depthwise_dsp.S know where the fields are. */
typedef struct {
    const int16_t *x;
    const int8_t *w;
    uint32_t groups;
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero; /* twice the zero point, plus 1 */
    int8_t *out;
    uint32_t step;  /* from output pixel to output pixel */
    uint32_t pairs; /* of channels, at least 1 */
} en_conv_block;

typedef struct {
    uint32_t weights[6]; /* for each kernel row (w0, w1), (w1, w2), all doubled */
    int32_t bias[2];     /* doubled, twice the same */
    int32_t multiplier, offset, shift;
    uint32_t step;      /* from output pixel to output pixel */
    uint32_t next_row;  /* bytes from a window to that of the next output row */
    uint32_t row_bytes;
    uint32_t width, rows;
} en_depthwise_block;

typedef struct {
    const int16_t *x;
    const int8_t *w;
    uint32_t groups;
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    int32_t zero; /* twice the zero point, plus 1 */
    int8_t *out, *end; /* whole blocks of 4 outputs, at least one */
} en_dense_block;

typedef struct {
    uint32_t pixel;   /* bytes from pixel to pixel of the input */
    uint32_t plane;   /* bytes of a plane */
    uint32_t outside; /* four times the zero point */
    uint32_t late;    /* 1: a row's first pair is (outside, first pixel) */
    uint32_t pairs;   /* of pixels */
    uint32_t rest;    /* 1: its last pair is (last pixel, outside) */
    uint32_t next_from, next_to; /* bytes from the end of a row to the next */
    uint32_t rows;               /* at least 1 */
} en_planes_block;

/* 3 pixels, 2 x pairs channels. */
void en_conv_3(const en_conv_block *block);

void en_dense_4(const en_dense_block *block);

/* Rows of 4 channels to 4 planes of int16; `to` at a multiple of 4. */
void en_gather_4(const int8_t *from, int16_t *to, const en_planes_block *block);

/* One channel's 3x3 windows, columns 1 apart; x at a multiple of 4. */
void en_depthwise_3x3(const int16_t *x, int8_t *out, const en_depthwise_block *block);

/* en_gather_4 for whole rows of the input. */
void en_gather_pixels(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows);

static inline uint32_t en_conv_pairs(const int16_t *scratch, const int8_t *weights, uint32_t groups,
                                     const en_tables *tables, uint32_t pixels, uint32_t out_c, int8_t *out) {
    if (tables->fast && tables->saturate && pixels != 2 && out_c >= EN_CONV_CHANNELS) {
        const uint32_t step = pixels == 1 ? 0 : out_c; /* one pixel is computed and written three times */
        const en_conv_block block = {scratch,
                                     weights,
                                     groups,
                                     tables->bias,
                                     tables->multiplier,
                                     tables->shift,
                                     2 * tables->zero_point + 1,
                                     out,
                                     step,
                                     out_c / EN_CONV_CHANNELS};
        en_conv_3(&block);
        return out_c / EN_CONV_CHANNELS * EN_CONV_CHANNELS;
    }
    return 0;
}

static inline uint32_t en_dense_blocks(const int16_t *x, const int8_t *weights, uint32_t groups,
                                       const en_tables *tables, uint32_t outputs, int8_t *out) {
    const uint32_t whole = outputs / EN_DENSE_CHANNELS * EN_DENSE_CHANNELS;
    if (tables->fast && tables->saturate && whole > 0) {
        const en_dense_block block = {x,
                                      weights,
                                      groups,
                                      tables->bias,
                                      tables->multiplier,
                                      tables->shift,
                                      2 * tables->zero_point + 1,
                                      out,
                                      out + whole};
        en_dense_4(&block);
        return whole;
    }
    return 0;
}

static inline int en_gather_lanes(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows) {
    if (strip->window->in_c % EN_LANES != 0)
        return 0;
    en_gather_pixels(strip, from, to, rows);
    return 1;
}

#endif
