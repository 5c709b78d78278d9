/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators with packed weights check alike: their en_requant and its tables. */
#ifndef EDGENAS_PACKED_H
#define EDGENAS_PACKED_H

#include "check.h"

static inline uint32_t en_round_up(uint32_t value, uint32_t multiple) {
    return (value + multiple - 1u) / multiple * multiple;
}

int en_is_requant(const en_requant *requant);

/* Weights, scratch and the tables of words begin at multiples of 4. */
int en_packed_aligned(uint32_t weights, uint32_t scratch, const en_requant *requant);

/* The tables of so many packed channels lie in the plan. */
int en_tables_inside(const en_bounds *bounds, const en_requant *requant, uint32_t channels);

/* Read the tables, which lie in the plan: EN_BAD_VALUE for a number that could overflow, where to each bias `inputs`
 * products of int8 are added; EN_BAD_SHAPE if too much has been read already. */
en_status en_check_tables(en_bounds *bounds, const en_requant *requant, uint32_t channels, uint64_t inputs);

#endif
