/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts at every operation of a board's flash (fuzz/board.h), in every way that tear.h knows.
 *
 * At each operation the process forks for each way: the child is the board that comes on again afterwards, and may be cut
 * in its turn. What a board does is decided by its flash, so contents that were met before are not tried again, and a board
 * that comes to where another was before it is not followed any further: its cuts count, but were tried. */
#ifndef EDGENAS_CUTS_H
#define EDGENAS_CUTS_H

#include <setjmp.h>
#include <stdint.h>

#define CUTS_MOST 4u

typedef struct {
    uint32_t operation; /* from 1, since power came on */
    uint32_t style;
} power_cut;

typedef struct {
    uint32_t depth; /* how many cuts one after the other */
    uint32_t jobs;  /* processes at once */
    uint32_t seed;
    uint32_t only_count; /* unless 0, these cuts and no others */
    power_cut only[CUTS_MOST];
} cuts_plan;

extern jmp_buf cuts_power_on; /* where a board that was cut goes on */

/* From now on the power may go. */
void cuts_begin(const cuts_plan *plan);

/* What decides, besides the flash, what may come next. */
void cuts_state(uint32_t state);

/* No more from now on in this board's life. */
void cuts_end(void);

uint32_t cuts_depth(void);

/* The board did what it must not: say so, with the cuts that led there, and end all. */
_Noreturn void cuts_violation(const char *what);

/* This board's life is over and all was well. The process that never was cut waits for all others, prints what was tried, and
 * exits with 1 if any of them found a violation. */
_Noreturn void cuts_finish(const char *name);

#endif
