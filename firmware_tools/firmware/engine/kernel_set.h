/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel sets: a folder of kernels/ each, of which a target has one. All read the same plans and give the same values.
 *
 * To add one: its number (link/PROTOCOL.md, HELLO), a branch here, and the folder with primitives.h, loops.h and the
 * functions of kernels.h. Every source of a set is empty for other targets: `#if EN_KERNEL_SET == ..` around it.
 * Assembly includes this, too. */
#ifndef EDGENAS_KERNEL_SET_H
#define EDGENAS_KERNEL_SET_H

#define EN_PORTABLE 0
#define EN_DSP 1

#if defined(__ARM_FEATURE_DSP) /* Cortex-M4, M7, M33, M55 */
#define EN_KERNEL_SET EN_DSP
#define EN_PRIMITIVES "kernels/dsp/primitives.h"
#define EN_LOOPS "kernels/dsp/loops.h"
#else
#define EN_KERNEL_SET EN_PORTABLE
#define EN_PRIMITIVES "kernels/portable/primitives.h"
#define EN_LOOPS "kernels/portable/loops.h"
#endif

#endif
