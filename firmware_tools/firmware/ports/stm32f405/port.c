/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's netduinoplus2, which is an STM32F405 without what nobody emulated: its clocks, pins, flash controller and
 * watchdog are not there, and so a chip would need more than this. ports/stm32l4 shows what. */
#include "port.h"

#include <string.h>

#include "registers.h"
#include "ring.h"
#include "semihosting_flash.h"

#define INSTRUCTION_CYCLES 128u   /* QEMU's timers run at 1 GHz, an instruction takes 2^7 ns (-icount shift=7) */
#define DEAREST_OPERATOR 750000000u /* instructions */

static ring received;
static uint64_t ticks;
static uint32_t ticks_last;

void port_start(void) {
    USART1_CR1 = USART1_CR1_ENABLE | USART1_CR1_TRANSMIT | USART1_CR1_RECEIVE | USART1_CR1_RECEIVE_INTERRUPT;
    NVIC_ENABLE(USART1_IRQ) = NVIC_BIT(USART1_IRQ);
    TIM2_PSC = INSTRUCTION_CYCLES - 1u;
    TIM2_ARR = 0xFFFFFFFFu;
    TIM2_CR1 = TIM_CR1_ENABLE;
    ticks_last = TIM2_CNT;
    TIM5_PSC = INSTRUCTION_CYCLES - 1u;
    NVIC_ENABLE(TIM5_IRQ) = NVIC_BIT(TIM5_IRQ);
    semihosting_flash_start();
}

static void receive(void) {
    while ((USART1_SR & USART1_SR_RECEIVED) != 0u) {
        ring_put(&received, (uint8_t)USART1_DR);
    }
}

static const vector interrupts[] VECTORS_OF_INTERRUPTS = {
    [USART1_IRQ] = {receive},
    [TIM5_IRQ] = {cortex_m_watchdog},
};

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
        while ((USART1_SR & USART1_SR_ROOM_TO_SEND) == 0u) {
        }
        USART1_DR = bytes[i];
    }
}

void port_wait(void) {
    mask_interrupts(); /* an interrupt ends the sleep though it is masked: none is missed between look and sleep */
    if (received.in == received.out && (USART1_SR & USART1_SR_RECEIVED) == 0u) {
        __asm__ volatile("wfi");
    }
    allow_interrupts();
}

uint64_t port_ticks(void) {
    const uint32_t now = TIM2_CNT;
    ticks += now - ticks_last;
    ticks_last = now;
    return ticks;
}

/* A chip would use its independent watchdog, IWDG: ports/stm32l4 does. QEMU has none, and so a timer's interrupt plays it,
 * which hangs with whoever masks interrupts. It interrupts nothing before its time is over, of
 * which there are 4.29 G instructions. */
void port_watchdog_start(uint64_t ticks) {
    const uint64_t patience = DEAREST_OPERATOR + 2u * ticks;
    TIM5_ARR = patience < UINT32_MAX ? (uint32_t)patience : UINT32_MAX;
    TIM5_CNT = 0;
    TIM5_SR = 0;
    TIM5_DIER = TIM_DIER_UPDATE;
    TIM5_CR1 = TIM_CR1_ENABLE;
}

void port_watchdog_kick(void) {
    TIM5_CNT = 0;
}

void port_watchdog_stop(void) {
    TIM5_CR1 = 0;
    TIM5_DIER = 0;
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
