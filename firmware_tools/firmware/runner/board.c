#include "board.h"

#include "registers.h"

void board_start(void) {
    UART_DIVIDER = 217; /* 115200 baud of 25 MHz; an emulator does not care, a board would */
    UART_CONTROL = UART_TRANSMIT_ENABLE;
    TIMER_RELOAD = 0xFFFFFFFFu;
    TIMER_VALUE = 0xFFFFFFFFu;
    TIMER_CONTROL = 1;
}

static void write_byte(uint8_t byte) {
    while ((UART_STATE & UART_TRANSMIT_FULL) != 0u) {
    }
    UART_DATA = byte;
}

void board_write(const char *text) {
    for (; *text != '\0'; text++) {
        write_byte((uint8_t)*text);
    }
}

static void write_digit(uint32_t value) {
    write_byte((uint8_t)(value < 10u ? '0' + value : 'a' + value - 10u));
}

void board_write_hex(uint32_t value) {
    for (uint32_t bits = 32; bits > 0u; bits -= 4u) {
        write_digit((value >> (bits - 4u)) & 15u);
    }
}

void board_write_bytes(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        write_digit((uint32_t)bytes[i] >> 4);
        write_digit((uint32_t)bytes[i] & 15u);
    }
}

void board_stop(void) {
    SCB_AIRCR = SCB_AIRCR_RESET;
    for (;;) {
    }
}
