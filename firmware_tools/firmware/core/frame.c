/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"

#define BLOCK_BYTES 254u /* that one COBS code byte can announce */

static void keep(frame_receiver *receiver, uint8_t byte) {
    frame *const in = &receiver->frame;
    if (in->used < FRAME_BYTES) {
        in->bytes[in->used++] = byte;
    } else {
        receiver->bad = 1;
    }
}

static void begin_block(frame_receiver *receiver, uint8_t code) {
    if (receiver->zero) {
        keep(receiver, 0);
    }
    receiver->left = (uint8_t)(code - 1u);
    receiver->zero = code != BLOCK_BYTES + 1u;
    receiver->started = 1;
}

static int is_whole(frame_receiver *receiver) {
    frame *const in = &receiver->frame;
    if (receiver->bad || receiver->left != 0u || in->used < FRAME_HEAD_BYTES + FRAME_CRC_BYTES) {
        return 0;
    }
    in->used -= FRAME_CRC_BYTES;
    return en_crc32(in->bytes, in->used) == get_u32(in->bytes + in->used);
}

static void forget(frame_receiver *receiver) {
    receiver->frame.used = 0;
    receiver->started = 0;
    receiver->left = 0;
    receiver->zero = 0;
    receiver->bad = 0;
}

int frame_receive(frame_receiver *receiver, uint8_t byte) {
    if (!receiver->started) {
        forget(receiver);
    }
    if (byte == 0u) {
        const int empty = !receiver->started; /* a 0 behind another: only makes sure that the line is in step */
        const int whole = !empty && is_whole(receiver);
        receiver->dropped += !empty && !whole;
        receiver->started = 0;
        return whole;
    }
    if (receiver->left == 0u) {
        begin_block(receiver, byte);
    } else {
        keep(receiver, byte);
        receiver->left--;
    }
    return 0;
}

/* `count` bytes as COBS, without the 0 at the end. */
static void send_blocks(const uint8_t *bytes, uint32_t count) {
    uint8_t block[1u + BLOCK_BYTES];
    uint32_t at = 0;
    for (;;) {
        uint32_t length = 0;
        while (length < BLOCK_BYTES && at + length < count && bytes[at + length] != 0u) {
            length++;
        }
        block[0] = (uint8_t)(length + 1u);
        memcpy(block + 1, bytes + at, length);
        port_send(block, length + 1u);
        at += length;
        if (at == count) {
            return;
        }
        at += length < BLOCK_BYTES; /* the 0 that ended the block; a full block has none */
    }
}

void frame_send(frame *out) {
    static const uint8_t end = 0;
    put_u32(out->bytes + out->used, en_crc32(out->bytes, out->used));
    send_blocks(out->bytes, out->used + FRAME_CRC_BYTES);
    port_send(&end, 1);
}
