/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <string.h>

#include "bytes.h"
#include "cmsdk_uart.h"
#include "cortex_m.h"
#include "registers.h"

#define PAGE_BYTES 4096u
#define SLOT_BYTES (1u << 20)
#define COARSE 0u   /* of the dual timer */
#define WATCHDOG 1u /* likewise: the board's own watchdog has 32 bits, too, which are 1.3 G instructions */
#define COARSE_BITS 8u
#define NS_BITS 7u /* an instruction takes 2^7 ns: -icount shift=7 */
#define DEAREST_OPERATOR 750000000ull /* instructions */

static uint64_t slept_at; /* instructions until the last sleep */
static uint32_t fine_start, coarse_start;
static uint32_t patience; /* of the watchdog */

/* QEMU's PSRAM, which it can keep in a file, plays the flash. */
static const port_slot slots[PORT_SLOTS] = {
    {(const uint8_t *)BOARD_PSRAM, (const uint8_t *)BOARD_PSRAM + PAGE_BYTES, SLOT_BYTES - PAGE_BYTES},
    {(const uint8_t *)BOARD_PSRAM + SLOT_BYTES, (const uint8_t *)BOARD_PSRAM + SLOT_BYTES + PAGE_BYTES,
     SLOT_BYTES - PAGE_BYTES},
};

static const vector interrupts[] VECTORS_OF_INTERRUPTS = {
    [CMSDK_UART_IRQ] = {cmsdk_uart_receive},
    [BOARD_DUAL_TIMER_IRQ] = {cortex_m_watchdog},
};

void port_start(void) {
    cmsdk_uart_start();
    TIMER_RELOAD = 0xFFFFFFFFu;
    TIMER_VALUE = 0xFFFFFFFFu;
    TIMER_CONTROL = 1;
    DUAL_CONTROL(COARSE) = DUAL_32_BITS | DUAL_EVERY_256TH;
    DUAL_LOAD(COARSE) = 0xFFFFFFFFu;
    DUAL_CONTROL(COARSE) = DUAL_ENABLE | DUAL_32_BITS | DUAL_EVERY_256TH;
    NVIC_ENABLE(BOARD_DUAL_TIMER_IRQ) = NVIC_BIT(BOARD_DUAL_TIMER_IRQ);
    port_wakes_up();
}

/* The timer's 32 bits wrap after 1.3 G instructions. The dual timer, which takes every 256th tick, says how often they did. */
uint64_t port_ticks(void) {
    const uint32_t fine = fine_start - TIMER_VALUE;
    const uint64_t coarse = (uint64_t)(coarse_start - DUAL_VALUE(COARSE)) << COARSE_BITS;
    const uint64_t ticks = coarse + (uint64_t)(int32_t)(fine - (uint32_t)coarse);
    /* Of a tick two fifths of an instruction at most: rounded to the nearest, that is exact. */
    return slept_at + ((ticks * BOARD_TICK_NS + (1u << (NS_BITS - 1u))) >> NS_BITS);
}

void port_falls_asleep(void) {
    slept_at = port_ticks();
}

/* Asleep, QEMU's time went on by no whole number of instructions: what is counted begins here. */
void port_wakes_up(void) {
    fine_start = TIMER_VALUE;
    coarse_start = DUAL_VALUE(COARSE);
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

/* The dual timer's 32 bits last for 171 G instructions of one inference. */
void port_watchdog_start(uint64_t ticks) {
    patience = (uint32_t)(((DEAREST_OPERATOR + 2u * ticks) << NS_BITS) / BOARD_TICK_NS >> COARSE_BITS);
    DUAL_CLEAR(WATCHDOG) = 1;
    DUAL_LOAD(WATCHDOG) = patience;
    DUAL_CONTROL(WATCHDOG) = DUAL_ENABLE | DUAL_INTERRUPT | DUAL_EVERY_256TH | DUAL_32_BITS | DUAL_ONCE;
}

void port_watchdog_kick(void) {
    DUAL_LOAD(WATCHDOG) = patience;
}

void port_watchdog_stop(void) {
    DUAL_CONTROL(WATCHDOG) = DUAL_32_BITS;
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
