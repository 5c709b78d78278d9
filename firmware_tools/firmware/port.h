/* SPDX-License-Identifier: Apache-2.0 */
/* What a chip has to provide. core/ is the same everywhere and calls only this and the engine; a port is this file's
 * functions, a port_config.h, and start-up code that ends in core_run() (core/core.h).
 *
 * port_config.h defines, as numbers that the preprocessor knows:
 *
 *     PORT_MAX_PAYLOAD       of a frame, bytes: 4 more than a multiple of 8, at least 132. 1028 is a good value
 *     PORT_WINDOW            frames of FRAME_ENCODED_BYTES (core/frame.h) that wait while the core writes to flash
 *     PORT_ARENA_BYTES       for the largest model's tensors, and
 *     PORT_INPUT_BYTES       for its input, which is kept apart: most of the chip's RAM goes into these two
 *     PORT_TICK_UNIT         0: port_ticks counts cycles, 1: instructions (an emulator)
 *     PORT_TICKS_PER_SECOND  0 where it is not known, as with instructions
 *
 * Functions that answer int answer 1 for done and 0 for failed. */
#ifndef EDGENAS_PORT_H
#define EDGENAS_PORT_H

#include <stdint.h>

#include "port_config.h"

#define PORT_KEPT_WORDS 20u
#define PORT_UNIT_BYTES 8u
#define PORT_SLOTS 2u
#define PORT_STACK_PAINT 0x5AA5C33Cu

/* --- The line --- */

/* The next byte that came in, -1 if there is none; never waits. An interrupt should have put it into a ring (core/ring.h)
 * of PORT_WINDOW frames: most chips hold one byte, and a flash write takes longer than that. */
int port_receive(void);

/* Returns when the bytes are handed over; may wait for the line. */
void port_send(const uint8_t *bytes, uint32_t count);

/* Sleep until there may be a byte. May return at any time, and must return if one came after the last port_receive. */
void port_wait(void);

/* --- Time --- */

/* Counts on and on. Called at least before and after every inference, so that a counter of 32 bits that wraps no faster
 * than that can be extended here. It should always take the same time: what two calls cost is subtracted. */
uint64_t port_ticks(void);

/* --- Flash: two slots ---
 *
 * Both are mapped for reading, at addresses that are multiples of 4. A header page is a page of its own, so that
 * erasing plans leaves it alone. After a write or an erase a read must give what is there (flush caches). The core
 * writes a unit once after an erase, and no unit of only 0xFF: what ECC flash allows. Where the chip cannot fetch code from
 * flash meanwhile, these functions and the receive interrupt belong into RAM. */
typedef struct {
    const uint8_t *header;
    const uint8_t *plan;
    uint32_t plan_bytes; /* whole pages */
} port_slot;

const port_slot *port_slot_at(uint32_t slot);
uint32_t port_page_bytes(const uint8_t *page); /* of the page that begins there; pages may differ */
int port_erase(const uint8_t *page);
int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]);

/* --- Restarts ---
 *
 * The start-up code must leave port_kept's memory alone, as a reset does; it may hold anything after power came on. */
uint32_t *port_kept(void); /* PORT_KEPT_WORDS words */
_Noreturn void port_reset(void);

/* Runs while a model does. The first inference of a model is kicked at every operator. It measures the others, which are
 * not kicked: their start is told how many ticks it took, the first one's 0. The watchdog has to leave twice those ticks,
 * and at least the time of the dearest operator; a model that takes longer than the port can wait ends as one that hangs.
 * If the chip can interrupt before it resets, the interrupt calls core_fault(CORE_WATCHDOG, ..) and port_reset; if not,
 * port_was_watchdog answers whether the last restart came from it. Start is called before every inference, stop after the
 * last of a request: a watchdog that cannot be stopped has to be kicked by port_receive, too, as long as it is "stopped". */
void port_watchdog_start(uint64_t ticks);
void port_watchdog_kick(void);
void port_watchdog_stop(void);
int port_was_watchdog(void);

/* --- Who and how much --- */

void port_unique_id(uint8_t id[16]); /* zeros if the chip has none */
const char *port_board(void);        /* the board's name as edgenas knows it, UTF-8, at most 40 bytes */

/* The stack: it grows down to `low`. The start-up code fills it with PORT_STACK_PAINT. */
const uint32_t *port_stack_low(void);
const uint32_t *port_stack_high(void);

#endif
