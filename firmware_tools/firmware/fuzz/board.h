/* A board in memory for the fuzzers: flash as arrays, a line that goes nowhere, a reset that starts the core again. */
#ifndef EDGENAS_FUZZ_BOARD_H
#define EDGENAS_FUZZ_BOARD_H

#include <setjmp.h>
#include <stdint.h>

#define BOARD_SLOT_BYTES 16384u

extern uint8_t board_header[2][256], board_plan[2][BOARD_SLOT_BYTES];
extern uint8_t board_sent[4096]; /* the last frames, and how many bytes of them */
extern uint32_t board_sent_bytes;

extern jmp_buf board_restart; /* where a reset goes */

/* As a new board is. */
void board_new(void);

#endif
