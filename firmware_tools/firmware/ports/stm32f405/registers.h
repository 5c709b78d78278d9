/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that the port uses, and of them the bits: ST's reference manual RM0090, as far as QEMU has them. */
#ifndef EDGENAS_STM32F405_REGISTERS_H
#define EDGENAS_STM32F405_REGISTERS_H

#include "cortex_m.h"

/* TIM2 counts instructions, TIM5 is the watchdog: those of 32 bits. */
#define TIM2_CR1 REGISTER(0x40000000u)
#define TIM2_CNT REGISTER(0x40000024u)
#define TIM2_PSC REGISTER(0x40000028u)
#define TIM2_ARR REGISTER(0x4000002Cu)
#define TIM5_CR1 REGISTER(0x40000C00u)
#define TIM5_DIER REGISTER(0x40000C0Cu)
#define TIM5_SR REGISTER(0x40000C10u)
#define TIM5_CNT REGISTER(0x40000C24u)
#define TIM5_PSC REGISTER(0x40000C28u)
#define TIM5_ARR REGISTER(0x40000C2Cu)
#define TIM5_IRQ 50u
#define TIM_CR1_ENABLE 1u
#define TIM_DIER_UPDATE 1u

#define USART1_SR REGISTER(0x40011000u)
#define USART1_SR_RECEIVED (1u << 5)
#define USART1_SR_ROOM_TO_SEND (1u << 7)
#define USART1_DR REGISTER(0x40011004u)
#define USART1_CR1 REGISTER(0x4001100Cu)
#define USART1_CR1_RECEIVE (1u << 2)
#define USART1_CR1_TRANSMIT (1u << 3)
#define USART1_CR1_RECEIVE_INTERRUPT (1u << 5)
#define USART1_CR1_ENABLE (1u << 13)
#define USART1_IRQ 37u

#endif
