/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <string.h>

#include "port.h"
#include "slots.h"

#define MAGIC_0 0x4B474445u /* "EDGK" */
#define MAGIC_1 (~MAGIC_0)
#define MAX_IN_A_ROW 3u

_Static_assert(sizeof(fault_record) <= PORT_KEPT_WORDS * 4u, "fault_record");

fault_record *fault_get(void) {
    return (fault_record *)(void *)port_kept();
}

void fault_start(void) {
    fault_record *const record = fault_get();
    if (record->magic[0] != MAGIC_0 || record->magic[1] != MAGIC_1) {
        memset(record, 0, sizeof *record);
        record->magic[0] = MAGIC_0;
        record->magic[1] = MAGIC_1;
        fault_clear();
    } else {
        record->resets++;
        if (record->running < PORT_SLOTS && record->pending == 0u && port_was_watchdog()) {
            fault_note(FAULT_WATCHDOG, 0, 0, 0, 0);
        }
    }
    record->running = FAULT_NO_SLOT;
}

void fault_clear(void) {
    fault_record *const record = fault_get();
    record->kind = FAULT_NONE;
    record->slot = FAULT_NO_SLOT;
    record->operator_index = FAULT_NO_OPERATOR;
    record->pc = record->lr = record->cfsr = record->address = 0;
}

void fault_note(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address) {
    fault_record *const record = fault_get();
    record->kind = kind;
    record->slot = record->running;
    record->operator_index = record->running < PORT_SLOTS ? record->operator_now : FAULT_NO_OPERATOR;
    record->pc = pc;
    record->lr = lr;
    record->cfsr = cfsr;
    record->address = address;
    record->pending = record->running < PORT_SLOTS;
}

void fault_revert(void) {
    fault_record *const record = fault_get();
    if (record->pending == 0u) {
        return;
    }
    record->pending = 0;
    if (record->slot == slots_staged()) {
        slots_revoke(record->slot);
        record->rollbacks++;
    } else if (record->slot == slots_active() && ++record->in_a_row >= MAX_IN_A_ROW) {
        record->in_a_row = 0;
        record->rollbacks += slots_rollback() == STATUS_OK;
    }
}

void fault_running(uint32_t slot) {
    fault_record *const record = fault_get();
    record->operator_now = FAULT_NO_OPERATOR;
    record->running = slot;
}

void fault_ended(void) {
    fault_get()->running = FAULT_NO_SLOT;
}

void fault_refused(uint32_t slot, uint32_t operator_index) {
    fault_clear();
    fault_record *const record = fault_get();
    record->kind = FAULT_REFUSED_PLAN;
    record->slot = slot;
    record->operator_index = operator_index;
}
