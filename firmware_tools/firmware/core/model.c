/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <string.h>

#include "buffers.h"
#include "bytes.h"
#include "count.h"
#include "fault.h"
#include "port.h"
#include "slots.h"

typedef struct {
    uint32_t first, count; /* operators that are wanted */
    uint32_t *stamps;
} profile;

static struct {
    en_model model;
    uint32_t slot;   /* SLOT_NONE: no model is selected */
    uint32_t op_count;
    uint64_t ticks;  /* of one inference under the watch of the hook; 0: there was none yet */
    uint8_t has_run; /* there is an output */
} selected;

void model_start(void) {
    selected.slot = SLOT_NONE;
}

void model_forget(uint32_t slot) {
    if (selected.slot == slot) {
        selected.slot = SLOT_NONE;
    }
}

message_status model_check(en_model *model, uint32_t slot, answer *to) {
    const en_status status =
        en_load(model, port_slot_at(slot)->plan, slots_info(slot)->bytes, buffers.arena, PORT_ARENA_BYTES);
    if (status != EN_OK) {
        fault_refused(slot, model->failed_op);
        answer_u8(to, (uint32_t)status);
        answer_u32(to, model->failed_op);
        return STATUS_BAD_PLAN;
    }
    if (model->header->input_bytes > PORT_INPUT_BYTES) {
        answer_u32(to, PORT_INPUT_BYTES);
        return STATUS_TOO_LARGE;
    }
    return STATUS_OK;
}

message_status model_select(const request *asked, answer *to) {
    const uint32_t slot = asked->bytes[0] == 0u ? slots_active() : slots_staged();
    selected.slot = SLOT_NONE;
    if (asked->bytes[0] > 1u) {
        return STATUS_MALFORMED;
    }
    if (slot == SLOT_NONE) {
        return STATUS_NOT_READY;
    }
    const message_status status = model_check(&selected.model, slot, to);
    if (status != STATUS_OK) {
        return status;
    }
    const en_plan_header *const header = selected.model.header;
    selected.slot = slot;
    selected.op_count = header->op_count;
    selected.ticks = 0;
    selected.has_run = 0;
    memset(buffers.input, 0, header->input_bytes);
    answer_u32(to, header->input_bytes);
    answer_u32(to, header->output_bytes);
    answer_u32(to, header->arena_bytes);
    answer_u32(to, selected.op_count);
    return STATUS_OK;
}

/* Why a message that needs a model cannot have one. */
static message_status no_model(void) {
    const uint32_t kind = fault_get()->kind;
    return kind == FAULT_HARD || kind == FAULT_WATCHDOG ? STATUS_FAULTED : STATUS_NOT_READY;
}

message_status model_input(const request *asked, answer *to) {
    if (selected.slot == SLOT_NONE) {
        return no_model();
    }
    const uint32_t offset = get_u32(asked->bytes);
    const uint32_t count = asked->count - 4u;
    const uint32_t room = selected.model.header->input_bytes;
    if (offset > room || count > room - offset) {
        answer_u32(to, room);
        return STATUS_TOO_LARGE;
    }
    memcpy(buffers.input + offset, asked->bytes + 4, count);
    return STATUS_OK;
}

/* The hook: where the model is, in case it never comes back. */
static void on_operator(void *context, uint32_t index, uint32_t op_count) {
    const profile *const wanted = context;
    const uint32_t place = index - wanted->first;
    (void)op_count;
    wanted->stamps[place <= wanted->count ? place : wanted->count + 1u] = (uint32_t)port_ticks();
    fault_get()->operator_now = index;
    if (index <= selected.op_count) { /* as loaded: a plan that changed since could go on for ever, kicking */
        port_watchdog_kick();
    }
}

static uint64_t infer(en_hook hook, void *context) {
    memcpy(en_input(&selected.model), buffers.input, selected.model.header->input_bytes);
    fault_get()->operator_now = FAULT_NO_OPERATOR;
    port_watchdog_start(selected.ticks);
    const uint64_t ticks = count_ticks(en_run, &selected.model, hook, context);
    const uint64_t around = count_ticks(run_nothing, &selected.model, hook, context);
    return ticks - around + 1u; /* the empty function took one itself: its return */
}

static uint64_t walk(profile *wanted) {
    selected.ticks = infer(on_operator, wanted);
    return selected.ticks;
}

