/* SPDX-License-Identifier: Apache-2.0 */
/* What a restart must not forget: how the last model ended. It lies in RAM that a reset leaves alone, and is gone when power is. */
#ifndef EDGENAS_FAULT_H
#define EDGENAS_FAULT_H

#include <stdint.h>

#define FAULT_NO_SLOT 0xFFu
#define FAULT_NO_OPERATOR 0xFFFFFFFFu

typedef enum { FAULT_NONE, FAULT_HARD, FAULT_WATCHDOG, FAULT_REFUSED_PLAN } fault_kind;

typedef struct {
    uint32_t magic[2];
    uint32_t commits, rollbacks, resets; /* since power came */
    uint32_t running;                    /* the slot whose model runs now, and its operator */
    uint32_t operator_now;
    uint32_t pending; /* a fault that no start has dealt with yet */
    uint32_t in_a_row; /* faults of a confirmed model without an answered RUN in between */
    uint32_t kind, slot, operator_index, pc, lr, cfsr, address;
} fault_record;

/* The record, which fault_start made a valid one. */
fault_record *fault_get(void);

/* Once at every start: afterwards the record is valid. */
void fault_start(void);

/* Keep what happened, for the next start: `kind` is FAULT_HARD or FAULT_WATCHDOG, the rest as core_fault's. */
void fault_note(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address);

/* Revert what has to be after the restart: the slots' state must have been read. */
void fault_revert(void);

/* A model's inference begins, comes to an operator, and ended well. */
void fault_running(uint32_t slot);
void fault_ended(void);
void fault_clear(void);
void fault_refused(uint32_t slot, uint32_t operator_index);

#endif
