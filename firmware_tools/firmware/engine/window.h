/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators with a window check alike. */
#ifndef EDGENAS_WINDOW_H
#define EDGENAS_WINDOW_H

#include "check.h"

static inline en_span en_window_input(uint32_t at, const en_window *w) {
    return (en_span){at, (uint64_t)w->in_h * w->in_w * w->in_c};
}

static inline en_span en_window_output(uint32_t at, const en_window *w) {
    return (en_span){at, (uint64_t)w->out_h * w->out_w * w->out_c};
}

/* No size is zero, and every window meets the input. */
int en_is_window(const en_window *w);

/* So many bytes before its input an output must begin, so that nothing is overwritten that is still to be read: D of
 * PLAN.md, the largest lag. */
uint64_t en_window_distance(const en_window *w);

#endif
