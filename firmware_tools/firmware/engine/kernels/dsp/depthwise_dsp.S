/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution with the DSP extension (Cortex-M4, M7, M33): gathering 4 channels, and 3x3 with requantisation.
 * depthwise_dsp.c has the rest; dot_dsp.S explains the instructions. */
#include "kernel_set.h"

    .syntax unified
    .thumb
    .text

#if EN_KERNEL_SET == EN_DSP

    .macro function name
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

/* Two pixels of 4 channels, r4 and r5, become a column pair of 4 planes: PKHBT takes the lower halves of two words of
 * widened channels, PKHTB the upper ones. r1: the place in plane 0; r2, r3: bytes of one plane, of three. */
    .macro put_pair
    sxtb16 r7, r4 /* channels 0 and 2 */
    sxtb16 r8, r5
    sxtb16 r4, r4, ror #8 /* channels 1 and 3 */
    sxtb16 r5, r5, ror #8
    pkhbt r9, r7, r8, lsl #16
    pkhtb r8, r8, r7, asr #16
    pkhbt r7, r4, r5, lsl #16
    pkhtb r5, r5, r4, asr #16
    str r7, [r1, r2]
    str r8, [r1, r2, lsl #1]
    str r5, [r1, r3]
    str r9, [r1], #4
    .endm

/* void en_gather_4(const int8_t *from, int16_t *to, const en_planes_block *block)
 *
 * r0 from, r1 to, r6 bytes of a pixel, r10 what lies outside, r11 pairs left, r12 block. */
    .equ LATE, 12
    .equ PIXEL_PAIRS, 16
    .equ REST, 20
    .equ NEXT, 24
    .equ PLANE_ROWS, 32
    function en_gather_4
    push {r4-r11, lr}
    mov r12, r2
    ldr lr, [r12, #PLANE_ROWS]
    ldr r6, [r12]
    ldr r2, [r12, #4]
    ldr r10, [r12, #8]
    add r3, r2, r2, lsl #1
.Lplane_row:
    ldrd r8, r11, [r12, #LATE]
    cmp r8, #0
    beq .Leven
    mov r4, r10
    ldr r5, [r0]
    add r0, r0, r6
    put_pair
.Leven:
    cmp r11, #0
    beq .Lodd
.Lpixels:
    ldr r4, [r0]
    ldr r5, [r0, r6]
    add r0, r0, r6, lsl #1
    put_pair
    subs r11, r11, #1
    bne .Lpixels
.Lodd:
    ldr r8, [r12, #REST]
    cmp r8, #0
    beq .Lplane_next
    ldr r4, [r0]
    mov r5, r10
    put_pair
.Lplane_next:
    ldrd r7, r8, [r12, #NEXT]
    add r0, r0, r7
    add r1, r1, r8
    subs lr, lr, #1
    bne .Lplane_row
    pop {r4-r11, pc}
    .size en_gather_4, . - en_gather_4

/* void en_depthwise_3x3(const int16_t *x, int8_t *out, const en_depthwise_block *block)
 *
 * Two adjacent outputs at a time. Of each of 3 rows they need the columns 0 to 3, in the words A = (0, 1), B = (2, 3):
 *
 *     first  += A.low * w0 + A.high * w1 + B.low * w2     = SMLAD(A, w01) + SMLABT(B, w12)
 *     second += A.high * w0 + B.low * w1 + B.high * w2    = SMLATB(A, w01) + SMLAD(B, w12)
 *
 * The weights and the bias are doubled, which saves requantisation a shift. The block is copied to the stack: the
 * weights are loaded from there for every pair, as requantisation needs their registers.
 *
 * r0 r1 r2: the three rows; r3 out; r4-r9 weights; r10 r11 accumulators; r12 lr: A, B. */
    .equ MULTIPLIER_OFFSET, 32
    .equ SHIFT_STEP, 40
    .equ PAIR_BYTES, 48 /* of x that a row's whole pairs advance */
    .equ NEXT_ROW, 52   /* from there to the next row */
    .equ ROW_END, 56
    .equ ODD, 60
    .equ ROWS, 64
    .equ DEPTHWISE_FRAME, 68
    function en_depthwise_3x3
    push {r4-r11, lr}
    sub sp, sp, #DEPTHWISE_FRAME
    mov r3, r1
    mov r1, r2
    ldmia r1!, {r4-r9}
    stmia.w sp, {r4-r9}
    ldmia r1!, {r4-r9}
    add r12, sp, #24
    stmia.w r12, {r4-r9}
    ldmia.w r1, {r5, r6, r7, r8} /* stride in bytes, row in bytes, width, rows */
    and r9, r7, #1
    str r9, [sp, #ODD]
    str r8, [sp, #ROWS]
    sub r7, r7, r9
    lsl r7, r7, #1
    str r7, [sp, #PAIR_BYTES]
    sub r7, r5, r7
    str r7, [sp, #NEXT_ROW]
    add r1, r0, r6
    add r2, r1, r6
.Lrow:
    ldr r12, [sp, #PAIR_BYTES]
    cmp r12, #0
    beq .Llast
    add r12, r12, r0
    str r12, [sp, #ROW_END]
.Lcolumns:
    ldm sp, {r4-r11}
    ldrd r12, lr, [r0], #4
    smlad r10, r12, r4, r10
    smlatb r11, r12, r4, r11
    smlabt r10, lr, r5, r10
    smlad r11, lr, r5, r11
    ldrd r12, lr, [r1], #4
    smlad r10, r12, r6, r10
    smlatb r11, r12, r6, r11
    smlabt r10, lr, r7, r10
    smlad r11, lr, r7, r11
    ldrd r12, lr, [r2], #4
    smlad r10, r12, r8, r10
    smlatb r11, r12, r8, r11
    smlabt r10, lr, r9, r10
    smlad r11, lr, r9, r11
    ldrd r4, r5, [sp, #MULTIPLIER_OFFSET]
    ldrd r6, r7, [sp, #SHIFT_STEP]
    add r8, r5, r10, asr #31
    smmlar r10, r10, r4, r8
    add r9, r5, r11, asr #31
    smmlar r11, r11, r4, r9
    asr r10, r10, r6
    ssat r10, #8, r10
    strb r10, [r3]
    asr r11, r11, r6
    ssat r11, #8, r11
    strb r11, [r3, r7]
    add r3, r3, r7, lsl #1
    ldr r12, [sp, #ROW_END]
    cmp r0, r12
    bne .Lcolumns
.Llast:
    ldr r12, [sp, #ODD]
    cmp r12, #0
    beq .Lnext
    ldm sp, {r4-r10}
    ldrd r12, lr, [r0]
    smlad r10, r12, r4, r10
    smlabt r10, lr, r5, r10
    ldrd r12, lr, [r1]
    smlad r10, r12, r6, r10
    smlabt r10, lr, r7, r10
    ldrd r12, lr, [r2]
    smlad r10, r12, r8, r10
    smlabt r10, lr, r9, r10
    ldrd r4, r5, [sp, #MULTIPLIER_OFFSET]
    ldrd r6, r7, [sp, #SHIFT_STEP]
    add r8, r5, r10, asr #31
    smmlar r10, r10, r4, r8
    asr r10, r10, r6
    ssat r10, #8, r10
    strb r10, [r3]
    add r3, r3, r7
.Lnext:
    ldr r12, [sp, #NEXT_ROW]
    add r0, r0, r12
    add r1, r1, r12
    add r2, r2, r12
    ldr r12, [sp, #ROWS]
    subs r12, r12, #1
    str r12, [sp, #ROWS]
    bne .Lrow
    add sp, sp, #DEPTHWISE_FRAME
    pop {r4-r11, pc}
    .size en_depthwise_3x3, . - en_depthwise_3x3

#endif
