/* SPDX-License-Identifier: Apache-2.0 */
/* The inner products in C. */
#include "kernels.h"

#if EN_KERNEL_SET == EN_PORTABLE

void en_widen_3(int16_t *x, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t groups) {
    for (const int16_t *const end = x + 12 * groups; x != end; x += 12, pixel0 += 4, pixel1 += 4, pixel2 += 4) {
        en_widen(pixel0, x, x + 6);
        en_widen(pixel1, x + 2, x + 8);
        en_widen(pixel2, x + 4, x + 10);
    }
}

/* Input i of a group for 3 pixels and 2 channels: 5 loads for 6 multiplications. */
#define STEP_3X2(i, at)                                                                                                \
    do {                                                                                                               \
        const int32_t w0 = w[i], w1 = w[4 + (i)];                                                                      \
        const int32_t x0 = x[at], x1 = x[(at) + 2], x2 = x[(at) + 4];                                                  \
        a0 += x0 * w0;                                                                                                 \
        a1 += x1 * w0;                                                                                                 \
        a2 += x2 * w0;                                                                                                 \
        b0 += x0 * w1;                                                                                                 \
        b1 += x1 * w1;                                                                                                 \
        b2 += x2 * w1;                                                                                                 \
    } while (0)

void en_dot_3x2(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[2], int32_t acc[6]) {
    int32_t a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
    for (const int16_t *const end = x + 12 * groups; x != end; x += 12, w += 8) {
        STEP_3X2(0, 0);
        STEP_3X2(2, 1);
        STEP_3X2(1, 6);
        STEP_3X2(3, 7);
    }
    acc[0] = en_wrapping_sum(a0, bias[0]);
    acc[1] = en_wrapping_sum(a1, bias[0]);
    acc[2] = en_wrapping_sum(a2, bias[0]);
    acc[3] = en_wrapping_sum(b0, bias[1]);
    acc[4] = en_wrapping_sum(b1, bias[1]);
    acc[5] = en_wrapping_sum(b2, bias[1]);
}

/* Input i of a group for 4 channels. */
#define STEP_1X4(x, w, i, at)                                                                                          \
    do {                                                                                                               \
        const int32_t x0 = (x)[at];                                                                                    \
        a0 += x0 * (w)[i];                                                                                             \
        a1 += x0 * (w)[4 + (i)];                                                                                       \
        a2 += x0 * (w)[8 + (i)];                                                                                       \
        a3 += x0 * (w)[12 + (i)];                                                                                      \
    } while (0)
#define GROUP_1X4(x, w)                                                                                                \
    do {                                                                                                               \
        STEP_1X4(x, w, 0, 0);                                                                                          \
        STEP_1X4(x, w, 2, 1);                                                                                          \
        STEP_1X4(x, w, 1, 2);                                                                                          \
        STEP_1X4(x, w, 3, 3);                                                                                          \
    } while (0)

void en_dot_1x4(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[4], int32_t acc[4]) {
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    const int16_t *const end = x + 4 * groups, *const unrolled = end - 4 * (groups % 8);
    for (; x != unrolled; x += 32, w += 128) {
        GROUP_1X4(x, w);
        GROUP_1X4(x + 4, w + 16);
        GROUP_1X4(x + 8, w + 32);
        GROUP_1X4(x + 12, w + 48);
        GROUP_1X4(x + 16, w + 64);
        GROUP_1X4(x + 20, w + 80);
        GROUP_1X4(x + 24, w + 96);
        GROUP_1X4(x + 28, w + 112);
    }
    for (; x != end; x += 4, w += 16)
        GROUP_1X4(x, w);
    acc[0] = en_wrapping_sum(a0, bias[0]);
    acc[1] = en_wrapping_sum(a1, bias[1]);
    acc[2] = en_wrapping_sum(a2, bias[2]);
    acc[3] = en_wrapping_sum(a3, bias[3]);
}

#endif
