/* SPDX-License-Identifier: Apache-2.0 */
/* The portable set has no loops beyond those that every set has. */
#ifndef EDGENAS_PORTABLE_LOOPS_H
#define EDGENAS_PORTABLE_LOOPS_H

static inline uint32_t en_conv_pairs(const int16_t *scratch, const int8_t *weights, uint32_t groups,
                                     const en_tables *tables, uint32_t pixels, uint32_t out_c, int8_t *out) {
    (void)scratch, (void)weights, (void)groups, (void)tables, (void)pixels, (void)out_c, (void)out;
    return 0;
}

static inline uint32_t en_dense_blocks(const int16_t *x, const int8_t *weights, uint32_t groups,
                                       const en_tables *tables, uint32_t outputs, int8_t *out) {
    (void)x, (void)weights, (void)groups, (void)tables, (void)outputs, (void)out;
    return 0;
}

static inline int en_gather_lanes(const en_strip *strip, const int8_t *from, int16_t *to, uint32_t rows) {
    (void)strip, (void)from, (void)to, (void)rows;
    return 0;
}

#endif
