/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGENAS_PORT_CONFIG_H
#define EDGENAS_PORT_CONFIG_H

#ifndef PORT_MAX_PAYLOAD /* the golden frames are for another one */
#define PORT_MAX_PAYLOAD 1028u
#endif
#define PORT_WINDOW 4u
#define PORT_ARENA_BYTES (2u << 20)
#define PORT_INPUT_BYTES (512u << 10)
#define PORT_TICK_UNIT 0u
#define PORT_TICKS_PER_SECOND 1000000000u

#endif
