/* SPDX-License-Identifier: Apache-2.0 */
/* The slots: bank 2 of the flash, 256 pages of 4 KB. The firmware runs in bank 1 and goes on while bank 2 is erased or
 * written, so that nothing here has to be in RAM. That, the page size and the units of 64 bits hold with the option bit
 * DBANK as it leaves the factory; without it every erase and write fails. RM0432: embedded flash memory. */
#include "bytes.h"
#include "port.h"
#include "registers.h"

#define BANK_2 0x08100000u
#define PAGE_BYTES 4096u
#define SLOT_BYTES (512u << 10)

#define SLOT(address) {(const uint8_t *)(address), (const uint8_t *)(address) + PAGE_BYTES, SLOT_BYTES - PAGE_BYTES}
static const port_slot slots[PORT_SLOTS] = {SLOT(BANK_2), SLOT(BANK_2 + SLOT_BYTES)};

const port_slot *port_slot_at(uint32_t slot) {
    return &slots[slot];
}

uint32_t port_page_bytes(const uint8_t *page) {
    (void)page;
    return PAGE_BYTES;
}

/* The data cache is off meanwhile: it may go wrong when one bank is read while the other is written (errata sheet ES0393,
 * 2.2.2), and it would keep what was there before. */
static void begin(void) {
    while ((FLASH_SR & FLASH_SR_BUSY) != 0u) {
    }
    FLASH_ACR &= ~FLASH_ACR_DATA_CACHE;
    FLASH_SR = FLASH_SR_DONE | FLASH_SR_ERRORS; /* of the last time: a 1 clears */
    FLASH_KEYR = FLASH_KEY_1;
    FLASH_KEYR = FLASH_KEY_2;
}

static int end(void) {
    while ((FLASH_SR & FLASH_SR_BUSY) != 0u) {
    }
    const int done = (FLASH_SR & FLASH_SR_ERRORS) == 0u;
    FLASH_CR = FLASH_CR_LOCK;
    FLASH_ACR |= FLASH_ACR_DATA_CACHE_RESET;
    FLASH_ACR &= ~FLASH_ACR_DATA_CACHE_RESET;
    FLASH_ACR |= FLASH_ACR_DATA_CACHE;
    return done;
}

int port_erase(const uint8_t *page) {
    const uint32_t number = ((uint32_t)(uintptr_t)page - BANK_2) / PAGE_BYTES;
    if ((FLASH_OPTR & FLASH_OPTR_TWO_BANKS) == 0u) {
        return 0;
    }
    begin();
    FLASH_CR = FLASH_CR_ERASE_PAGE | FLASH_CR_BANK_2 | FLASH_CR_PAGE(number);
    FLASH_CR |= FLASH_CR_START;
    return end();
}

int port_write(const uint8_t *to, const uint8_t unit[PORT_UNIT_BYTES]) {
    volatile uint32_t *const words = (volatile uint32_t *)(uintptr_t)to;
    if ((FLASH_OPTR & FLASH_OPTR_TWO_BANKS) == 0u || !bytes_blank(to, PORT_UNIT_BYTES)) {
        return 0;
    }
    begin();
    FLASH_CR = FLASH_CR_PROGRAM;
    words[0] = get_u32(unit); /* 64 bits in two words, the lower one first: the second one starts it */
    words[1] = get_u32(unit + 4);
    return end();
}

/* A power cut may leave a unit with a wrong ECC: reading it is an NMI. That must not stop the firmware: what is there is no
 * valid header or hash, or lies in the last page with data, which is erased before a transfer goes on. */
__attribute__((used)) static void note_nmi(const uint32_t *frame) {
    const uint32_t seen = FLASH_ECCR;
    FLASH_ECCR = seen; /* a 1 clears */
    if ((seen & FLASH_ECCR_TWO_BITS_WRONG) == 0u || (seen & FLASH_ECCR_IN_BANK_2) == 0u) {
        cortex_m_fault(frame);
    }
}

__attribute__((naked)) void cortex_m_nmi(void) {
    __asm__("mrs r0, msp\n"
            "b note_nmi\n"); /* it returns from the exception: LR still says how */
}
