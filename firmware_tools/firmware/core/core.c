/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include "buffers.h"
#include "fault.h"
#include "model.h"
#include "port.h"
#include "session.h"
#include "slots.h"

_Static_assert(CORE_HARD_FAULT == (uint32_t)FAULT_HARD && CORE_WATCHDOG == (uint32_t)FAULT_WATCHDOG, "core_fault");

void core_start(void) {
    fault_start();
    if (slots_start()) {
        fault_get()->rollbacks++;
    }
    fault_revert();
    model_start();
    session_start();
}

void core_fault(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address) {
    fault_note(kind, pc, lr, cfsr, address);
}

void core_byte(uint8_t byte) {
    if (frame_receive(&buffers.in, byte)) {
        session_answer(&buffers.in.frame);
    }
}

uint32_t core_dropped(void) {
    return buffers.in.dropped;
}

void core_run(void) {
    core_start();
    for (;;) {
        const int byte = port_receive();
        if (byte < 0) {
            port_wait();
        } else {
            core_byte((uint8_t)byte);
        }
    }
}
