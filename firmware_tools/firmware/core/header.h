/* SPDX-License-Identifier: Apache-2.0 */
/* The header page of a slot: what it says, and the marks that are added to it. */
#ifndef EDGENAS_HEADER_H
#define EDGENAS_HEADER_H

#include <stdint.h>

#include "sha256.h"

#define SLOT_TRIES 4u

typedef enum { SLOT_EMPTY, SLOT_PARTIAL, SLOT_VALID, SLOT_DAMAGED } slot_state;

typedef struct {
    slot_state state;
    uint32_t bytes;    /* of the file: what BEGUN says */
    uint32_t sequence; /* 0 unless VALID was written */
    uint32_t tried;    /* marks, 0 to SLOT_TRIES */
    uint8_t ended;     /* a run of the unconfirmed model was answered */
    uint8_t confirmed;
    uint8_t revoked;
    uint8_t sha256[SHA256_BYTES];
} slot_info;

/* What a slot's header page says, without looking at the plan: state is EMPTY, PARTIAL, VALID or DAMAGED. */
slot_info slot_read(uint32_t slot);

/* Writing of marks and headers; 0 if the flash failed. */
int slot_write_begun(uint32_t slot, uint32_t bytes, const uint8_t sha[SHA256_BYTES]);
int slot_write_valid(uint32_t slot, uint32_t sequence);
int slot_write_confirmed(uint32_t slot);
int slot_write_revoked(uint32_t slot);
int slot_write_tried(uint32_t slot);
int slot_write_ended(uint32_t slot);

/* Write whole units, the last filled up with 0xFF, and read them back. */
int flash_write(const uint8_t *to, const uint8_t *bytes, uint32_t count);

#endif
