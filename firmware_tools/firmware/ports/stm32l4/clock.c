/* SPDX-License-Identifier: Apache-2.0 */
/* 120 MHz, the most that an STM32L4+ runs at. RM0432: dynamic voltage scaling, clocks, flash read access. */
#include "registers.h"
#include "stm32l4.h"

/* The wait states have to be there before the clock gets faster. */
static void set_voltage_and_wait_states(void) {
    RCC_APB1ENR1 |= RCC_APB1ENR1_PWR;
    (void)RCC_APB1ENR1; /* a clock takes two cycles to arrive */
    PWR_CR1 = (PWR_CR1 & ~PWR_CR1_VOS) | PWR_CR1_RANGE_1;
    while ((PWR_SR2 & PWR_SR2_VOLTAGE_CHANGES) != 0u) {
    }
    PWR_CR5 &= ~PWR_CR5_NO_BOOST;
    FLASH_ACR = FLASH_ACR_5_WAIT_STATES | FLASH_ACR_PREFETCH | FLASH_ACR_CODE_CACHE | FLASH_ACR_DATA_CACHE;
    while ((FLASH_ACR & FLASH_ACR_LATENCY) != FLASH_ACR_5_WAIT_STATES) {
    }
}

/* 16 MHz / 2 * 30 / 2. The internal oscillator is good to 1 %: enough for a UART, and needs no crystal. */
static void start_pll(void) {
    RCC_CR |= RCC_CR_HSI_ON;
    while ((RCC_CR & RCC_CR_HSI_READY) == 0u) {
    }
    RCC_PLLCFGR = RCC_PLLCFGR_SOURCE_HSI | RCC_PLLCFGR_M(2u) | RCC_PLLCFGR_N(30u) | RCC_PLLCFGR_R_2_ON;
    RCC_CR |= RCC_CR_PLL_ON;
    while ((RCC_CR & RCC_CR_PLL_READY) == 0u) {
    }
}

void stm32l4_clock(void) {
    set_voltage_and_wait_states();
    start_pll();
    /* On the way to more than 80 MHz the processor has to run at half the speed for a microsecond at least. */
    RCC_CFGR = RCC_CFGR_AHB_HALF | RCC_CFGR_SOURCE_PLL;
    while ((RCC_CFGR & RCC_CFGR_SOURCE_IS) != RCC_CFGR_SOURCE_IS_PLL) {
    }
    for (uint32_t i = 0; i < 100u; i++) {
        __asm__ volatile("nop");
    }
    RCC_CFGR = RCC_CFGR_SOURCE_PLL;
}
