/* SPDX-License-Identifier: Apache-2.0 */
/* A file of its own, so that no compiler inlines or specialises it. */
#include "count.h"

#include "port.h"

uint64_t count_ticks(run_function run, const en_model *model, en_hook hook, void *context) {
    const uint64_t start = port_ticks();
    run(model, hook, context);
    return port_ticks() - start;
}

void run_nothing(const en_model *model, en_hook hook, void *context) {
    (void)model;
    (void)hook;
    (void)context;
}
