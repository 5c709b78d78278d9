#include "core.h"

#include "buffers.h"
#include "fault.h"
#include "model.h"
#include "port.h"
#include "session.h"
#include "slots.h"

core_buffers buffers;

void core_start(void) {
    fault_start();
    if (slots_start()) {
        fault_get()->rollbacks++;
    }
    fault_revert();
    model_start();
    session_start();
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
