/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware's core, as a port sees it. */
#ifndef EDGENAS_CORE_H
#define EDGENAS_CORE_H

#include <stdint.h>

#define CORE_HARD_FAULT 1u
#define CORE_WATCHDOG 2u

/* Start-up ends here. The line, the ticks and PORT_STACK_PAINT must be there. */
_Noreturn void core_run(void);

/* From the handler of a fault or of a watchdog's warning, which calls port_reset next: keep what happened. cfsr is the
 * Cortex-M's Configurable Fault Status Register, address the one that could not be accessed; 0 where they are unknown. */
void core_fault(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address);

/* The parts of core_run, for a program that feeds it: tests and fuzzers. */
void core_start(void);
void core_byte(uint8_t byte);
uint32_t core_dropped(void);

#endif
