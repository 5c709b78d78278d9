/* Vectors, what C needs before main, and the handlers. */
#include "core.h"
#include "port.h"
#include "mps2.h"
#include "registers.h"

extern uint32_t board_bss[], board_bss_end[], board_stack[], board_stack_end[];

void reset(void);

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
    mps2_start();
    core_run();
}

/* `frame` is what the core pushed: r0-r3, r12, lr, pc. */
__attribute__((used)) static void note_fault(const uint32_t *frame) {
    core_fault(CORE_HARD_FAULT, frame[6], frame[5], SCB_CFSR, SCB_BFAR);
    port_reset();
}

/* The watchdog's first time-out; the second one would reset. */
__attribute__((used)) static void note_watchdog(const uint32_t *frame) {
    core_fault(CORE_WATCHDOG, frame[6], frame[5], 0, 0);
    port_reset();
}

__attribute__((naked)) static void fault(void) {
    __asm__("mrs r0, msp\n"
            "b note_fault\n");
}

__attribute__((naked)) static void watchdog(void) {
    __asm__("mrs r0, msp\n"
            "b note_watchdog\n");
}

typedef union {
    const void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[17] = {
    {.stack = board_stack_end}, {.handler = reset}, {.handler = watchdog}, {.handler = fault},
    {.handler = fault},         {.handler = fault}, {.handler = fault},    {.handler = fault},
    {.handler = fault},         {.handler = fault}, {.handler = fault},    {.handler = fault},
    {.handler = fault},         {.handler = fault}, {.handler = fault},    {.handler = fault},
    {.handler = mps2_receive},
};
_Static_assert(UART_RECEIVE_IRQ == 0u, "vector 16");
