/* SPDX-License-Identifier: Apache-2.0 */
/* edgenas' inference engine for microcontrollers: walks a plan (plan.h) over an arena that the caller owns.
 *
 * No malloc, no floating point, nothing of libc but memcpy and memset; not one byte of state outside en_model. */
#ifndef EDGENAS_ENGINE_H
#define EDGENAS_ENGINE_H

#include <stdint.h>

#include "plan.h"

typedef enum {
    EN_OK = 0,
    EN_BAD_ALIGNMENT, /* plan or arena in memory, or something in the plan, is not at a multiple of 4 */
    EN_BAD_SIZE,      /* fewer bytes than the plan says, or than its header takes */
    EN_BAD_MAGIC,
    EN_BAD_VERSION, /* format or packing that this engine does not know */
    EN_BAD_CRC,
    EN_ARENA_TOO_SMALL,
    EN_BAD_OPERATOR, /* unknown kind, wrong record size, or fewer records than announced */
    EN_BAD_SHAPE,    /* sizes that are zero, too large, or contradict each other */
    EN_BAD_OFFSET,   /* something lies outside the plan or the arena */
    EN_BAD_OVERLAP,  /* an output would overwrite what is still to be read */
    EN_BAD_VALUE     /* a shift, zero point or clamp out of range */
} en_status;

typedef struct {
    const uint8_t *plan;
    uint8_t *arena;
    const en_plan_header *header;
    uint32_t failed_op; /* which operator en_load refused, else op_count */
} en_model;

/* Called before every operator, and once after the last with index == op_count. */
typedef void (*en_hook)(void *context, uint32_t index, uint32_t op_count);

/* Check the plan completely. After EN_OK nothing in it can make en_run touch memory outside plan and arena, whatever
 * the bytes say. Neither plan nor arena is written. Both must outlive the model. */
en_status en_load(en_model *model, const void *plan, uint32_t plan_bytes, void *arena, uint32_t arena_bytes);

/* Where to put the input before, and find the output after en_run: header->input_bytes and output_bytes of int8. The
 * input is gone after a run. */
int8_t *en_input(const en_model *model);
const int8_t *en_output(const en_model *model);

/* One inference. `hook` may be 0. */
void en_run(const en_model *model, en_hook hook, void *context);

#endif
