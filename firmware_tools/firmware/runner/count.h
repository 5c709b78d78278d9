#ifndef EDGENAS_RUNNER_COUNT_H
#define EDGENAS_RUNNER_COUNT_H

#include "engine.h"

typedef void (*run_function)(const en_model *model, en_hook hook, void *context);

/* The timer before and after `run`: the same instructions surround it whatever it is, so that what an empty function
 * takes can be subtracted. */
void count(run_function run, const en_model *model, en_hook hook, void *context, uint32_t ticks[2]);

#endif
