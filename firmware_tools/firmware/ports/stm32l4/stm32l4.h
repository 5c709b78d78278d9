/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGENAS_STM32L4_H
#define EDGENAS_STM32L4_H

void stm32l4_clock(void); /* 120 MHz */

#endif
