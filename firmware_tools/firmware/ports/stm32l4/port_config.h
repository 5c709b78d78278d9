/* SPDX-License-Identifier: Apache-2.0 */
/* ST's NUCLEO-L4R5ZI: an STM32L4R5ZI (Cortex-M4F, 120 MHz, 2 MB of flash, 640 KB of RAM). Not run on hardware yet. */
#ifndef EDGENAS_PORT_CONFIG_H
#define EDGENAS_PORT_CONFIG_H

#define PORT_MAX_PAYLOAD 1028u
#define PORT_WINDOW 4u
#define PORT_ARENA_BYTES (512u << 10)
#define PORT_INPUT_BYTES (64u << 10)
#define PORT_TICK_UNIT 0u
#define PORT_TICKS_PER_SECOND 120000000u

#endif
