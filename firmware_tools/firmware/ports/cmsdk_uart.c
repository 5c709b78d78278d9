/* SPDX-License-Identifier: Apache-2.0 */
#include "cmsdk_uart.h"

#include "cortex_m.h"
#include "port.h"
#include "ring.h"

#define DATA REGISTER(CMSDK_UART)
#define STATE REGISTER(CMSDK_UART + 4u)
#define CONTROL REGISTER(CMSDK_UART + 8u)
#define INTERRUPT REGISTER(CMSDK_UART + 12u)
#define DIVIDER REGISTER(CMSDK_UART + 16u)
#define TRANSMIT_FULL 1u
#define RECEIVE_FULL 2u
#define TRANSMIT_ENABLE 1u
#define RECEIVE_ENABLE 2u
#define RECEIVE_INTERRUPT_ENABLE 8u
#define RECEIVE_INTERRUPT 2u

static ring received;

void cmsdk_uart_start(void) {
    DIVIDER = 217; /* 115200 baud of 25 MHz; an emulator does not care, a board would */
    CONTROL = TRANSMIT_ENABLE | RECEIVE_ENABLE | RECEIVE_INTERRUPT_ENABLE;
    NVIC_ENABLE(CMSDK_UART_IRQ) = NVIC_BIT(CMSDK_UART_IRQ);
}

void cmsdk_uart_receive(void) {
    INTERRUPT = RECEIVE_INTERRUPT;
    while ((STATE & RECEIVE_FULL) != 0u) {
        ring_put(&received, (uint8_t)DATA);
    }
}

/* Polls where the ring is empty, too, so that it also works on an emulator without interrupts. */
int port_receive(void) {
    int byte = ring_get(&received);
    if (byte < 0) {
        mask_interrupts();
        cmsdk_uart_receive();
        allow_interrupts();
        byte = ring_get(&received);
    }
    return byte;
}

void port_send(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        while ((STATE & TRANSMIT_FULL) != 0u) {
        }
        DATA = bytes[i];
    }
}

void port_wait(void) {
    mask_interrupts(); /* an interrupt ends the sleep though it is masked: none is missed between look and sleep */
    if (received.in == received.out && (STATE & RECEIVE_FULL) == 0u) {
        port_falls_asleep();
        __asm__ volatile("wfi");
        port_wakes_up();
    }
    allow_interrupts();
}
