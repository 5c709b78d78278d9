/* SPDX-License-Identifier: Apache-2.0 */
/* The inner products with the DSP extension (Cortex-M4, M7, M33).
 *
 * Why by hand: the accumulators, weights, inputs and pointers take all 14 registers, and a compiler that spills one of
 * them loses a fifth of the speed. PLAN.md, "How a 1x1 convolution gets its speed", explains the order of the data.
 *
 *   SMLAD  d, x, w, a    d = a + x.low * w.low + x.high * w.high       two multiply-accumulates
 *   SXTB16 d, w          d.low, d.high = bytes 0 and 2 of w, widened   with ror #8: bytes 1 and 3 */
#include "kernel_set.h"

    .syntax unified
    .thumb
    .text

#if EN_KERNEL_SET == EN_DSP

#define UNROLL 8 /* groups in one turn of a loop; a power of 2 */

    .macro function name
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

/* groups becomes the address at which to enter the loop that begins at `top`, so that its first turn does groups %
 * UNROLL groups (UNROLL if that is 0). All groups of a loop are equally long, `size` bytes. */
    .macro enter groups, scratch, top, size
    rsbs \groups, \groups, #0
    and \groups, \groups, #(UNROLL - 1)
    movs \scratch, #\size
    mul \groups, \groups, \scratch
    adr \scratch, \top
    add \groups, \groups, \scratch
    orr \groups, \groups, #1 /* stay in Thumb state */
    .endm

