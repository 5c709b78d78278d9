/* SPDX-License-Identifier: Apache-2.0 */
#include "header.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "port.h"

#define BEGUN_MAGIC 0x42534745u /* "EGSB" */
#define VALID_MAGIC 0x56534745u /* "EGSV" */
#define BEGUN_BYTES 48u
#define VALID_AT 48u
#define VALID_BYTES 16u
#define CONFIRMED_AT 64u
#define REVOKED_AT 72u
#define TRIED_AT 80u
#define ENDED_AT 112u
#define HEADER_BYTES 120u

_Static_assert(VALID_AT + VALID_BYTES == CONFIRMED_AT, "VALID");
_Static_assert(TRIED_AT + SLOT_TRIES * PORT_UNIT_BYTES == ENDED_AT, "TRIED");

static const uint8_t mark[PORT_UNIT_BYTES];

static int is_marked(const uint8_t *at) {
    return !bytes_blank(at, PORT_UNIT_BYTES);
}

static int is_begun(const uint8_t *header, uint32_t most) {
    const uint32_t bytes = get_u32(header + 4);
    return get_u32(header) == BEGUN_MAGIC && get_u32(header + 40) == en_crc32(header, 40) && bytes > 0u && bytes <= most;
}

static int is_valid(const uint8_t *header) {
    const uint8_t *const valid = header + VALID_AT;
    return get_u32(valid) == VALID_MAGIC && get_u32(valid + 8) == en_crc32(valid, 8);
}

slot_info slot_read(uint32_t slot) {
    const port_slot *const place = port_slot_at(slot);
    const uint8_t *const header = place->header;
    slot_info info = {.state = SLOT_EMPTY};
    if (!is_begun(header, place->plan_bytes)) {
        info.state = bytes_blank(header, HEADER_BYTES) ? SLOT_EMPTY : SLOT_DAMAGED;
        return info;
    }
    info.bytes = get_u32(header + 4);
    memcpy(info.sha256, header + 8, SHA256_BYTES);
    info.confirmed = (uint8_t)is_marked(header + CONFIRMED_AT);
    info.revoked = (uint8_t)is_marked(header + REVOKED_AT);
    info.ended = (uint8_t)is_marked(header + ENDED_AT);
    while (info.tried < SLOT_TRIES && is_marked(header + TRIED_AT + PORT_UNIT_BYTES * info.tried)) {
        info.tried++;
    }
    if (is_valid(header)) {
        info.sequence = get_u32(header + VALID_AT + 4);
        info.state = info.revoked ? SLOT_EMPTY : SLOT_VALID;
    } else if (bytes_blank(header + BEGUN_BYTES, HEADER_BYTES - BEGUN_BYTES)) {
        info.state = SLOT_PARTIAL;
    } else {
        info.state = info.revoked ? SLOT_EMPTY : SLOT_DAMAGED;
    }
    return info;
}

int flash_write(const uint8_t *to, const uint8_t *bytes, uint32_t count) {
    for (uint32_t at = 0; at < count; at += PORT_UNIT_BYTES) {
        uint8_t unit[PORT_UNIT_BYTES];
        const uint32_t left = count - at;
        memset(unit, 0xFF, sizeof unit);
        memcpy(unit, bytes + at, left < PORT_UNIT_BYTES ? left : PORT_UNIT_BYTES);
        /* what is blank already needs no write, so that a transfer that goes on later cannot write it twice */
        if (!bytes_blank(unit, PORT_UNIT_BYTES) && !port_write(to + at, unit)) {
            return 0;
        }
        if (!bytes_equal(to + at, unit, PORT_UNIT_BYTES)) {
            return 0;
        }
    }
    return 1;
}

/* A mark that is there, even half of one, is not written again. */
static int write_mark(uint32_t slot, uint32_t at) {
    const uint8_t *const to = port_slot_at(slot)->header + at;
    return is_marked(to) || flash_write(to, mark, sizeof mark);
}

int slot_write_begun(uint32_t slot, uint32_t bytes, const uint8_t sha[SHA256_BYTES]) {
    uint8_t begun[BEGUN_BYTES] = {0};
    put_u32(begun, BEGUN_MAGIC);
    put_u32(begun + 4, bytes);
    memcpy(begun + 8, sha, SHA256_BYTES);
    put_u32(begun + 40, en_crc32(begun, 40));
    return flash_write(port_slot_at(slot)->header, begun, sizeof begun);
}

int slot_write_valid(uint32_t slot, uint32_t sequence) {
    uint8_t valid[VALID_BYTES] = {0};
    put_u32(valid, VALID_MAGIC);
    put_u32(valid + 4, sequence);
    put_u32(valid + 8, en_crc32(valid, 8));
    return flash_write(port_slot_at(slot)->header + VALID_AT, valid, sizeof valid);
}

int slot_write_confirmed(uint32_t slot) {
    return write_mark(slot, CONFIRMED_AT);
}

int slot_write_revoked(uint32_t slot) {
    return write_mark(slot, REVOKED_AT);
}

int slot_write_tried(uint32_t slot) {
    const uint32_t tried = slot_read(slot).tried;
    return tried >= SLOT_TRIES || write_mark(slot, TRIED_AT + PORT_UNIT_BYTES * tried);
}

int slot_write_ended(uint32_t slot) {
    return write_mark(slot, ENDED_AT);
}
