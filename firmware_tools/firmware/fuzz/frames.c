/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on the line of a board; and any bytes as a frame, sent and received again. */
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "core.h"
#include "frame.h"

static void feed(const uint8_t *data, size_t bytes) {
    volatile size_t at = 0; /* what a reset takes with it is not on the line */
    board_new();
    if (setjmp(board_restart) != 0) {
        core_start();
    }
    while (at < bytes) {
        const uint8_t byte = data[at];
        at = at + 1u;
        core_byte(byte);
    }
}

static void send_and_receive(const uint8_t *data, size_t bytes) {
    static frame out;
    static frame_receiver in;
    out.used = (uint32_t)(bytes < FRAME_HEAD_BYTES + PORT_MAX_PAYLOAD ? bytes : FRAME_HEAD_BYTES + PORT_MAX_PAYLOAD);
    memcpy(out.bytes, data, out.used);
    board_sent_bytes = 0;
    frame_send(&out);
    if (board_sent_bytes > FRAME_ENCODED_BYTES) {
        abort();
    }
    for (uint32_t i = 0; i < board_sent_bytes; i++) {
        const int whole = frame_receive(&in, board_sent[i]);
        if (whole != (i + 1u == board_sent_bytes)) {
            abort(); /* no end, or one before the end */
        }
    }
    if (in.frame.used != out.used || memcmp(in.frame.bytes, out.bytes, out.used) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    feed(data, bytes);
    if (bytes >= FRAME_HEAD_BYTES) {
        send_and_receive(data, bytes);
    }
    return 0;
}
