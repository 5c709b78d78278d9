/* SPDX-License-Identifier: Apache-2.0 */
#include "cuts.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"
#include "port.h"
#include "tear.h"

#define SEEN_PLACES (1u << 21)
#define MOST_SECONDS 60u /* between two operations of a board, its forks between them */
#define NO_PLACE 0xFFFFFFFFu
#define WRITES (1u << 28) /* beside a place: an erase there is another operation */
#define HEADER_PAGE_BYTES sizeof board_header[0]

jmp_buf cuts_power_on;

static struct {
    uint64_t cuts[CUTS_MOST], different[CUTS_MOST]; /* by how many came before */
    uint64_t operations[CUTS_MOST];
    uint32_t failed;
    uint64_t seen[SEEN_PLACES];
} *shared; /* among all processes */

static cuts_plan plan;
static power_cut path[CUTS_MOST];
static uint32_t depth, operation, running, state;
static int walked; /* from here on another board went the same way */
static uint64_t content; /* a hash of all flash */

/* The same in every run. */
static uint32_t place_of(const uint8_t *at) {
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        if (at >= board_header[i] && at < board_header[i] + HEADER_PAGE_BYTES) {
            return i << 30 | (uint32_t)(at - board_header[i]);
        }
        if (at >= board_plan[i] && at < board_plan[i] + BOARD_SLOT_BYTES) {
            return i << 30 | 1u << 29 | (uint32_t)(at - board_plan[i]);
        }
    }
    abort();
}

static uint64_t unit_hash(const uint8_t *unit, const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    value = (value ^ place_of(unit) * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 29) * 0x94D049BB133111EBu;
    return value ^ value >> 32;
}

/* Of all units, in any order: one of them that changes changes it by itself. */
static uint64_t content_of(const uint8_t *at, const uint8_t *values, uint32_t bytes) {
    uint64_t hash = 0;
    for (uint32_t i = 0; i < bytes; i += PORT_UNIT_BYTES) {
        hash ^= unit_hash(at + i, values + i);
    }
    return hash;
}

/* Whether nobody had this flash after so many cuts before. `next` tells a board that comes to
 * an operation from one that comes on with the same flash, by the operation's place. */
static int is_new(uint64_t hash, uint32_t next) {
    const uint64_t key = (hash ^ ((uint64_t)next << 16 | depth << 8 | state) * 0xD6E8FEB86659FD93u) | 1u;
    for (uint64_t at = key >> 16;; at++) {
        uint64_t *const place = &shared->seen[at % SEEN_PLACES];
        uint64_t there = 0;
        if (__atomic_compare_exchange_n(place, &there, key, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return 1;
        }
        if (there == key) {
            return 0;
        }
    }
}

static void print_path(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        fprintf(stderr, " --cut %u:%u", path[i].operation, path[i].style);
    }
    fprintf(stderr, "\n");
}

static void wait_for_one(void) {
    int status = 0;
    running--;
    if (wait(&status) >= 0 && status != 0) {
        shared->failed = 1;
    }
}

/* The flash's own rules abort; a board that hangs is alarmed. */
static void on_signal(int number) {
    cuts_violation(number == SIGALRM ? "a board went on for a minute without an end" : number == SIGABRT ? "aborted" : "crashed");
}

static void come_on(uint32_t style) {
    path[depth++] = (power_cut){operation, style};
    operation = running = 0;
    walked = 0;
    alarm(MOST_SECONDS);
    longjmp(cuts_power_on, 1);
}

static void fork_board(uint32_t style) {
    fflush(NULL);
    const pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(2);
    }
    if (child == 0) {
        come_on(style);
    }
    running++;
    alarm(0); /* it is the child's time */
    while (running >= (depth == 0u ? plan.jobs : 1u)) {
        wait_for_one();
    }
    if (shared->failed) {
        _exit(1);
    }
    alarm(MOST_SECONDS);
}

static void try_style(uint32_t style, uint8_t *at, const uint8_t *after, uint32_t bytes) {
    uint8_t before[BOARD_PAGE_BYTES];
    memcpy(before, at, bytes);
    tear(style, plan.seed ^ place_of(at), at, after, bytes);
    const uint64_t untorn = content;
    content ^= content_of(at, before, bytes) ^ content_of(at, at, bytes);
    if (is_new(content, NO_PLACE)) {
        __atomic_fetch_add(&shared->different[depth], 1, __ATOMIC_RELAXED);
        fork_board(style);
    }
    content = untorn;
    memcpy(at, before, bytes);
}

static void try_all(uint8_t *at, const uint8_t *after, uint32_t bytes, uint32_t numbered) {
    for (uint32_t style = 0; style < TEAR_STYLES; style++) {
        try_style(style, at, after, bytes);
    }
    for (uint32_t n = 0; n < numbered; n++) {
        try_style(TEAR_ONLY + n, at, after, bytes);
        try_style(TEAR_ALL_BUT + n, at, after, bytes);
    }
}

static void before_operation(uint8_t *at, const uint8_t *after, uint32_t bytes) {
    operation++;
    if (plan.only_count > 0u) {
        if (depth < plan.only_count && plan.only[depth].operation == operation) {
            tear(plan.only[depth].style, plan.seed ^ place_of(at), at, after, bytes);
            come_on(plan.only[depth].style);
        }
        return;
    }
    if (depth == plan.depth) {
        return;
    }
    /* a header has few units, each with a meaning of its own */
    const uint32_t numbered = !after && bytes == HEADER_PAGE_BYTES ? TEAR_NUMBERED : 0u;
    __atomic_fetch_add(&shared->operations[depth], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared->cuts[depth], TEAR_STYLES + 2u * numbered, __ATOMIC_RELAXED);
    walked = walked || !is_new(content, place_of(at) | (after ? WRITES : 0u));
    if (walked) {
        return;
    }
    try_all(at, after, bytes, numbered);
    uint8_t done[BOARD_PAGE_BYTES];
    memset(done, 0xFF, bytes);
    if (after) {
        memcpy(done, after, bytes);
    }
    content ^= content_of(at, at, bytes) ^ content_of(at, done, bytes);
}

void cuts_begin(const cuts_plan *how) {
    plan = *how;
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    for (uint32_t i = 0; i < PORT_SLOTS; i++) {
        content ^= content_of(board_header[i], board_header[i], sizeof board_header[i]);
        content ^= content_of(board_plan[i], board_plan[i], sizeof board_plan[i]);
    }
    const int signals[] = {SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        signal(signals[i], on_signal);
    }
    board_before = before_operation;
}

void cuts_state(uint32_t now) {
    state = now;
}

void cuts_end(void) {
    board_before = 0;
}

uint32_t cuts_depth(void) {
    return depth;
}

void cuts_violation(const char *what) {
    fprintf(stderr, "VIOLATION: %s:", what);
    print_path(depth);
    _exit(1);
}

void cuts_finish(const char *name) {
    while (running > 0u) {
        wait_for_one();
    }
    if (depth == 0u && !shared->failed) {
        printf("%s", name);
        for (uint32_t i = 0; i < plan.depth; i++) {
            printf(" %llu %llu %llu", (unsigned long long)shared->operations[i], (unsigned long long)shared->cuts[i],
                   (unsigned long long)shared->different[i]);
        }
        printf("\n");
        fflush(stdout);
    }
    _exit(shared->failed != 0u);
}
