/* SPDX-License-Identifier: Apache-2.0 */
/* Two slots of 1 MiB behind each other, each a header page and the plan's. What real flash refuses is a bug of the core
 * here: the process aborts. */
#include "flash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
#include "port.h"
#include "tear.h"

#define PAGE_BYTES 4096u
#define SLOT_BYTES (1u << 20)
#define FLASH_BYTES (PORT_SLOTS * SLOT_BYTES)

static uint8_t *flash;
static port_slot slots[PORT_SLOTS];
static uint32_t operations_left; /* 0: for ever */
static uint32_t tear_style;

static int fill_new(int file) {
    static uint8_t blank[FLASH_BYTES];
    memset(blank, 0xFF, sizeof blank);
    return lseek(file, 0, SEEK_END) != 0 || write(file, blank, sizeof blank) == (ssize_t)sizeof blank;
}

int flash_open(const char *path, uint32_t cut_after, uint32_t style) {
    const int file = open(path, O_RDWR | O_CREAT, 0644);
    if (file < 0 || !fill_new(file) || lseek(file, 0, SEEK_END) < (off_t)FLASH_BYTES) {
        fprintf(stderr, "%s cannot be opened, or has fewer than %u bytes\n", path, FLASH_BYTES);
        return 0;
    }
    flash = mmap(0, FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (flash == MAP_FAILED) {
        perror(path);
        return 0;
    }
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        const uint8_t *const start = flash + i * SLOT_BYTES;
        slots[i] = (port_slot){start, start + PAGE_BYTES, SLOT_BYTES - PAGE_BYTES};
    }
    operations_left = cut_after;
    tear_style = style;
    return 1;
}

const port_slot *port_slot_at(uint32_t slot) {
    return &slots[slot];
}

uint32_t port_page_bytes(const uint8_t *page) {
    (void)page;
    return PAGE_BYTES;
}

static uint8_t *place(const uint8_t *at, uint32_t bytes, const char *what) {
    const uint64_t offset = (uint64_t)(at - flash);
    if (at < flash || offset % bytes != 0u || offset >= FLASH_BYTES) {
        fprintf(stderr, "%s outside the flash or not aligned: offset %llu\n", what, (unsigned long long)offset);
        abort();
    }
    return flash + offset;
}

/* Before the `bytes` at `at` become those at `after`, or erased if that is 0. */
static void spend_power(uint8_t *at, const uint8_t *after, uint32_t bytes) {
    if (operations_left == 1u) {
        tear(tear_style, (uint32_t)(at - flash), at, after, bytes);
        _exit(FLASH_POWER_CUT);
    }
    operations_left -= operations_left > 0u;
}

int port_erase(const uint8_t *page) {
    uint8_t *const at = place(page, PAGE_BYTES, "erase");
    spend_power(at, 0, PAGE_BYTES);
    memset(at, 0xFF, PAGE_BYTES);
    return 1;
}

int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]) {
    uint8_t *const at = place(to, PORT_UNIT_BYTES, "write");
    if (!bytes_blank(at, PORT_UNIT_BYTES) || bytes_blank(unit, PORT_UNIT_BYTES)) {
        fprintf(stderr, "unit at %llu written twice, or with nothing\n", (unsigned long long)(at - flash));
        abort();
    }
    spend_power(at, unit, PORT_UNIT_BYTES);
    memcpy(at, unit, PORT_UNIT_BYTES);
    return 1;
}
