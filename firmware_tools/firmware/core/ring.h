/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from an interrupt to the main loop: one writes, one reads, neither waits. */
#ifndef EDGENAS_RING_H
#define EDGENAS_RING_H

#include <stdint.h>

#include "frame.h"

/* A power of two, with room for the window and for what else a host may repeat meanwhile. */
#define RING_BYTES 8192u
_Static_assert(RING_BYTES >= PORT_WINDOW * FRAME_ENCODED_BYTES, "PORT_WINDOW is more than the ring holds");

typedef struct {
    volatile uint32_t in, out; /* counted on and on */
    uint8_t bytes[RING_BYTES];
} ring;

/* What does not fit is lost: its frame has a wrong CRC then, and the host repeats it. */
static inline void ring_put(ring *to, uint8_t byte) {
    if (to->in - to->out < RING_BYTES) {
        to->bytes[to->in % RING_BYTES] = byte;
        to->in++;
    }
}

static inline int ring_get(ring *from) {
    if (from->in == from->out) {
        return -1;
    }
    const uint8_t byte = from->bytes[from->out % RING_BYTES];
    from->out++;
    return byte;
}

#endif
