/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "buffers.h"
#include "bytes.h"
#include "engine.h"
#include "fault.h"
#include "kernel_set.h"
#include "messages.h"
#include "model.h"
#include "port.h"
#include "slots.h"

static uint8_t spoken; /* anything was sent since the start */

static void answer_text(answer *to, const char *text) {
    uint32_t length = 0;
    while (text[length] != '\0' && length < 40u) {
        length++;
    }
    answer_u8(to, length);
    answer_bytes(to, (const uint8_t *)text, length);
}

static message_status hello(const request *asked, answer *to) {
    uint8_t id[16];
    (void)asked;
    port_unique_id(id);
    answer_u8(to, PROTOCOL_VERSION);
    answer_u8(to, PROTOCOL_VERSION);
    answer_u16(to, EN_PLAN_VERSION);
    answer_u16(to, EN_PACKING);
    answer_u8(to, EN_KERNEL_SET);
    answer_u8(to, PORT_TICK_UNIT);
    answer_u16(to, PORT_MAX_PAYLOAD);
    answer_u8(to, PORT_WINDOW);
    answer_u8(to, PORT_SLOTS);
    answer_u32(to, PORT_TICKS_PER_SECOND);
    answer_u32(to, PORT_ARENA_BYTES);
    answer_u32(to, port_slot_at(0)->plan_bytes);
    answer_bytes(to, id, sizeof id);
    answer_text(to, port_board());
    answer_text(to, FIRMWARE_VERSION);
    answer_u32(to, PORT_INPUT_BYTES);
    return STATUS_OK;
}

static message_status tell_status(const request *asked, answer *to) {
    static const uint8_t no_hash[SHA256_BYTES];
    const fault_record *const record = fault_get();
    const uint32_t staged = slots_staged();
    (void)asked;
    answer_u8(to, slots_active());
    answer_u8(to, slots_previous());
    answer_u8(to, staged);
    answer_u8(to, staged == SLOT_NONE ? 0u : SLOT_TRIES - slots_info(staged)->tried);
    answer_u32(to, record->commits);
    answer_u32(to, record->rollbacks);
    answer_u32(to, record->resets);
    answer_u32(to, buffers.in.dropped);
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        const slot_info *const info = slots_info(i);
        const int empty = info->state == SLOT_EMPTY;
        answer_u8(to, (uint32_t)info->state);
        answer_u32(to, empty ? 0u : info->bytes);
        answer_bytes(to, empty ? no_hash : info->sha256, SHA256_BYTES);
    }
    return STATUS_OK;
}

static message_status begin(const request *asked, answer *to) {
    uint32_t number = 0;
    const uint32_t spare = slots_spare();
    const message_status status = slots_begin(get_u32(asked->bytes), asked->bytes + 4, &number);
    if (status != STATUS_TOO_LARGE && status != STATUS_MALFORMED) {
        model_forget(spare);
    }
    answer_u32(to, number);
    return status;
}

static message_status write(const request *asked, answer *to) {
    uint32_t number = 0;
    const message_status status = slots_write(get_u32(asked->bytes), asked->bytes + 4, asked->count - 4u, &number);
    answer_u32(to, number);
    return status;
}

static message_status verify(const request *asked, answer *to) {
    uint32_t slot;
    en_model model;
    (void)asked;
    message_status status = slots_check(&slot);
    if (status == STATUS_OK) {
        status = model_check(&model, slot, to);
        if (status == STATUS_OK) {
            return slots_stage();
        }
        slots_revoke(slot);
    }
    return status;
}

static message_status discard(const request *asked, answer *to) {
    (void)asked;
    (void)to;
    const uint32_t spare = slots_spare();
    if (spare != slots_previous()) {
        model_forget(spare);
    }
    return slots_discard();
}

static message_status commit(const request *asked, answer *to) {
    (void)to;
    const int is_new = slots_staged() != SLOT_NONE;
    const message_status status = slots_commit(asked->bytes);
    fault_get()->commits += is_new && status == STATUS_OK;
    return status;
}

