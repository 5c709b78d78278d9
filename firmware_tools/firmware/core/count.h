/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGENAS_COUNT_H
#define EDGENAS_COUNT_H

#include "engine.h"

typedef void (*run_function)(const en_model *model, en_hook hook, void *context);

/* The ticks of `run`. The same instructions surround it whatever it is, so that what an empty function takes can be
 * subtracted. */
uint64_t count_ticks(run_function run, const en_model *model, en_hook hook, void *context);

/* Does nothing but return. */
void run_nothing(const en_model *model, en_hook hook, void *context);

#endif
