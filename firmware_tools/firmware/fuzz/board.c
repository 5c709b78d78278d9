/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "core.h"
#include "port.h"

_Alignas(8) uint8_t board_header[2][256];
_Alignas(8) uint8_t board_plan[2][BOARD_SLOT_BYTES];
uint8_t board_sent[4096];
uint32_t board_sent_bytes;
jmp_buf board_restart;
void (*board_before)(uint8_t *at, const uint8_t *after, uint32_t bytes);

static uint32_t kept[PORT_KEPT_WORDS];
static uint64_t ticks;
static const port_slot slots[PORT_SLOTS] = {{board_header[0], board_plan[0], BOARD_SLOT_BYTES},
                                            {board_header[1], board_plan[1], BOARD_SLOT_BYTES}};

void board_new(void) {
    memset(board_header, 0xFF, sizeof board_header);
    memset(board_plan, 0xFF, sizeof board_plan);
    board_power_on();
}

void board_power_on(void) {
    memset(kept, 0, sizeof kept);
    board_sent_bytes = 0;
    core_start();
}

void port_send(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        board_sent[board_sent_bytes++ % sizeof board_sent] = bytes[i];
    }
}

int port_receive(void) {
    return -1;
}

void port_wait(void) {
}

uint64_t port_ticks(void) {
    return ticks++;
}

const port_slot *port_slot_at(uint32_t slot) {
    return &slots[slot];
}

uint32_t port_page_bytes(const uint8_t *page) {
    return page == board_header[0] || page == board_header[1] ? sizeof board_header[0] : BOARD_PAGE_BYTES;
}

/* Aborts where the core leaves its flash or writes twice. */
static uint8_t *place(const uint8_t *at, uint32_t bytes) {
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        if (at >= board_header[i] && at + bytes <= board_header[i] + sizeof board_header[i]) {
            return board_header[i] + (at - board_header[i]);
        }
        if (at >= board_plan[i] && at + bytes <= board_plan[i] + BOARD_SLOT_BYTES) {
            return board_plan[i] + (at - board_plan[i]);
        }
    }
    abort();
}

int port_erase(const uint8_t *page) {
    const uint32_t bytes = port_page_bytes(page);
    uint8_t *const at = place(page, bytes);
    if (board_before) {
        board_before(at, 0, bytes);
    }
    memset(at, 0xFF, bytes);
    return 1;
}

int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]) {
    uint8_t *const at = place(to, PORT_UNIT_BYTES);
    if ((uintptr_t)at % PORT_UNIT_BYTES != 0u || !bytes_blank(at, PORT_UNIT_BYTES) ||
        bytes_blank(unit, PORT_UNIT_BYTES)) {
        abort();
    }
    if (board_before) {
        board_before(at, unit, PORT_UNIT_BYTES);
    }
    memcpy(at, unit, PORT_UNIT_BYTES);
    return 1;
}

uint32_t *port_kept(void) {
    return kept;
}

void port_reset(void) {
    longjmp(board_restart, 1);
}

void port_watchdog_start(uint64_t ticks) {
    (void)ticks;
}

void port_watchdog_kick(void) {
}

void port_watchdog_stop(void) {
}

int port_was_watchdog(void) {
    return 0;
}

void port_unique_id(uint8_t id[16]) {
    memset(id, 7, 16);
}

const char *port_board(void) {
    return "fuzzed";
}

const uint32_t *port_stack_low(void) {
    return kept;
}

const uint32_t *port_stack_high(void) {
    return kept;
}
