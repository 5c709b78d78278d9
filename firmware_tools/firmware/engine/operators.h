/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of plan.h's list: what run.c and load.c call, one file each (or for each record) in operators/. */
#ifndef EDGENAS_OPERATORS_H
#define EDGENAS_OPERATORS_H

#include "check.h"

/* en_NAME computes, after en_check_NAME gave EN_OK for the same record. `op` lies completely inside the plan and has the
 * size of its kind. */
#define EN_FUNCTIONS(kind, number, record, bytes, name) \
    void en_##name(const en_model *model, const record *op); \
    en_status en_check_##name(en_bounds *bounds, const record *op);
EN_OPERATORS(EN_FUNCTIONS)
#undef EN_FUNCTIONS

#endif
