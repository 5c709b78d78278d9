#include "port.h"

#include <string.h>

#include "bytes.h"
#include "cortex_m.h"
#include "registers.h"
#include "ring.h"

#define PAGE_BYTES 4096u
#define SLOT_BYTES (1u << 20)
#define WATCHDOG_TICKS 2500000000u /* 100 s of emulated time: 781 million instructions */

static ring received;
static uint64_t slept_at;    /* instructions until the last sleep */
static uint64_t timer_ticks; /* since then */
static uint32_t timer_last;

/* QEMU's PSRAM, which it can keep in a file, plays the flash. */
static const port_slot slots[PORT_SLOTS] = {
    {(const uint8_t *)BOARD_PSRAM, (const uint8_t *)BOARD_PSRAM + PAGE_BYTES, SLOT_BYTES - PAGE_BYTES},
    {(const uint8_t *)BOARD_PSRAM + SLOT_BYTES, (const uint8_t *)BOARD_PSRAM + SLOT_BYTES + PAGE_BYTES,
     SLOT_BYTES - PAGE_BYTES},
};

void port_start(void) {
    UART_DIVIDER = 217; /* 115200 baud of 25 MHz; an emulator does not care, a board would */
    UART_CONTROL = UART_TRANSMIT_ENABLE | UART_RECEIVE_ENABLE | UART_RECEIVE_INTERRUPT_ENABLE;
    NVIC_ENABLE(UART_RECEIVE_IRQ) = NVIC_BIT(UART_RECEIVE_IRQ);
    TIMER_RELOAD = 0xFFFFFFFFu;
    TIMER_VALUE = 0xFFFFFFFFu;
    TIMER_CONTROL = 1;
    timer_last = 0xFFFFFFFFu;
}

static void receive(void) {
    UART_INTERRUPT = UART_RECEIVE_INTERRUPT;
    while ((UART_STATE & UART_RECEIVE_FULL) != 0u) {
        ring_put(&received, (uint8_t)UART_DATA);
    }
}

static const vector interrupts[] VECTORS_OF_INTERRUPTS = {[UART_RECEIVE_IRQ] = {receive}};

/* Polls where the ring is empty, too, so that it also works on an emulator without interrupts. */
int port_receive(void) {
    int byte = ring_get(&received);
    if (byte < 0) {
        mask_interrupts();
        receive();
        allow_interrupts();
        byte = ring_get(&received);
    }
    return byte;
}

void port_send(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        while ((UART_STATE & UART_TRANSMIT_FULL) != 0u) {
        }
        UART_DATA = bytes[i];
    }
}

/* Instructions: the timer counts down at 25 MHz of emulated time, of which one takes 2^7 ns (-icount shift=7), so that 16
 * ticks are 5 instructions. Rounded to the nearest, that is exact. */
static uint64_t rounded(uint64_t ticks) {
    return (ticks * 5u + 8u) >> 4;
}

void port_wait(void) {
    mask_interrupts(); /* an interrupt ends the sleep though it is masked: none is missed between look and sleep */
    if (received.in == received.out && (UART_STATE & UART_RECEIVE_FULL) == 0u) {
        __asm__ volatile("wfi");
    }
    /* Asleep, QEMU's time goes on by no whole number of instructions: what is counted begins here. */
    slept_at += rounded(timer_ticks);
    timer_ticks = 0;
    timer_last = TIMER_VALUE;
    allow_interrupts();
}

uint64_t port_ticks(void) {
    const uint32_t now = TIMER_VALUE;
    timer_ticks += timer_last - now;
    timer_last = now;
    return slept_at + rounded(timer_ticks);
}

const port_slot *port_slot_at(uint32_t slot) {
    return &slots[slot];
}

uint32_t port_page_bytes(const uint8_t *page) {
    (void)page;
    return PAGE_BYTES;
}

int port_erase(const uint8_t *page) {
    memset((void *)(uintptr_t)page, 0xFF, PAGE_BYTES);
    return 1;
}

int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]) {
    if (!bytes_blank(to, PORT_UNIT_BYTES)) {
        return 0;
    }
    memcpy((void *)(uintptr_t)to, unit, PORT_UNIT_BYTES);
    return 1;
}

void port_watchdog_start(void) {
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_LOAD = WATCHDOG_TICKS;
    WATCHDOG_CLEAR = 1; /* QEMU's counts while it is off, too: its time may have run out long ago */
    WATCHDOG_CONTROL = WATCHDOG_INTERRUPT_AND_RESET;
}

void port_watchdog_kick(void) {
    WATCHDOG_CLEAR = 1;
}

void port_watchdog_stop(void) {
    WATCHDOG_CONTROL = 0;
}

int port_was_watchdog(void) {
    return 0; /* its interrupt has told */
}

void port_unique_id(uint8_t id[16]) {
    memset(id, 0, 16);
}

const char *port_board(void) {
    return BOARD_NAME;
}
