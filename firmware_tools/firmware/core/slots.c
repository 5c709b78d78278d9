/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <string.h>

#include "bytes.h"
#include "port.h"

static slot_info slots[PORT_SLOTS];

static struct {
    uint32_t slot; /* SLOT_NONE: there is no transfer */
    uint32_t next; /* the offset that is expected */
} transfer;

/* Read a slot's header again after it was written to; its plan, and what hash that has, stayed as they were. */
static void reread(uint32_t slot) {
    const int damaged = slots[slot].state == SLOT_DAMAGED;
    slots[slot] = slot_read(slot);
    if (damaged && slots[slot].state == SLOT_VALID) {
        slots[slot].state = SLOT_DAMAGED;
    }
}

static int has_its_hash(uint32_t slot) {
    uint8_t digest[SHA256_BYTES];
    sha256(port_slot_at(slot)->plan, slots[slot].bytes, digest);
    return bytes_equal(digest, slots[slot].sha256, SHA256_BYTES);
}

int slots_start(void) {
    transfer.slot = SLOT_NONE;
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        slots[i] = slot_read(i);
        if (slots[i].state == SLOT_VALID && !has_its_hash(i)) {
            slots[i].state = SLOT_DAMAGED;
        }
    }
    const uint32_t staged = slots_staged();
    if (staged == SLOT_NONE || slots[staged].tried < SLOT_TRIES || slots[staged].ended) {
        return 0;
    }
    slots_revoke(staged);
    return 1;
}

const slot_info *slots_info(uint32_t slot) {
    return &slots[slot];
}

static int is_confirmed(uint32_t slot) {
    return slots[slot].state == SLOT_VALID && slots[slot].confirmed;
}

uint32_t slots_active(void) {
    uint32_t active = SLOT_NONE;
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        if (is_confirmed(i) && (active == SLOT_NONE || slots[i].sequence > slots[active].sequence)) {
            active = i;
        }
    }
    return active;
}

uint32_t slots_previous(void) {
    const uint32_t active = slots_active();
    return active != SLOT_NONE && is_confirmed(1u - active) ? 1u - active : SLOT_NONE;
}

uint32_t slots_staged(void) {
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        if (slots[i].state == SLOT_VALID && !slots[i].confirmed) {
            return i;
        }
    }
    return SLOT_NONE;
}

uint32_t slots_spare(void) {
    const uint32_t active = slots_active();
    const uint32_t staged = slots_staged();
    if (active == SLOT_NONE) {
        return staged == SLOT_NONE ? 0u : staged;
    }
    return 1u - active;
}

/* The header before the plan: from then on the slot is nothing, whatever its plan still holds. But a header whose erase is cut
 * short may lose its REVOKED and nothing else: where it was VALID, the plan's first page goes before it, and with it the hash. */
static int erase(uint32_t slot, uint32_t bytes) {
    const port_slot *const place = port_slot_at(slot);
    const int was_valid = slots[slot].sequence != 0u;
    if ((was_valid && !port_erase(place->plan)) || !port_erase(place->header)) {
        return 0;
    }
    for (uint32_t at = was_valid ? port_page_bytes(place->plan) : 0u; at < bytes;
         at += port_page_bytes(place->plan + at)) {
        if (!port_erase(place->plan + at)) {
            return 0;
        }
    }
    return 1;
}

/* After a restart nobody knows whether the last unit was written completely: its page is erased. Everything before it is whole,
 * everything behind it blank. */
static int go_on(uint32_t slot, uint32_t *next) {
    const port_slot *const place = port_slot_at(slot);
    uint32_t last = 0;
    int written = 0;
    for (uint32_t at = 0; at < slots[slot].bytes; at += port_page_bytes(place->plan + at)) {
        if (!bytes_blank(place->plan + at, port_page_bytes(place->plan + at))) {
            last = at;
            written = 1;
        }
    }
    *next = last;
    return !written || port_erase(place->plan + last);
}

static message_status begin_anew(uint32_t slot, uint32_t bytes, const uint8_t sha[SHA256_BYTES]) {
    const int done = erase(slot, bytes) && slot_write_begun(slot, bytes, sha);
    slots[slot] = slot_read(slot);
    if (!done) {
        return STATUS_FLASH_FAILED;
    }
    transfer.slot = slot;
    transfer.next = 0;
    return STATUS_OK;
}

static message_status begin_again(uint32_t slot) {
    if (transfer.slot == slot) {
        return STATUS_OK; /* no restart since: as far as it came */
    }
    uint32_t next = slots[slot].bytes;
    if (slots[slot].state == SLOT_PARTIAL && !go_on(slot, &next)) {
        return STATUS_FLASH_FAILED;
    }
    transfer.slot = slot;
    transfer.next = next;
    return STATUS_OK;
}