/* void en_widen_3(int16_t *x, const int8_t *pixel0, const int8_t *pixel1, const int8_t *pixel2, uint32_t groups) */
    function en_widen_3
    push {r4-r9, lr}
    ldr r12, [sp, #28]
    movs r4, #24
    mla r12, r12, r4, r0 /* where x ends */
1:
    ldr r4, [r1], #4
    ldr r5, [r2], #4
    ldr r6, [r3], #4
    sxtb16 r7, r4, ror #8 /* inputs 1 and 3 */
    sxtb16 r8, r5, ror #8
    sxtb16 r9, r6, ror #8
    sxtb16 r4, r4 /* inputs 0 and 2 */
    sxtb16 r5, r5
    sxtb16 r6, r6
    stmia r0!, {r4-r9}
    cmp r0, r12
    bne 1b
    pop {r4-r9, pc}
    .size en_widen_3, . - en_widen_3

/* One turn of the loop over groups: r0 x, r1 w; r2 r3 r4 and r5 r6 r7: accumulators of 3 pixels for each of two
 * channels; r8 r9: their 4 weights; r10: two of them widened; r11 r12 lr: two inputs of the 3 pixels. */
    .macro conv_groups
    .rept UNROLL
    ldrd r8, r9, [r1], #8
    ldmia.w r0!, {r11, r12, lr} /* inputs 0 and 2 */
    sxtb16 r10, r8
    smlad r2, r11, r10, r2
    smlad r3, r12, r10, r3
    smlad r4, lr, r10, r4
    sxtb16 r10, r9
    smlad r5, r11, r10, r5
    smlad r6, r12, r10, r6
    smlad r7, lr, r10, r7
    ldmia.w r0!, {r11, r12, lr} /* inputs 1 and 3 */
    sxtb16 r8, r8, ror #8
    smlad r2, r11, r8, r2
    smlad r3, r12, r8, r3
    smlad r4, lr, r8, r4
    sxtb16 r9, r9, ror #8
    smlad r5, r11, r9, r5
    smlad r6, r12, r9, r6
    smlad r7, lr, r9, r7
    .endr
    .endm
    .equ CONV_GROUP, 76 /* bytes */

/* void en_dot_3x2(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[2], int32_t acc[6]) */
    function en_dot_3x2
    push {r4-r11, lr}
    sub sp, sp, #4
    movs r12, #24
    mla r12, r2, r12, r0
    str r12, [sp] /* where x ends */
    mov r8, r2
    ldrd r2, r5, [r3]
    mov r3, r2
    mov r4, r2
    mov r6, r5
    mov r7, r5
    enter r8, r9, .Lconv, CONV_GROUP
    bx r8
    .balign 4
.Lconv:
    conv_groups
    ldr r10, [sp]
    cmp r0, r10
    bne .Lconv
    ldr r0, [sp, #40]
    stmia r0, {r2-r7}
    add sp, sp, #4
    pop {r4-r11, pc}
    .size en_dot_3x2, . - en_dot_3x2

/* acc to int8 (requant.h, en_requant_fast); sum is destroyed. */
    .macro requantize acc, multiplier, offset, shift, sum
    add \sum, \offset, \acc, asr #31
    lsl \acc, \acc, #1
    smmlar \acc, \acc, \multiplier, \sum
    asr \acc, \acc, \shift
    ssat \acc, #8, \acc
    .endm

/* A channel's offset and its shift to the right from that to the left (requant.h, en_fast_of). */
    .macro fast_of shift, offset, zero
    mvn \offset, \shift
    lsl \offset, \zero, \offset
    rsb \shift, \shift, #0
    .endm

/* void en_conv_3(const en_conv_block *block): en_dot_3x2 and what follows, for all pairs of channels.
 *
 * The block is copied to the stack, because no register is left to point to it; the pointers there advance. */
    .equ X, 0
    .equ ENTRY, 4 /* where the loop over groups is entered */
    .equ X_END, 8
    .equ BIAS, 12
    .equ MULTIPLIER, 16
    .equ SHIFT, 20
    .equ ZERO, 24
    .equ OUT, 28
    .equ STEP, 32
    .equ OUT_END, 36
    .equ FRAME, 40
    function en_conv_3
    push {r4-r11, lr}
    sub sp, sp, #FRAME
    ldmia.w r0!, {r1-r5}
    ldmia.w r0, {r6-r10}
    add r10, r8, r10, lsl #1
    stmia.w sp, {r1-r10}
    mov r0, r1
    mov r1, r2
    movs r12, #24
    mla r12, r3, r12, r0
    str r12, [sp, #X_END]
    enter r3, r4, .Lblock, CONV_GROUP
    str r3, [sp, #ENTRY]
.Lpair:
    ldr r8, [sp, #BIAS]
    ldrd r2, r5, [r8], #8
    str r8, [sp, #BIAS]
    mov r3, r2
    mov r4, r2
    mov r6, r5
    mov r7, r5
    ldr pc, [sp, #ENTRY]
    .balign 4
.Lblock:
    conv_groups
    ldr r10, [sp, #X_END]
    cmp r0, r10
    bne .Lblock
    ldrd r9, r12, [sp, #MULTIPLIER]
    ldrd r10, r11, [r9], #8 /* the multipliers of both channels */
    ldrsb r8, [r12, #1]
    ldrsb lr, [r12], #2
    strd r9, r12, [sp, #MULTIPLIER]
    ldr r0, [sp, #ZERO]
    fast_of lr, r12, r0
    requantize r2, r10, r12, lr, r9
    requantize r3, r10, r12, lr, r9
    requantize r4, r10, r12, lr, r9
    fast_of r8, r12, r0
    requantize r5, r11, r12, r8, r9
    requantize r6, r11, r12, r8, r9
    requantize r7, r11, r12, r8, r9
    ldrd r8, r9, [sp, #OUT]
    strb r2, [r8]
    strb r3, [r8, r9]
    strb r4, [r8, r9, lsl #1]
    strb r5, [r8, #1]!
    strb r6, [r8, r9]
    strb r7, [r8, r9, lsl #1]
    add r8, r8, #1
    str r8, [sp, #OUT]
    ldr r9, [sp, #OUT_END]
    ldr r0, [sp, #X]
    cmp r8, r9
    bne .Lpair
    add sp, sp, #FRAME
    pop {r4-r11, pc}
    .size en_conv_3, . - en_conv_3

/* One turn of the loop over groups: r0 x, r1 w, r2 where x ends; r3 r4 r5 r6: accumulators of 4 channels; r7 r8 r9 r10:
 * their weights; r11: two of them widened; r12 lr: the 4 inputs. */
    .macro dense_groups
    .rept UNROLL
    ldmia.w r1!, {r7-r10}
    ldrd r12, lr, [r0], #8
    sxtb16 r11, r7
    smlad r3, r12, r11, r3
    sxtb16 r11, r8
    smlad r4, r12, r11, r4
    sxtb16 r11, r9
    smlad r5, r12, r11, r5
    sxtb16 r11, r10
    smlad r6, r12, r11, r6
    sxtb16 r7, r7, ror #8
    smlad r3, lr, r7, r3
    sxtb16 r8, r8, ror #8
    smlad r4, lr, r8, r4
    sxtb16 r9, r9, ror #8
    smlad r5, lr, r9, r5
    sxtb16 r10, r10, ror #8
    smlad r6, lr, r10, r6
    .endr
    .endm
    .equ DENSE_GROUP, 72 /* bytes */

/* void en_dot_1x4(const int16_t *x, const int8_t *w, uint32_t groups, const int32_t bias[4], int32_t acc[4]) */
    function en_dot_1x4
    push {r4-r11, lr}
    mov r7, r2
    add r2, r0, r2, lsl #3
    ldm r3, {r3-r6}
    enter r7, r8, .Ldense, DENSE_GROUP
    bx r7
    .balign 4
.Ldense:
    dense_groups
    cmp r0, r2
    bne .Ldense
    ldr r0, [sp, #36]
    stmia r0, {r3-r6}
    pop {r4-r11, pc}
    .size en_dot_1x4, . - en_dot_1x4

/* void en_dense_4(const en_dense_block *block): en_dot_1x4 and what follows, for whole blocks of 4 outputs. Its copy of
 * the block on the stack is that of en_conv_3, but for the last two fields. */
    .equ DENSE_OUT, 28
    .equ DENSE_END, 32
    .equ DENSE_FRAME, 36

/* Channel `index` of a block: its shift is byte `index` of r0. */
    .macro dense_output acc, multiplier, index
    sxtb lr, r0, ror #(8 * \index)
    fast_of lr, r12, r7
    requantize \acc, \multiplier, r12, lr, r2
    .endm

    function en_dense_4
    push {r4-r11, lr}
    sub sp, sp, #DENSE_FRAME
    ldmia.w r0, {r1-r9}
    stmia.w sp, {r1-r9}
    mov r0, r1
    mov r1, r2
    add r2, r0, r3, lsl #3
    str r2, [sp, #X_END]
    enter r3, r4, .Lblock4, DENSE_GROUP
    str r3, [sp, #ENTRY]
.Lnext4:
    ldr r7, [sp, #BIAS]
    ldm r7!, {r3-r6}
    str r7, [sp, #BIAS]
    ldr pc, [sp, #ENTRY]
    .balign 4
.Lblock4:
    dense_groups
    cmp r0, r2
    bne .Lblock4
    ldrd r7, r12, [sp, #MULTIPLIER]
    ldm r7!, {r8-r11} /* the multipliers of 4 channels */
    ldr r0, [r12], #4 /* their shifts */
    strd r7, r12, [sp, #MULTIPLIER]
    ldr r7, [sp, #ZERO]
    dense_output r3, r8, 0
    dense_output r4, r9, 1
    dense_output r5, r10, 2
    dense_output r6, r11, 3
    ldrd r7, r8, [sp, #DENSE_OUT]
    strb r3, [r7], #1
    strb r4, [r7], #1
    strb r5, [r7], #1
    strb r6, [r7], #1
    str r7, [sp, #DENSE_OUT]
    ldr r0, [sp, #X]
    ldr r2, [sp, #X_END]
    cmp r7, r8
    bne .Lnext4
    add sp, sp, #DENSE_FRAME
    pop {r4-r11, pc}
    .size en_dense_4, . - en_dense_4

#endif
