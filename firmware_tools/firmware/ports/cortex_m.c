/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors, what C needs before main, the handlers, and the part of a port that is the same on every Cortex-M. */
#include "cortex_m.h"

#include "core.h"
#include "port.h"

extern uint32_t board_bss[], board_bss_end[], board_stack[], board_stack_end[];

void reset(void);

static uint32_t kept[PORT_KEPT_WORDS] __attribute__((section(".noinit")));

static void paint_stack(void) {
    uint32_t *const top = __builtin_frame_address(0);
    for (uint32_t *word = board_stack; word < top - 16; word++) {
        *word = PORT_STACK_PAINT;
    }
}

void reset(void) {
    for (uint32_t *word = board_bss; word < board_bss_end; word++) {
        *word = 0;
    }
    paint_stack();
    port_start();
    core_run();
}

uint32_t *port_kept(void) {
    return kept;
}

void port_reset(void) {
    SCB_AIRCR = SCB_AIRCR_RESET;
    for (;;) {
    }
}

const uint32_t *port_stack_low(void) {
    return board_stack;
}

const uint32_t *port_stack_high(void) {
    return board_stack_end;
}

void cortex_m_fault(const uint32_t *frame) {
    core_fault(CORE_HARD_FAULT, frame[6], frame[5], SCB_CFSR, SCB_BFAR);
    port_reset();
}

__attribute__((used)) static void note_watchdog(const uint32_t *frame) {
    core_fault(CORE_WATCHDOG, frame[6], frame[5], 0, 0);
    port_reset();
}

__attribute__((naked)) static void fault(void) {
    __asm__("mrs r0, msp\n"
            "b cortex_m_fault\n");
}

__attribute__((naked)) void cortex_m_watchdog(void) {
    __asm__("mrs r0, msp\n"
            "b note_watchdog\n");
}

__attribute__((weak, alias("fault"))) void cortex_m_nmi(void);

__attribute__((section(".vectors.stack"), used)) static const uint32_t *const stack = board_stack_end;
__attribute__((section(".vectors.system"), used)) static const vector system_vectors[15] = {
    {reset}, {cortex_m_nmi}, {fault}, {fault}, {fault}, {fault}, {fault}, {fault},
    {fault}, {fault},        {fault}, {fault}, {fault}, {fault}, {fault},
};
