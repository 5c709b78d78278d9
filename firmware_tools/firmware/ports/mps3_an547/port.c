/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <string.h>

#include "cmsdk_uart.h"
#include "cortex_m.h"
#include "semihosting_flash.h"

/* The SSE-300's system counter, 64 bits at 32 MHz, and the timers that show it and compare with it. */
#define COUNTER_CONTROL REGISTER(0x58100000u)
#define COUNTER_ENABLE 1u
#define TIMER 0x58000000u
#define COUNT_LOW REGISTER(TIMER)
#define COUNT_HIGH REGISTER(TIMER + 0x04u)
#define COMPARE_LOW REGISTER(TIMER + 0x20u)
#define COMPARE_HIGH REGISTER(TIMER + 0x24u)
#define TIMER_CONTROL REGISTER(TIMER + 0x2Cu)
#define TIMER_ENABLE 1u
#define TIMER_IRQ 3u

#define DEAREST_OPERATOR 750000000u /* instructions */

static uint64_t slept_at; /* instructions until the last sleep */
static uint64_t start;
static uint64_t patience; /* of the watchdog */

static const vector interrupts[] VECTORS_OF_INTERRUPTS = {
    [TIMER_IRQ] = {cortex_m_watchdog},
    [CMSDK_UART_IRQ] = {cmsdk_uart_receive},
};

void port_start(void) {
    COUNTER_CONTROL = COUNTER_ENABLE;
    NVIC_ENABLE(TIMER_IRQ) = NVIC_BIT(TIMER_IRQ);
    cmsdk_uart_start();
    semihosting_flash_start();
    port_wakes_up();
}

/* Of the same 2^32 ticks, whatever happened between the reads; without a branch, so that it always takes the same time. */
static uint64_t count(void) {
    const uint32_t high = COUNT_HIGH;
    const uint32_t low = COUNT_LOW;
    const uint32_t later = COUNT_HIGH;
    const uint32_t wrapped = (later - high) & ~(low >> 31) & 1u; /* between the first read and that of `low` */
    return (uint64_t)(high + wrapped) << 32 | low;
}

/* An instruction takes 2^7 ns (-icount shift=7), so that 512 ticks are 125 instructions. Rounded to the nearest, that is
 * exact. */
uint64_t port_ticks(void) {
    return slept_at + (((count() - start) * 125u + 256u) >> 9);
}

void port_falls_asleep(void) {
    slept_at = port_ticks();
}

/* Asleep, QEMU's time went on by no whole number of instructions: what is counted begins here. */
void port_wakes_up(void) {
    start = count();
}

void port_watchdog_start(uint64_t ticks) {
    patience = ((DEAREST_OPERATOR + 2u * ticks) << 9) / 125u;
    port_watchdog_kick();
    TIMER_CONTROL = TIMER_ENABLE;
}

void port_watchdog_kick(void) {
    const uint64_t end = count() + patience;
    COMPARE_HIGH = 0xFFFFFFFFu; /* never in the past while only half of it is written */
    COMPARE_LOW = (uint32_t)end;
    COMPARE_HIGH = (uint32_t)(end >> 32);
}

void port_watchdog_stop(void) {
    TIMER_CONTROL = 0;
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
