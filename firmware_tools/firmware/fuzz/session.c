/* SPDX-License-Identifier: Apache-2.0 */
/* Any messages, in any order, to a board with a model: nothing faults, the active slot stays whole, and a model can
 * always be installed afterwards.
 *
 * An input is messages one behind the other: kind, length of the payload, payload. Kinds from 0x20 to 0x22 are BEGIN,
 * WRITE and COMMIT of a plan that works, which no fuzzer would find: their payload's first byte picks one of two. */
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "bytes.h"
#include "core.h"
#include "crc32.h"
#include "engine.h"
#include "messages.h"
#include "session.h"
#include "sha256.h"
#include "slots.h"

#define PLAN_BYTES (sizeof(en_plan_header) + sizeof(en_lut_op) + 256u)
#define HELPED 0x20u

static uint8_t plans[2][PLAN_BYTES];
static uint8_t active_header[sizeof board_header[0]];
static uint8_t active_plan[BOARD_SLOT_BYTES];
static uint32_t active = SLOT_NONE;

/* One table over 16 values. */
static void make_plan(uint8_t plan[PLAN_BYTES], uint32_t add) {
    const uint32_t ops = sizeof(en_plan_header);
    const en_lut_op op = {.op = {EN_LUT, sizeof op}, .count = 16, .table = ops + sizeof op};
    en_plan_header header = {.magic = EN_PLAN_MAGIC, .version = EN_PLAN_VERSION, .packing = EN_PACKING};
    header.plan_bytes = PLAN_BYTES;
    header.arena_bytes = header.input_bytes = header.output_bytes = 16;
    header.op_count = 1;
    header.ops = ops;
    header.ops_bytes = sizeof op;
    memcpy(plan + ops, &op, sizeof op);
    for (uint32_t i = 0; i < 256u; i++) {
        plan[ops + sizeof op + i] = (uint8_t)(i + add);
    }
    memcpy(plan, &header, sizeof header);
    header.crc32 = en_crc32(plan + 16, PLAN_BYTES - 16u);
    memcpy(plan, &header, sizeof header);
}

static void tell(uint8_t kind, const uint8_t *payload, uint32_t count) {
    static uint8_t sequence;
    static frame in;
    in.used = FRAME_HEAD_BYTES + count;
    in.bytes[0] = kind;
    in.bytes[1] = sequence++;
    memcpy(in.bytes + FRAME_HEAD_BYTES, payload, count);
    board_sent_bytes = 0;
    session_answer(&in);
}

static void help(uint8_t kind, const uint8_t *payload, uint32_t count) {
    uint8_t message[4u + PLAN_BYTES];
    const uint8_t *const plan = plans[count > 0u ? payload[0] & 1u : 0u];
    const uint32_t at = count > 2u ? get_u16(payload + 1) % PLAN_BYTES / 8u * 8u : 0u;
    put_u32(message, kind == HELPED ? PLAN_BYTES : at);
    if (kind == HELPED) {
        sha256(plan, PLAN_BYTES, message + 4);
        tell(MESSAGE_BEGIN, message, 4u + SHA256_BYTES);
    } else if (kind == HELPED + 1u) {
        memcpy(message + 4, plan + at, PLAN_BYTES - at);
        tell(MESSAGE_WRITE, message, 4u + PLAN_BYTES - at);
    } else {
        sha256(plan, PLAN_BYTES, message);
        tell(MESSAGE_COMMIT, message, SHA256_BYTES);
    }
}

static void install(uint32_t which) {
    const uint8_t choice[3] = {(uint8_t)which, 0, 0};
    tell(MESSAGE_DISCARD, choice, 0);
    help(HELPED, choice, 3);
    help(HELPED + 1u, choice, 3);
    tell(MESSAGE_VERIFY, choice, 0);
    help(HELPED + 2u, choice, 3);
}

/* The active slot changes only by becoming another one. */
static void check_active(void) {
    const uint32_t now = slots_active();
    if (now == SLOT_NONE) {
        abort();
    }
    const uint8_t *const header = board_header[now];
    if (now == active && (memcmp(header, active_header, sizeof active_header) != 0 ||
                          memcmp(board_plan[now], active_plan, sizeof active_plan) != 0)) {
        abort();
    }
    active = now;
    memcpy(active_header, header, sizeof active_header);
    memcpy(active_plan, board_plan[now], sizeof active_plan);
}

static void tell_all(const uint8_t *data, size_t bytes) {
    volatile size_t at = 0;
    if (setjmp(board_restart) != 0) {
        core_start();
        check_active();
    }
    while (at + 2u <= bytes) {
        const uint8_t kind = data[at];
        const uint8_t *const payload = data + at + 2u;
        const size_t left = bytes - at - 2u;
        const uint32_t count = (uint32_t)(data[at + 1u] < left ? data[at + 1u] : left);
        at = at + 2u + count;
        if (kind >= HELPED && kind <= HELPED + 2u) {
            help(kind, payload, count);
        } else {
            tell(kind, payload, count);
        }
        check_active();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    make_plan(plans[0], 1);
    make_plan(plans[1], 2);
    board_new();
    install(0);
    active = SLOT_NONE;
    check_active();
    tell_all(data, bytes);
    install(1);
    uint8_t digest[SHA256_BYTES];
    sha256(plans[1], PLAN_BYTES, digest);
    if (memcmp(slots_info(slots_active())->sha256, digest, sizeof digest) != 0) {
        abort();
    }
    return 0;
}
