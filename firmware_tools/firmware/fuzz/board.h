/* SPDX-License-Identifier: Apache-2.0 */
/* A board in memory for fuzzers and power cuts: flash as arrays, a line that goes nowhere, a reset that starts the core
 * again. */
#ifndef EDGENAS_FUZZ_BOARD_H
#define EDGENAS_FUZZ_BOARD_H

#include <setjmp.h>
#include <stdint.h>

#ifndef BOARD_SLOT_BYTES
#define BOARD_SLOT_BYTES 16384u
#endif
#define BOARD_PAGE_BYTES 4096u /* of plans; a header page has 256 */

extern uint8_t board_header[2][256], board_plan[2][BOARD_SLOT_BYTES];
extern uint8_t board_sent[4096]; /* the last frames, and how many bytes of them */
extern uint32_t board_sent_bytes;

extern jmp_buf board_restart; /* where a reset goes */

/* Unless 0, called before the `bytes` of flash at `at` become those at `after`, or erased if that is 0. */
extern void (*board_before)(uint8_t *at, const uint8_t *after, uint32_t bytes);

/* As a new board is. */
void board_new(void);

/* Power comes on: the flash is what it was. */
void board_power_on(void);

#endif
