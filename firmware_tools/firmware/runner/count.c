/* A file of its own, so that no compiler inlines or specialises it. */
#include "count.h"

#include "board.h"

void count(run_function run, const en_model *model, en_hook hook, void *context, uint32_t ticks[2]) {
    const uint32_t start = board_ticks();
    run(model, hook, context);
    ticks[1] = board_ticks();
    ticks[0] = start;
}
