/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: COBS, CRC-32, a 0 at the end. The normative text is firmware_tools/link/PROTOCOL.md. */
#ifndef EDGENAS_FRAME_H
#define EDGENAS_FRAME_H

#include <stdint.h>

#include "port.h"

#define FRAME_HEAD_BYTES 2u /* kind, sequence */
#define FRAME_CRC_BYTES 4u
#define FRAME_BYTES (FRAME_HEAD_BYTES + PORT_MAX_PAYLOAD + FRAME_CRC_BYTES)
#define FRAME_ENCODED_BYTES (FRAME_BYTES + (FRAME_BYTES + 253u) / 254u + 1u)

typedef struct {
    uint8_t bytes[FRAME_BYTES]; /* kind, sequence, payload, CRC */
    uint32_t used;
} frame;

typedef struct {
    frame frame;
    uint32_t dropped; /* frames that were no good, since the start */
    uint8_t started;  /* a byte came since the last 0 */
    uint8_t left;     /* bytes of the present COBS block */
    uint8_t zero;     /* a 0 belongs behind it, unless the frame ends there */
    uint8_t bad;
} frame_receiver;

/* Take one byte of the line. 1: it ended a frame; `frame` is without its CRC then, and good until the next call. */
int frame_receive(frame_receiver *receiver, uint8_t byte);

/* Put the CRC behind the bytes that `out` holds and send it. It can be sent again as it was. */
void frame_send(frame *out);

#endif
