/* Vectors, and what C needs before main: a stack, zeroed variables, memcpy and memset. */
#include <string.h>

#include "board.h"

void reset(void);

extern uint32_t runner_bss[], runner_bss_end[], runner_stack_end[];

typedef struct {
    uint32_t words[4];
} quad;

typedef struct {
    uint32_t word;
} __attribute__((packed, may_alias)) unaligned;

/* As a libc's: 4 words by LDM and STM where both are aligned, else words, which these cores load from any address. */
void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0u) {
        for (; count >= sizeof(quad); count -= sizeof(quad), out += sizeof(quad), in += sizeof(quad)) {
            *(quad *)(void *)out = *(const quad *)(const void *)in;
        }
    }
    for (; count >= 4u; count -= 4u, out += 4, in += 4) {
        ((unaligned *)(void *)out)->word = ((const unaligned *)(const void *)in)->word;
    }
    while (count-- > 0u) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t count) {
    uint8_t *out = to;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 4u; count -= 4u, out += 4) {
        ((unaligned *)(void *)out)->word = word;
    }
    while (count-- > 0u) {
        *out++ = (uint8_t)value;
    }
    return to;
}

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
