/* SPDX-License-Identifier: Apache-2.0 */
/* What every Cortex-M has, and what a port adds to its start-up code. */
#ifndef EDGENAS_CORTEX_M_H
#define EDGENAS_CORTEX_M_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define NVIC_ENABLE(irq) REGISTER(0xE000E100u + 4u * ((irq) / 32u))
#define NVIC_BIT(irq) (1u << ((irq) % 32u))
#define SCB_AIRCR REGISTER(0xE000ED0Cu)
#define SCB_AIRCR_RESET 0x05FA0004u
#define SCB_CFSR REGISTER(0xE000ED28u)
#define SCB_BFAR REGISTER(0xE000ED38u)

/* The port's: clocks, line and timer, after C's variables are set and before core_run. */
void port_start(void);

/* The port's table of interrupts: `static const vector table[] VECTORS_OF_INTERRUPTS = {[IRQ] = {handler}, ..}`. Those
 * without a handler must not be enabled. */
typedef struct {
    void (*handler)(void);
} vector;
#define VECTORS_OF_INTERRUPTS __attribute__((section(".vectors.interrupts"), used))

/* The handler of a watchdog's warning. */
void cortex_m_watchdog(void);

/* That of the NMI: a fault, unless the port has its own. */
void cortex_m_nmi(void);

/* Keep what happened and restart. `frame` is what the processor pushed: r0-r3, r12, lr, pc. */
void cortex_m_fault(const uint32_t *frame);

static inline void mask_interrupts(void) {
    __asm__ volatile("cpsid i" ::: "memory");
}

static inline void allow_interrupts(void) {
    __asm__ volatile("cpsie i" ::: "memory");
}

#endif
