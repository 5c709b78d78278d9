/* SPDX-License-Identifier: Apache-2.0 */
/* Reads lines of hexadecimal bytes as they come over a line, answers each with the frame in it, kind, sequence and payload,
 * and with what the core sends for that; "- -" where there is none. */
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "frame.h"

static void print(const uint8_t *bytes, uint32_t count, char end) {
    for (uint32_t i = 0; i < count; i++) {
        printf("%02x", bytes[i]);
    }
    putchar(end);
}

static void answer(frame_receiver *in, int whole) {
    if (!whole) {
        printf("- -\n");
        return;
    }
    board_sent_bytes = 0;
    print(in->frame.bytes, in->frame.used, ' ');
    frame_send(&in->frame);
    print(board_sent, board_sent_bytes, '\n');
}

int main(void) {
    static frame_receiver in;
    static frame found;
    int whole = 0;
    unsigned byte;
    for (int next = getchar(); next != EOF; next = getchar()) {
        if (next == '\n') {
            in.frame = whole ? found : in.frame;
            answer(&in, whole);
            memset(&in, 0, sizeof in);
            whole = 0;
            continue;
        }
        ungetc(next, stdin);
        if (scanf("%2x", &byte) == 1 && frame_receive(&in, (uint8_t)byte)) {
            found = in.frame;
            whole = 1;
        }
    }
}
