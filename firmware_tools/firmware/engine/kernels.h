/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops below the operators, which every kernel set has. */
#ifndef EDGENAS_KERNELS_H
#define EDGENAS_KERNELS_H

#include "channels.h"
#include "compiler.h"
#include "engine.h"

/* Widen 4 x groups inputs of each of 3 pixels into the scratch of a convolution: [groups][inputs 0 and 2, inputs 1 and
 * 3][pixels][2] int16 (PLAN.md, packed weights). The inputs may begin anywhere. */
void en_widen_3(int16_t *x, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t groups);

/* acc[2 * 3], all of channel 0 first = bias[channel] + sum over groups and i of input[group][pixel][i] *
 * w[group][channel][i]; x is what en_widen_3 writes. */
void en_dot_3x2(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[2], int32_t acc[6]);

/* acc[4] = bias[channel] + sum over groups and i of x[group][i] * w[group][channel][i]; x holds the inputs of a group
 * in the order 0, 2, 1, 3. */
void en_dot_1x4(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[4], int32_t acc[4]);

/* The planes of a depthwise convolution (PLAN.md). */
typedef struct {
    const en_window *window;
    const int8_t *in;
    int16_t *planes;
    uint32_t row, rows; /* values of a plane's row, rows of a plane */
    uint32_t plane;     /* values of a plane */
    uint32_t columns;   /* of the input that the planes take in */
} en_strip;

/* Where a row of outputs of one channel goes. */
typedef struct {
    int8_t *out;
    uint32_t step; /* from pixel to pixel */
    uint32_t width;
    int32_t bias;
    en_channel channel;
} en_row;

/* `count` rows of outputs of one channel, from the plane `lane`; `to->out` may move on. */
void en_depthwise_rows(const en_strip *strip, const int8_t *weights, uint32_t lane, uint32_t count, en_row *to);

/* What else a set has is inline in its loops.h:
 *
 * en_conv_pairs     the first channels of `pixels` pixels whose patches are in the scratch; answers how many are done
 * en_dense_blocks   the first outputs of a dense layer; answers how many are done
 * en_gather_lanes   at least one row of 4 channels to 4 planes; answers 0 if it is for gather_rows to do
 */
#include EN_LOOPS

#endif
