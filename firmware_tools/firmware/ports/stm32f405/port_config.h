/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's netduinoplus2: an STM32F405 (Cortex-M4, 1 MB of flash, 128 KB of RAM). */
#ifndef EDGENAS_PORT_CONFIG_H
#define EDGENAS_PORT_CONFIG_H

#define PORT_MAX_PAYLOAD 1028u
#define PORT_WINDOW 4u
#define PORT_ARENA_BYTES (96u << 10)
#define PORT_INPUT_BYTES (8u << 10) /* an image of 32 x 32 x 3 is 3 KB */
#define PORT_TICK_UNIT 1u
#define PORT_TICKS_PER_SECOND 0u
#define FLASH_ADDRESS 0x08020000u /* behind the firmware */
#define FLASH_SLOT_BYTES (384u << 10)
#define FLASH_PAGE_BYTES 4096u /* the file's: the chip's own are 128 KB there */

#endif
