/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <string.h>

#include "registers.h"
#include "ring.h"
#include "stm32l4.h"

#define BAUD 115200u

static ring received;
static uint64_t cycles;
static uint32_t cycles_last;
static int was_watchdog;
static int watchdog_runs;

/* LPUART1 on the pins PG7 (out) and PG8 (in) is what the board's ST-LINK shows to the computer as a serial port (ST's
 * UM2179, "USART communication"). Half of port G has a supply of its own, VDDIO2, which has to be declared valid. */
static void start_line(void) {
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOG;
    RCC_APB1ENR2 |= RCC_APB1ENR2_LPUART1;
    PWR_CR2 |= PWR_CR2_VDDIO2_VALID;
    GPIOG_AFRL = (GPIOG_AFRL & ~(15u << 28)) | 8u << 28;
    GPIOG_AFRH = (GPIOG_AFRH & ~15u) | 8u;
    GPIOG_PUPDR = (GPIOG_PUPDR & ~(3u << 16)) | 1u << 16; /* pulled up: a line without a computer is quiet */
    GPIOG_MODER = (GPIOG_MODER & ~(15u << 14)) | 10u << 14;
    LPUART1_BRR = (uint32_t)((256ull * PORT_TICKS_PER_SECOND + BAUD / 2u) / BAUD);
    LPUART1_CR3 = LPUART1_CR3_NO_OVERRUN; /* a lost byte costs its frame, and nothing has to be cleared */
    LPUART1_CR1 = LPUART1_CR1_FIFO | LPUART1_CR1_RECEIVE | LPUART1_CR1_TRANSMIT | LPUART1_CR1_RECEIVE_INTERRUPT;
    LPUART1_CR1 |= LPUART1_CR1_ENABLE; /* the FIFO cannot be chosen any more then */
    NVIC_ENABLE(LPUART1_IRQ) = NVIC_BIT(LPUART1_IRQ);
}

void port_start(void) {
    stm32l4_clock();
    was_watchdog = (RCC_CSR & RCC_CSR_WATCHDOG_RESET) != 0u;
    RCC_CSR |= RCC_CSR_FORGET_RESETS;
    start_line();
    DEMCR |= DEMCR_TRACE;
    DWT_CYCCNT = 0;
    DWT_CTRL |= DWT_CTRL_COUNT_CYCLES;
}

static void receive(void) {
    while ((LPUART1_ISR & LPUART1_ISR_RECEIVED) != 0u) {
        ring_put(&received, (uint8_t)LPUART1_RDR);
    }
}

static const vector interrupts[] VECTORS_OF_INTERRUPTS = {[LPUART1_IRQ] = {receive}};

int port_receive(void) {
    port_watchdog_kick(); /* it cannot be stopped, and no model runs now */
    return ring_get(&received);
}

void port_send(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        while ((LPUART1_ISR & LPUART1_ISR_ROOM_TO_SEND) == 0u) {
        }
        LPUART1_TDR = bytes[i];
    }
    while ((LPUART1_ISR & LPUART1_ISR_SENT) == 0u) { /* a reset may follow, which forgets what is in the FIFO */
    }
}

/* A byte ends the sleep, or SysTick after 140 ms, because the watchdog wants its kick. An interrupt does so though it is
 * masked, and so none is missed between look and sleep. */
void port_wait(void) {
    mask_interrupts();
    SYSTICK_LOAD = 0xFFFFFFu;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = SYSTICK_CONTROL_ON;
    if (received.in == received.out) {
        __asm__ volatile("dsb\n"
                         "wfi\n"
                         "isb"); /* errata sheet ES0393: with a debugger, the first fetches after the sleep may be wrong */
    }
    SYSTICK_CONTROL = 0;
    SCB_ICSR = SCB_ICSR_FORGET_SYSTICK;
    __asm__ volatile("dsb" ::: "memory"); /* it has no handler: it must be gone before interrupts are allowed */
    allow_interrupts();
}

/* The cycle counter wraps after 36 s: no inference takes longer, the watchdog sees to that. */
uint64_t port_ticks(void) {
    const uint32_t now = DWT_CYCCNT;
    cycles += now - cycles_last;
    cycles_last = now;
    return cycles;
}

/* The independent watchdog: a clock of its own, 32 kHz, and only a reset stops it. 4096 / (32 kHz / 256) is 33 s,
 * which is all that it can wait. */
void port_watchdog_start(uint64_t ticks) {
    (void)ticks;
    if (!watchdog_runs) {
        IWDG_KR = IWDG_KR_START;
        IWDG_KR = IWDG_KR_UNLOCK;
        IWDG_PR = IWDG_PR_256;
        IWDG_RLR = IWDG_RLR_MOST;
        while (IWDG_SR != 0u) {
        }
        watchdog_runs = 1;
    }
    port_watchdog_kick();
}

void port_watchdog_kick(void) {
    IWDG_KR = IWDG_KR_KICK;
}

void port_watchdog_stop(void) {
}

int port_was_watchdog(void) {
    return was_watchdog;
}

void port_unique_id(uint8_t id[16]) {
    memset(id, 0, 16);
    memcpy(id, UNIQUE_ID, 12);
}

const char *port_board(void) {
    return BOARD_NAME;
}
