/* The few devices of Arm's MPS2 boards (AN385, AN386, AN500) that the runner uses. */
#ifndef EDGENAS_RUNNER_BOARD_H
#define EDGENAS_RUNNER_BOARD_H

#include <stdint.h>

/* 16 MB that no image uses, at another place on the AN500: the Makefile says which. */
#ifndef BOARD_PSRAM
#error "BOARD_PSRAM: where this board's PSRAM begins"
#endif

void runner_main(void);

void board_start(void);
void board_write(const char *text);
void board_write_hex(uint32_t value);
void board_write_bytes(const uint8_t *bytes, uint32_t count);

/* A system reset, which the emulator is told to end at. */
__attribute__((noreturn)) void board_stop(void);

/* The CMSDK's timer 0 counts down from 2^32 - 1 at 25 MHz. SysTick would do on any Cortex-M, but has 24 bits: it wraps
 * after 16.7 million ticks, which is less than one inference of an image model. */
static inline uint32_t board_ticks(void) {
    return *(volatile const uint32_t *)0x40000004u;
}

#endif
