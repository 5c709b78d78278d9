/* SPDX-License-Identifier: Apache-2.0 */
/* Arm's MPS2 boards with the images AN385, AN386, AN500 and AN505, as QEMU emulates them. */
#ifndef EDGENAS_PORT_CONFIG_H
#define EDGENAS_PORT_CONFIG_H

#define PORT_MAX_PAYLOAD 1028u
#define PORT_WINDOW 4u
#define PORT_ARENA_BYTES (2u << 20) /* of 4 MB */
#define PORT_INPUT_BYTES (512u << 10)
#define PORT_TICK_UNIT 1u
#define PORT_TICKS_PER_SECOND 0u

#endif