/* Inferences happen between these two. */
static int begin_runs(void) {
    if (!slots_try(selected.slot)) {
        return 0;
    }
    fault_running(selected.slot);
    return 1;
}

static int end_runs(void) {
    port_watchdog_stop();
    fault_ended();
    fault_get()->in_a_row = 0;
    selected.has_run = 1;
    return slots_tried_well(selected.slot);
}

static void sort(uint64_t *values, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        const uint64_t value = values[i];
        uint32_t at = i;
        for (; at > 0u && values[at - 1u] > value; at--) {
            values[at] = values[at - 1u];
        }
        values[at] = value;
    }
}

message_status model_run(const request *asked, answer *to) {
    uint64_t ticks[MODEL_MAX_RUNS];
    const uint32_t times = get_u16(asked->bytes);
    if (times == 0u || times > MODEL_MAX_RUNS) {
        return STATUS_MALFORMED;
    }
    if (selected.slot == SLOT_NONE) {
        return no_model();
    }
    if (!begin_runs()) {
        return STATUS_FLASH_FAILED;
    }
    if (selected.ticks == 0u) { /* the runs that count have no hook, and so would not tell where they hang */
        profile nothing = {0, 0, buffers.stamps};
        (void)walk(&nothing);
    }
    for (uint32_t i = 0; i < times; i++) {
        ticks[i] = infer(0, 0);
    }
    if (!end_runs()) {
        return STATUS_FLASH_FAILED;
    }
    sort(ticks, times);
    answer_u64(to, ticks[0]);
    answer_u64(to, ticks[times / 2u]);
    answer_u64(to, ticks[times - 1u]);
    return STATUS_OK;
}

message_status model_profile(const request *asked, answer *to) {
    if (selected.slot == SLOT_NONE) {
        return no_model();
    }
    const uint32_t op_count = selected.op_count;
    const uint32_t first = get_u32(asked->bytes);
    if (first >= op_count) {
        return STATUS_MALFORMED;
    }
    const uint32_t left = op_count - first;
    profile wanted = {first, left < PROFILE_OPERATORS ? left : PROFILE_OPERATORS, buffers.stamps};
    if (!begin_runs()) {
        return STATUS_FLASH_FAILED;
    }
    const uint64_t hooked = walk(&wanted);
    const uint64_t alone = infer(0, 0);
    if (!end_runs()) {
        return STATUS_FLASH_FAILED;
    }
    /* every call of the hook takes the same, and one lies between two stamps */
    const uint32_t hook = hooked > alone ? (uint32_t)((hooked - alone) / (op_count + 1u)) : 0u;
    answer_u16(to, wanted.count);
    for (uint32_t i = 0; i < wanted.count; i++) {
        const uint32_t ticks = buffers.stamps[i + 1u] - buffers.stamps[i];
        answer_u32(to, ticks > hook ? ticks - hook : 0u);
    }
    return STATUS_OK;
}

message_status model_output(const request *asked, answer *to) {
    if (selected.slot == SLOT_NONE) {
        return no_model();
    }
    if (!selected.has_run) {
        return STATUS_NOT_READY;
    }
    const uint32_t offset = get_u32(asked->bytes);
    const uint32_t count = get_u16(asked->bytes + 4);
    const uint32_t there = selected.model.header->output_bytes;
    const uint32_t room = to->room - to->count;
    if (offset > there || count > there - offset || count > room) {
        answer_u32(to, count > room ? room : there);
        return STATUS_TOO_LARGE;
    }
    answer_bytes(to, (const uint8_t *)en_output(&selected.model) + offset, count);
    return STATUS_OK;
}

message_status model_memory(const request *asked, answer *to) {
    (void)asked;
    const uint32_t *const high = port_stack_high();
    const uint32_t *const low = port_stack_low();
    const uint32_t *word = low;
    while (word < high && *word == PORT_STACK_PAINT) {
        word++;
    }
    answer_u32(to, selected.slot == SLOT_NONE ? 0u : selected.model.header->arena_bytes);
    answer_u32(to, PORT_ARENA_BYTES);
    answer_u32(to, (uint32_t)(high - word) * 4u);
    answer_u32(to, (uint32_t)(high - low) * 4u);
    return STATUS_OK;
}
