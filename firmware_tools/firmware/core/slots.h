/* SPDX-License-Identifier: Apache-2.0 */
/* Two places in flash for models, one of which is never touched: the active one. The normative text is PROTOCOL.md's. */
#ifndef EDGENAS_SLOTS_H
#define EDGENAS_SLOTS_H

#include <stdint.h>

#include "header.h"
#include "messages.h"

#define SLOT_NONE 0xFFu

/* Read the flash at a start, reverting a model that was tried too often. 1 if it was. */
int slots_start(void);

const slot_info *slots_info(uint32_t slot);
uint32_t slots_active(void);   /* SLOT_NONE, or the slot that survives whatever comes */
uint32_t slots_previous(void); /* confirmed before it */
uint32_t slots_staged(void);   /* whole, not confirmed */
uint32_t slots_spare(void);    /* which BEGIN takes */

/* The messages. `number` is the answer's next u32: an offset or a limit. */
message_status slots_begin(uint32_t bytes, const uint8_t sha[SHA256_BYTES], uint32_t *number);
message_status slots_write(uint32_t offset, const uint8_t *data, uint32_t count, uint32_t *number);
message_status slots_check(uint32_t *slot); /* the transfer is complete and its hash right; which slot */
message_status slots_stage(void);           /* after slots_check, and if the engine takes the plan */
message_status slots_discard(void);
message_status slots_commit(const uint8_t sha[SHA256_BYTES]);
message_status slots_rollback(void);

/* The slot is no candidate any more, and its bytes are not gone on from. 0 if the flash failed. */
int slots_revoke(uint32_t slot);

/* Before and after a run of a model: marks an unconfirmed one. 0 if the flash failed. */
int slots_try(uint32_t slot);
int slots_tried_well(uint32_t slot);

#endif
