/* SPDX-License-Identifier: Apache-2.0 */
/* The core as a program: the line is stdin and stdout, the flash a file, a reset a jump back to the start.
 *
 * host-board FLASH [--option number]..
 *     --power-cut-after N    end in the Nth write or erase of flash with exit status 77,
 *     --tear STYLE           of which this is done: host/tear.h's number (2, the first half)
 *     --hang-operator K      hang, or
 *     --fault-operator K     fault, when an inference comes to operator K
 *     --times N              how often it does (1)
 *     --watchdog-ms N        (2000) */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "flash.h"
#include "port.h"
#include "tear.h"

#define NEVER 0xFFFFFFFEu /* the kick before the first operator is number 0xFFFFFFFF */

static uint32_t power_cut_after, hang_operator = NEVER, fault_operator = NEVER, times_left = 1;
static uint32_t watchdog_ms = 2000, tear_style = TEAR_FRONT;
static uint32_t kicks; /* of this inference: one at every operator, if it has a hook */
static sigjmp_buf power_on;
static uint32_t kept[PORT_KEPT_WORDS];

int port_receive(void) {
    static uint8_t bytes[4096];
    static ssize_t count, next;
    if (next >= count) {
        struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&line, 1, 0) <= 0) {
            return -1;
        }
        count = read(STDIN_FILENO, bytes, sizeof bytes);
        next = 0;
        if (count <= 0) {
            exit(0); /* the host hung up */
        }
    }
    return bytes[next++];
}

void port_send(const uint8_t *bytes, uint32_t count) {
    while (count > 0u) {
        const ssize_t done = write(STDOUT_FILENO, bytes, count);
        if (done <= 0) {
            exit(0);
        }
        bytes += done;
        count -= (uint32_t)done;
    }
}

void port_wait(void) {
    struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
    (void)poll(&line, 1, -1);
}

uint64_t port_ticks(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * PORT_TICKS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint32_t *port_kept(void) {
    return kept;
}

void port_reset(void) {
    siglongjmp(power_on, 1);
}

static void set_timer(uint32_t ms) {
    const struct itimerval after = {.it_value = {.tv_sec = ms / 1000u, .tv_usec = (suseconds_t)(ms % 1000u) * 1000}};
    setitimer(ITIMER_REAL, &after, 0);
}

void port_watchdog_start(uint64_t ticks) {
    (void)ticks;
    kicks = 0;
    set_timer(watchdog_ms);
}

void port_watchdog_kick(void) {
    set_timer(watchdog_ms);
    const uint32_t operator_index = kicks++;
    if (times_left > 0u && operator_index == hang_operator) {
        times_left--;
        for (;;) {
            pause();
        }
    }
    if (times_left > 0u && operator_index == fault_operator) {
        times_left--;
        raise(SIGSEGV);
    }
}

void port_watchdog_stop(void) {
    set_timer(0);
}

int port_was_watchdog(void) {
    return 0;
}

void port_unique_id(uint8_t id[16]) {
    memcpy(id, "edgenas host 001", 16);
}

const char *port_board(void) {
    return "host";
}

static uint32_t no_stack; /* an operating system's is not painted: 0 bytes */

const uint32_t *port_stack_low(void) {
    return &no_stack;
}

const uint32_t *port_stack_high(void) {
    return &no_stack;
}

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    set_timer(0);
    if (number == SIGALRM) {
        core_fault(CORE_WATCHDOG, 0, 0, 0, 0);
    } else {
        core_fault(CORE_HARD_FAULT, 0, 0, 0, (uint32_t)(uintptr_t)info->si_addr);
    }
    port_reset();
}

static int read_options(int count, char **words) {
    static const struct {
        const char *name;
        uint32_t *value;
    } options[] = {
        {"--power-cut-after", &power_cut_after}, {"--hang-operator", &hang_operator},
        {"--fault-operator", &fault_operator},   {"--times", &times_left},
        {"--watchdog-ms", &watchdog_ms},         {"--tear", &tear_style},
    };
    for (int i = 2; i + 1 < count; i += 2) {
        uint32_t *value = 0;
        for (size_t at = 0; at < sizeof options / sizeof options[0]; at++) {
            value = strcmp(words[i], options[at].name) == 0 ? options[at].value : value;
        }
        if (!value) {
            return 0;
        }
        *value = (uint32_t)strtoul(words[i + 1], 0, 10);
    }
    return count >= 2 && count % 2 == 0;
}

int main(int count, char **words) {
    if (!read_options(count, words)) {
        fprintf(stderr, "usage: host-board FLASH [--power-cut-after N] [--tear STYLE] "
                        "[--hang-operator K | --fault-operator K] [--times N] [--watchdog-ms N]\n");
        return 2;
    }
    if (!flash_open(words[1], power_cut_after, tear_style)) {
        return 2;
    }
    const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, 0);
    }
    sigsetjmp(power_on, 1);
    core_run();
}
