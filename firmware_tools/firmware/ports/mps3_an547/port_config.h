/* SPDX-License-Identifier: Apache-2.0 */
/* Arm's MPS3 board with the image AN547, as QEMU emulates it. */
#ifndef EDGENAS_PORT_CONFIG_H
#define EDGENAS_PORT_CONFIG_H

#define PORT_MAX_PAYLOAD 1028u
#define PORT_WINDOW 4u
#define PORT_ARENA_BYTES (2u << 20) /* of 4 MB */
#define PORT_INPUT_BYTES (512u << 10)
#define PORT_TICK_UNIT 1u
#define PORT_TICKS_PER_SECOND 0u

#define CMSDK_UART 0x59303000u
#define CMSDK_UART_IRQ 33u

/* The 2 MB SRAM. The board's main memory is 2 GiB, which is why QEMU does not keep it in a file. */
#define FLASH_ADDRESS 0x11000000u
#define FLASH_SLOT_BYTES (1u << 20)
#define FLASH_PAGE_BYTES 4096u

#endif
