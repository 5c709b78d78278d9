/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that the port uses, and of them the bits. Those of the chip are in ST's reference manual
 * RM0432 (STM32L4+), the processor's own in Arm's Armv7-M Architecture Reference Manual. */
#ifndef EDGENAS_STM32L4_REGISTERS_H
#define EDGENAS_STM32L4_REGISTERS_H

#include "cortex_m.h"

/* Power control */
#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CR1_VOS (3u << 9)
#define PWR_CR1_RANGE_1 (1u << 9)
#define PWR_CR2 REGISTER(0x40007004u)
#define PWR_CR2_VDDIO2_VALID (1u << 9)
#define PWR_SR2 REGISTER(0x40007014u)
#define PWR_SR2_VOLTAGE_CHANGES (1u << 10)
#define PWR_CR5 REGISTER(0x40007080u)
#define PWR_CR5_NO_BOOST (1u << 8)

/* Reset and clock control */
#define RCC_CR REGISTER(0x40021000u)
#define RCC_CR_HSI_ON (1u << 8)
#define RCC_CR_HSI_READY (1u << 10)
#define RCC_CR_PLL_ON (1u << 24)
#define RCC_CR_PLL_READY (1u << 25)
#define RCC_CFGR REGISTER(0x40021008u)
#define RCC_CFGR_SOURCE_PLL 3u
#define RCC_CFGR_SOURCE_IS (3u << 2)
#define RCC_CFGR_SOURCE_IS_PLL (3u << 2)
#define RCC_CFGR_AHB_HALF (8u << 4)
#define RCC_PLLCFGR REGISTER(0x4002100Cu)
#define RCC_PLLCFGR_SOURCE_HSI 2u
#define RCC_PLLCFGR_M(divide) (((divide) - 1u) << 4)
#define RCC_PLLCFGR_N(multiply) ((multiply) << 8)
#define RCC_PLLCFGR_R_2_ON (1u << 24)
#define RCC_AHB2ENR REGISTER(0x4002104Cu)
#define RCC_AHB2ENR_GPIOG (1u << 6)
#define RCC_APB1ENR1 REGISTER(0x40021058u)
#define RCC_APB1ENR1_PWR (1u << 28)
#define RCC_APB1ENR2 REGISTER(0x4002105Cu)
#define RCC_APB1ENR2_LPUART1 1u
#define RCC_CSR REGISTER(0x40021094u)
#define RCC_CSR_FORGET_RESETS (1u << 23)
#define RCC_CSR_WATCHDOG_RESET (1u << 29)

/* Flash */
#define FLASH_ACR REGISTER(0x40022000u)
#define FLASH_ACR_LATENCY 15u
#define FLASH_ACR_5_WAIT_STATES 5u
#define FLASH_ACR_PREFETCH (1u << 8)
#define FLASH_ACR_CODE_CACHE (1u << 9)
#define FLASH_ACR_DATA_CACHE (1u << 10)
#define FLASH_ACR_DATA_CACHE_RESET (1u << 12)
#define FLASH_KEYR REGISTER(0x40022008u)
#define FLASH_KEY_1 0x45670123u
#define FLASH_KEY_2 0xCDEF89ABu
#define FLASH_SR REGISTER(0x40022010u)
#define FLASH_SR_DONE 1u
#define FLASH_SR_ERRORS 0xC3FAu
#define FLASH_SR_BUSY (1u << 16)
#define FLASH_CR REGISTER(0x40022014u)
#define FLASH_CR_PROGRAM 1u
#define FLASH_CR_ERASE_PAGE 2u
#define FLASH_CR_PAGE(number) ((number) << 3)
#define FLASH_CR_BANK_2 (1u << 11)
#define FLASH_CR_START (1u << 16)
#define FLASH_CR_LOCK (1u << 31)
#define FLASH_ECCR REGISTER(0x40022018u)
#define FLASH_ECCR_IN_BANK_2 (1u << 21)
#define FLASH_ECCR_TWO_BITS_WRONG (1u << 31)
#define FLASH_OPTR REGISTER(0x40022020u)
#define FLASH_OPTR_TWO_BANKS (1u << 22)

/* Port G: pins 7 and 8 are LPUART1, alternate function 8 (datasheet DS12023) */
#define GPIOG_MODER REGISTER(0x48001800u)
#define GPIOG_PUPDR REGISTER(0x4800180Cu)
#define GPIOG_AFRL REGISTER(0x48001820u)
#define GPIOG_AFRH REGISTER(0x48001824u)

#define LPUART1_CR1 REGISTER(0x40008000u)
#define LPUART1_CR1_ENABLE 1u
#define LPUART1_CR1_RECEIVE (1u << 2)
#define LPUART1_CR1_TRANSMIT (1u << 3)
#define LPUART1_CR1_RECEIVE_INTERRUPT (1u << 5)
#define LPUART1_CR1_FIFO (1u << 29)
#define LPUART1_CR3 REGISTER(0x40008008u)
#define LPUART1_CR3_NO_OVERRUN (1u << 12)
#define LPUART1_BRR REGISTER(0x4000800Cu)
#define LPUART1_ISR REGISTER(0x4000801Cu)
#define LPUART1_ISR_RECEIVED (1u << 5)
#define LPUART1_ISR_ROOM_TO_SEND (1u << 7)
#define LPUART1_ISR_SENT (1u << 6)
#define LPUART1_RDR REGISTER(0x40008024u)
#define LPUART1_TDR REGISTER(0x40008028u)
#define LPUART1_IRQ 70u

/* The independent watchdog */
#define IWDG_KR REGISTER(0x40003000u)
#define IWDG_KR_KICK 0xAAAAu
#define IWDG_KR_UNLOCK 0x5555u
#define IWDG_KR_START 0xCCCCu
#define IWDG_PR REGISTER(0x40003004u)
#define IWDG_PR_256 6u
#define IWDG_RLR REGISTER(0x40003008u)
#define IWDG_RLR_MOST 0xFFFu
#define IWDG_SR REGISTER(0x4000300Cu)

/* The Cortex-M4's own */
#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_CTRL_COUNT_CYCLES 1u
#define DWT_CYCCNT REGISTER(0xE0001004u)
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_CONTROL_ON 7u
#define SYSTICK_LOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define SCB_ICSR REGISTER(0xE000ED04u)
#define SCB_ICSR_FORGET_SYSTICK (1u << 25)
#define DEMCR REGISTER(0xE000EDFCu)
#define DEMCR_TRACE (1u << 24)

#define UNIQUE_ID ((const uint8_t *)0x1FFF7590u) /* 12 bytes */

#endif
