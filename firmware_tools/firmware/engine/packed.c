/* SPDX-License-Identifier: Apache-2.0 */
#include "packed.h"

#define EN_PRODUCT (INT64_C(1) << 14)    /* the largest product of two int8 */
#define EN_ACCUMULATOR (INT64_C(1) << 31) /* what bias and products together must stay below */
#define EN_FAST (INT64_C(1) << 30)       /* the same where requant.fast is 1 */

int en_is_requant(const en_requant *requant) {
    return requant->low <= requant->high && requant->fast <= 1u;
}

int en_tables_inside(const en_bounds *bounds, const en_requant *requant, uint32_t channels) {
    const uint64_t words = (uint64_t)channels * 4u;
    return en_inside((en_span){requant->bias, words}, bounds->plan_bytes) &&
           en_inside((en_span){requant->multiplier, words}, bounds->plan_bytes) &&
           en_inside((en_span){requant->shift, channels}, bounds->plan_bytes);
}

int en_packed_aligned(uint32_t weights, uint32_t scratch, const en_requant *requant) {
    return (weights | scratch | requant->bias | requant->multiplier) % 4u == 0u;
}

en_status en_check_tables(en_bounds *bounds, const en_requant *requant, uint32_t channels, uint64_t inputs) {
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
