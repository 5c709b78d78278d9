/* What the loop (run.c) calls, one function for each kind of operator, and the two inner products below them.
 *
 * Which kernel set is compiled follows from the target: with the DSP extension (Cortex-M4, M7, M33) dot_dsp.S and the
 * instructions of simd.h, else portable C. Both read the same plan and give the same values. */
#ifndef EDGENAS_KERNELS_H
#define EDGENAS_KERNELS_H

#include "engine.h"

void en_conv(const en_model *model, const en_conv_op *op);
void en_dense(const en_model *model, const en_dense_op *op);
void en_depthwise(const en_model *model, const en_depthwise_op *op);
void en_add(const en_model *model, const en_binary_op *op);
void en_mul(const en_model *model, const en_binary_op *op);
void en_average_pool(const en_model *model, const en_pool_op *op);
void en_max_pool(const en_model *model, const en_pool_op *op);
void en_mean(const en_model *model, const en_mean_op *op);
void en_copy(const en_model *model, const en_copy_op *op);
void en_fill(const en_model *model, const en_fill_op *op);
void en_lut(const en_model *model, const en_lut_op *op);
void en_softmax(const en_model *model, const en_softmax_op *op);

/* Widen 4 x groups inputs of each of 3 pixels into the scratch of a convolution: [groups][inputs 0 and 2, inputs 1 and
 * 3][pixels][2] int16 (PLAN.md, packed weights). The inputs may begin anywhere. */
void en_widen_3(int16_t *x, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t groups);

/* acc[2 * 3], all of channel 0 first = bias[channel] + sum over groups and i of input[group][pixel][i] *
 * w[group][channel][i]; x is what en_widen_3 writes. */
void en_dot_3x2(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[2], int32_t acc[6]);

/* acc[4] = bias[channel] + sum over groups and i of x[group][i] * w[group][channel][i]; x holds the inputs of a group
 * in the order 0, 2, 1, 3. */
void en_dot_1x4(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[4], int32_t acc[4]);

#if defined(__ARM_FEATURE_DSP)
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
#endif

#endif
