/* SPDX-License-Identifier: Apache-2.0 */
/* The line of Arm's boards: a UART of the Cortex-M System Design Kit (CMSDK). It provides port.h's three functions of the
 * line. The compiler's flags or port_config.h define CMSDK_UART, where its registers are, and CMSDK_UART_IRQ, its
 * interrupt for received bytes. */
#ifndef EDGENAS_CMSDK_UART_H
#define EDGENAS_CMSDK_UART_H

void cmsdk_uart_start(void);
void cmsdk_uart_receive(void); /* the interrupt's handler */

/* The port's: just before the processor sleeps, and when it is awake again. */
void port_falls_asleep(void);
void port_wakes_up(void);

#endif