static message_status rollback(const request *asked, answer *to) {
    (void)asked;
    (void)to;
    const uint32_t active = slots_active();
    const message_status status = slots_rollback();
    if (status == STATUS_OK) {
        model_forget(active);
        fault_get()->rollbacks++;
    }
    return status;
}

static message_status tell_fault(const request *asked, answer *to) {
    const fault_record *const record = fault_get();
    answer_u8(to, record->kind);
    answer_u8(to, record->slot);
    answer_u32(to, record->operator_index);
    answer_u32(to, record->pc);
    answer_u32(to, record->lr);
    answer_u32(to, record->cfsr);
    answer_u32(to, record->address);
    if (asked->bytes[0] == 1u) {
        fault_clear();
    }
    return STATUS_OK;
}

static message_status restart(const request *asked, answer *to) {
    (void)asked;
    (void)to;
    return STATUS_OK; /* session_answer does it, behind the answer */
}

typedef struct {
    message_status (*act)(const request *asked, answer *to);
    uint32_t least; /* bytes of a payload that makes sense */
} message;

static const message messages[] = {
    [MESSAGE_HELLO] = {hello, 2},
    [MESSAGE_STATUS] = {tell_status, 0},
    [MESSAGE_BEGIN] = {begin, 4u + SHA256_BYTES},
    [MESSAGE_WRITE] = {write, 4},
    [MESSAGE_VERIFY] = {verify, 0},
    [MESSAGE_DISCARD] = {discard, 0},
    [MESSAGE_COMMIT] = {commit, SHA256_BYTES},
    [MESSAGE_ROLLBACK] = {rollback, 0},
    [MESSAGE_SELECT] = {model_select, 1},
    [MESSAGE_INPUT] = {model_input, 4},
    [MESSAGE_RUN] = {model_run, 2},
    [MESSAGE_PROFILE] = {model_profile, 4},
    [MESSAGE_OUTPUT] = {model_output, 6},
    [MESSAGE_MEMORY] = {model_memory, 0},
    [MESSAGE_FAULT] = {tell_fault, 1},
    [MESSAGE_RESET] = {restart, 0},
};

static message_status act(uint32_t kind, const request *asked, answer *to) {
    if (kind == 0u || kind >= sizeof messages / sizeof messages[0]) {
        return STATUS_UNKNOWN;
    }
    return asked->count < messages[kind].least ? STATUS_MALFORMED : messages[kind].act(asked, to);
}

void session_start(void) {
    buffers.out.used = 0;
    buffers.in.started = 0;
    buffers.in.dropped = 0;
    spoken = 0;
}

void session_answer(const frame *in) {
    frame *const out = &buffers.out;
    const uint8_t kind = in->bytes[0];
    const uint8_t sequence = in->bytes[1];
    if (kind >= ANSWER) {
        return; /* an answer: some line's echo, or two boards on one line */
    }
    const int again = out->used > 0u && out->bytes[0] == (kind | ANSWER) && out->bytes[1] == sequence;
    if (!again) {
        const request asked = {in->bytes + FRAME_HEAD_BYTES, in->used - FRAME_HEAD_BYTES};
        answer to = {out->bytes + FRAME_HEAD_BYTES, 1, PORT_MAX_PAYLOAD};
        const message_status status = act(kind, &asked, &to);
        out->bytes[0] = kind | ANSWER;
        out->bytes[1] = sequence;
        out->bytes[FRAME_HEAD_BYTES] = (uint8_t)status;
        out->used = FRAME_HEAD_BYTES + to.count;
    }
    if (!spoken) {
        static const uint8_t end = 0; /* of whatever was on the line before */
        port_send(&end, 1);
        spoken = 1;
    }
    frame_send(out);
    if (kind == MESSAGE_RESET && !again) {
        port_reset();
    }
}
