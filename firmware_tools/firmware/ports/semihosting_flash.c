/* SPDX-License-Identifier: Apache-2.0 */
#include "semihosting_flash.h"

#include "bytes.h"
#include "port.h"

#define FLASH_BYTES (PORT_SLOTS * FLASH_SLOT_BYTES)

/* Of Arm's semihosting specification, version 2. */
#define SYS_OPEN 0x01u
#define SYS_WRITE 0x05u
#define SYS_READ 0x06u
#define SYS_SEEK 0x0Au
#define READ_AND_WRITE 3u /* fopen's "r+b" */

#define SLOT(start) {(const uint8_t *)(start), (const uint8_t *)(start) + FLASH_PAGE_BYTES, FLASH_SLOT_BYTES - FLASH_PAGE_BYTES}

static const port_slot slots[PORT_SLOTS] = {SLOT(FLASH_ADDRESS), SLOT(FLASH_ADDRESS + FLASH_SLOT_BYTES)};
static uint32_t file;

static uint32_t ask(uint32_t operation, uint32_t first, uint32_t second, uint32_t third) {
    const uint32_t parameters[3] = {first, second, third};
    register uint32_t r0 __asm__("r0") = operation;
    register const uint32_t *r1 __asm__("r1") = parameters;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Both answer how many bytes they did not transfer. */
static int transfer(uint32_t operation, uint32_t offset, const uint8_t *bytes, uint32_t count) {
    return ask(SYS_SEEK, file, offset, 0) == 0u && ask(operation, file, (uint32_t)(uintptr_t)bytes, count) == 0u;
}

static int replace(const uint8_t *to, const uint8_t *bytes, uint32_t count) {
    const uint32_t offset = (uint32_t)(uintptr_t)to - FLASH_ADDRESS;
    return transfer(SYS_WRITE, offset, bytes, count) && transfer(SYS_READ, offset, to, count);
}

void semihosting_flash_start(void) {
    static const char name[] = "flash.bin";
    file = ask(SYS_OPEN, (uint32_t)(uintptr_t)name, READ_AND_WRITE, sizeof name - 1u);
    (void)transfer(SYS_READ, 0, (const uint8_t *)FLASH_ADDRESS, FLASH_BYTES);
}

const port_slot *port_slot_at(uint32_t slot) {
    return &slots[slot];
}

uint32_t port_page_bytes(const uint8_t *page) {
    (void)page;
    return FLASH_PAGE_BYTES;
}

int port_erase(const uint8_t *page) {
    static const uint8_t erased[FLASH_PAGE_BYTES] = {[0 ... FLASH_PAGE_BYTES - 1u] = 0xFF};
    return replace(page, erased, sizeof erased);
}

int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]) {
    return bytes_blank(to, PORT_UNIT_BYTES) && replace(to, unit, PORT_UNIT_BYTES);
}
