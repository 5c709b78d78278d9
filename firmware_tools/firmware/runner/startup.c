/* Vectors, and what C needs before main: a stack and zeroed variables. */
#include "board.h"

void reset(void);

extern uint32_t runner_bss[], runner_bss_end[], runner_stack_end[];

void reset(void) {
    for (uint32_t *word = runner_bss; word < runner_bss_end; word++) {
        *word = 0;
    }
    runner_main();
    board_stop();
}

/* Every exception is a fault here: no interrupt is ever enabled. `frame` is what the core pushed: r0-r3, r12, lr, pc. */
__attribute__((used)) static void report_fault(const uint32_t *frame) {
    uint32_t exception;
    __asm__("mrs %0, ipsr" : "=r"(exception));
    board_write("\nfault ");
    board_write_hex(exception);
    board_write(" ");
    board_write_hex(frame[6]);
    board_write("\nend\n");
    board_stop();
}

__attribute__((naked)) static void fault(void) {
    __asm__("mrs r0, msp\n"
            "b report_fault\n");
}

typedef union {
    const void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = runner_stack_end}, {.handler = reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},          {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},          {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},          {.handler = fault}, {.handler = fault}, {.handler = fault},
};
