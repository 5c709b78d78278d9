/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: an int8 network as one blob that the engine walks. The normative text is firmware_tools/plan/PLAN.md.
 *
 * Little-endian; every record and every table of words starts at a multiple of 4, and so must the blob in memory.
 * "Plan offset" counts bytes from the blob's start, "arena offset" from the arena's. */
#ifndef EDGENAS_PLAN_H
#define EDGENAS_PLAN_H

#include <stdint.h>

#define EN_PLAN_MAGIC 0x4E4C5045u /* "EPLN" */
#define EN_PLAN_VERSION 1u
#define EN_PACKING 1u      /* convolution: 2 channels x 4 inputs; dense: 4 channels x 4 inputs */
#define EN_PIXELS 3u       /* output pixels that a convolution computes at a time */
#define EN_CONV_CHANNELS 2u
#define EN_DENSE_CHANNELS 4u
#define EN_LANES 4u        /* channels that a depthwise convolution gathers at a time */

typedef struct {
    uint32_t magic;
    uint16_t version;
    uint16_t packing;
    uint32_t plan_bytes;
    uint32_t crc32; /* of the bytes from 16 to plan_bytes; zlib's CRC-32 */
    uint32_t arena_bytes;
    uint32_t op_count;
    uint32_t ops; /* plan offset of the first operator */
    uint32_t ops_bytes;
    uint32_t input; /* arena offsets and sizes */
    uint32_t input_bytes;
    int32_t input_zero_point;
    uint32_t input_scale; /* the bits of a float, for the host: the engine never reads it */
    uint32_t output;
    uint32_t output_bytes;
    int32_t output_zero_point;
    uint32_t output_scale;
} en_plan_header;

/* Every operator: kind, number, record and its bytes, and the name of its kernel, en_NAME, and its check, en_check_NAME
 * (operators.h). Numbers stay what they are: plans have them. */
#define EN_OPERATORS(DO)                                 \
    DO(EN_CONV, 1, en_conv_op, 56, conv)                 \
    DO(EN_DENSE, 2, en_dense_op, 44, dense)              \
    DO(EN_DEPTHWISE, 3, en_depthwise_op, 60, depthwise)  \
    DO(EN_ADD, 4, en_binary_op, 48, add)                 \
    DO(EN_MUL, 5, en_binary_op, 48, mul)                 \
    DO(EN_AVERAGE_POOL, 6, en_pool_op, 36, average_pool) \
    DO(EN_MAX_POOL, 7, en_pool_op, 36, max_pool)         \
    DO(EN_MEAN, 8, en_mean_op, 32, mean)                 \
    DO(EN_COPY, 9, en_copy_op, 28, copy)                 \
    DO(EN_FILL, 10, en_fill_op, 16, fill)                \
    DO(EN_LUT, 11, en_lut_op, 20, lut)                   \
    DO(EN_SOFTMAX, 12, en_softmax_op, 24, softmax)

#define EN_KIND(kind, number, record, bytes, name) kind = number,
typedef enum { EN_OPERATORS(EN_KIND) } en_kind;
#undef EN_KIND

/* Every operator begins with this; `bytes` is the size of its record. */
typedef struct {
    uint16_t kind;
    uint16_t bytes;
} en_op;

/* From accumulators to int8, per output channel. The tables hold as many entries as the packed weights have channels. */
typedef struct {
    uint32_t bias;       /* plan offset, int32; the input's zero point is folded in */
    uint32_t multiplier; /* plan offset, int32, not negative */
    uint32_t shift;      /* plan offset, int8: > 0 left, < 0 right */
    int8_t zero_point;
    int8_t low, high; /* clamp after adding the zero point */
    uint8_t fast;     /* 1: every shift is in [-22, -1], every |bias| + 2^14 * inputs < 2^30 */
} en_requant;

typedef struct {
    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;
    uint8_t kernel_h, kernel_w, stride_h, stride_w;
    uint8_t pad_top, pad_left;
    int8_t in_zero_point; /* what lies outside the input */
    uint8_t unused;
} en_window;

typedef struct {
    en_op op;
    uint32_t in, out, scratch; /* arena offsets */
    uint32_t weights;          /* plan offset */
    en_window window;
    en_requant requant;
} en_conv_op;

typedef struct {
    en_op op;
    uint32_t in, out, scratch;
    uint32_t weights;
    uint32_t inputs, outputs;
    en_requant requant;
} en_dense_op;

typedef struct {
    en_op op;
    uint32_t in, out, scratch;
    uint32_t weights; /* plan offset, int8 [out_c][kernel_h][kernel_w] */
    en_window window; /* out_c is in_c times the depth multiplier */
    en_requant requant;
    uint32_t strip; /* output rows that are computed from one gathered strip of the input */
} en_depthwise_op;

/* Add and multiply. Operand 2 has `period` values and is repeated: 1 is a scalar, channels a vector, `count` a tensor. */
typedef struct {
    en_op op;
    uint32_t in1, in2, out; /* arena offsets; in2 is a plan offset if constant is 1 */
    uint32_t count, period;
    int32_t multiplier1, multiplier2, multiplier; /* a multiplication uses the last only */
    int8_t shift1, shift2, shift;
    int8_t zero_point1, zero_point2, zero_point;
    int8_t low, high;
    uint8_t constant, unused[3];
} en_binary_op;

typedef struct {
    en_op op;
    uint32_t in, out;
    en_window window; /* out_c equals in_c; what lies outside the input is not counted */
    int8_t low, high;
    uint8_t unused[2];
} en_pool_op;

/* Mean over `count` positions of `channels` values. */
typedef struct {
    en_op op;
    uint32_t in, out;
    uint32_t count, channels;
    int32_t multiplier;
    int32_t bias; /* in the accumulator's units */
    int8_t shift;
    int8_t zero_point;
    uint8_t unused[2];
} en_mean_op;

/* `rows` times `row_bytes` from stride to stride: concatenation, padding, reshape. */
typedef struct {
    en_op op;
    uint32_t in, out;
    uint32_t rows, row_bytes, in_stride, out_stride;
} en_copy_op;

typedef struct {
    en_op op;
    uint32_t out, count;
    int8_t value;
    uint8_t unused[3];
} en_fill_op;

/* Any function of one int8: out[i] = table[in[i] + 128]. */
typedef struct {
    en_op op;
    uint32_t in, out, count;
    uint32_t table; /* plan offset, int8 [256] */
} en_lut_op;

typedef struct {
    en_op op;
    uint32_t in, out;
    uint32_t rows, depth;
    uint32_t table; /* plan offset, int32 [256]: exp(-i * beta * scale) as Q0.31, 0 where the reference drops it */
} en_softmax_op;

_Static_assert(sizeof(en_plan_header) == 64, "en_plan_header");
_Static_assert(sizeof(en_op) == 4, "en_op");
_Static_assert(sizeof(en_requant) == 16, "en_requant");
_Static_assert(sizeof(en_window) == 20, "en_window");
#define EN_RECORD(kind, number, record, bytes, name) _Static_assert(sizeof(record) == bytes, #record);
EN_OPERATORS(EN_RECORD)
#undef EN_RECORD

#endif