message_status slots_begin(uint32_t bytes, const uint8_t sha[SHA256_BYTES], uint32_t *number) {
    const uint32_t spare = slots_spare();
    const slot_info *const info = &slots[spare];
    *number = port_slot_at(spare)->plan_bytes;
    if (bytes == 0u || bytes > *number) {
        return bytes == 0u ? STATUS_MALFORMED : STATUS_TOO_LARGE;
    }
    const int same = info->bytes == bytes && bytes_equal(info->sha256, sha, SHA256_BYTES);
    const int usable = info->state == SLOT_PARTIAL || spare == slots_staged();
    message_status status;
    if (same && usable) {
        status = begin_again(spare);
    } else {
        transfer.slot = SLOT_NONE;
        status = begin_anew(spare, bytes, sha);
    }
    *number = transfer.next;
    return status;
}

message_status slots_write(uint32_t offset, const uint8_t *data, uint32_t count, uint32_t *number) {
    if (transfer.slot == SLOT_NONE) {
        return STATUS_NOT_READY;
    }
    *number = transfer.next;
    if (offset != transfer.next) {
        return STATUS_WRONG_OFFSET;
    }
    const uint32_t bytes = slots[transfer.slot].bytes;
    const uint32_t left = bytes - offset;
    if (count > left) {
        *number = bytes;
        return STATUS_TOO_LARGE;
    }
    if (count == 0u || (count % PORT_UNIT_BYTES != 0u && count != left)) {
        return STATUS_MALFORMED;
    }
    if (!flash_write(port_slot_at(transfer.slot)->plan + offset, data, count)) {
        slots_revoke(transfer.slot);
        return STATUS_FLASH_FAILED;
    }
    transfer.next += count;
    *number = transfer.next;
    return STATUS_OK;
}

message_status slots_check(uint32_t *slot) {
    *slot = transfer.slot;
    if (transfer.slot == SLOT_NONE || transfer.next != slots[transfer.slot].bytes) {
        return STATUS_NOT_READY;
    }
    if (!has_its_hash(transfer.slot)) {
        slots_revoke(*slot);
        return STATUS_BAD_HASH;
    }
    return STATUS_OK;
}

message_status slots_stage(void) {
    const uint32_t slot = transfer.slot;
    const uint32_t sequences[PORT_SLOTS] = {slots[0].sequence, slots[1].sequence};
    const uint32_t last = sequences[0] > sequences[1] ? sequences[0] : sequences[1];
    if (slots[slot].state == SLOT_VALID) {
        return STATUS_OK; /* it was staged before */
    }
    const int done = slot_write_valid(slot, last + 1u);
    reread(slot);
    return done ? STATUS_OK : STATUS_FLASH_FAILED;
}

int slots_revoke(uint32_t slot) {
    if (transfer.slot == slot) {
        transfer.slot = SLOT_NONE;
    }
    const int done = slot_write_revoked(slot);
    reread(slot);
    return done;
}

message_status slots_discard(void) {
    const uint32_t spare = slots_spare();
    if (slots[spare].state != SLOT_PARTIAL && spare != slots_staged()) {
        return STATUS_OK;
    }
    return slots_revoke(spare) ? STATUS_OK : STATUS_FLASH_FAILED;
}

message_status slots_commit(const uint8_t sha[SHA256_BYTES]) {
    const uint32_t staged = slots_staged();
    const uint32_t slot = staged == SLOT_NONE ? slots_active() : staged;
    if (slot == SLOT_NONE) {
        return STATUS_NOT_READY;
    }
    if (!bytes_equal(slots[slot].sha256, sha, SHA256_BYTES)) {
        return staged == SLOT_NONE ? STATUS_NOT_READY : STATUS_BAD_HASH;
    }
    if (transfer.slot == slot) {
        transfer.slot = SLOT_NONE;
    }
    const int done = slot_write_confirmed(slot);
    reread(slot);
    return done ? STATUS_OK : STATUS_FLASH_FAILED;
}

message_status slots_rollback(void) {
    if (slots_previous() == SLOT_NONE) {
        return STATUS_NOT_READY;
    }
    return slots_revoke(slots_active()) ? STATUS_OK : STATUS_FLASH_FAILED;
}

int slots_try(uint32_t slot) {
    if (slot != slots_staged() || slots[slot].ended) {
        return 1;
    }
    const int done = slot_write_tried(slot);
    reread(slot);
    return done;
}

int slots_tried_well(uint32_t slot) {
    if (slot != slots_staged() || slots[slot].ended) {
        return 1;
    }
    const int done = slot_write_ended(slot);
    reread(slot);
    return done;
}
