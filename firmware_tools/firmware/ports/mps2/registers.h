/* SPDX-License-Identifier: Apache-2.0 */
/* The timers that the port uses, of Arm's Cortex-M System Design Kit (CMSDK). They count down. */
#ifndef EDGENAS_MPS2_REGISTERS_H
#define EDGENAS_MPS2_REGISTERS_H

#include "cortex_m.h"

#define TIMER_CONTROL REGISTER(BOARD_TIMERS)
#define TIMER_VALUE REGISTER(BOARD_TIMERS + 4u)
#define TIMER_RELOAD REGISTER(BOARD_TIMERS + 8u)

/* The dual timer: two alike. */
#define DUAL_LOAD(which) REGISTER(BOARD_TIMERS + 0x2000u + 0x20u * (which))
#define DUAL_VALUE(which) REGISTER(BOARD_TIMERS + 0x2004u + 0x20u * (which))
#define DUAL_CONTROL(which) REGISTER(BOARD_TIMERS + 0x2008u + 0x20u * (which))
#define DUAL_CLEAR(which) REGISTER(BOARD_TIMERS + 0x200Cu + 0x20u * (which))
#define DUAL_ENABLE 0x80u
#define DUAL_INTERRUPT 0x20u
#define DUAL_EVERY_256TH 0x08u
#define DUAL_32_BITS 0x02u
#define DUAL_ONCE 0x01u

#endif
