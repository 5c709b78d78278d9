/* SPDX-License-Identifier: Apache-2.0 */
/* A host and a board whose power goes at every flash operation, and again at every one of the recovery: the model that was
 * active answers with its outputs, and a new one installs, commits and answers.
 *
 * power-cut FOLDER SCENARIO [--option number].. [--cut OPERATION:STYLE]..
 *     FOLDER holds the plans old, new and other, with inputs and outputs of at most 1 KiB
 *     --depth N   how many cuts one after the other (2)
 *     --jobs N    processes at once (2)
 *     --seed N    of what tears by chance (0)
 *     --cut K:S   instead of every cut this one, and the next --cut in the recovery after it
 *
 * Prints, for each depth: operations, cuts at them, how many left flash that had not been seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffers.h"
#include "bytes.h"
#include "core.h"
#include "cuts.h"
#include "board.h"
#include "fault.h"
#include "messages.h"
#include "session.h"
#include "sha256.h"
#include "slots.h"

#define PIECE_BYTES 1024u
#define INPUT_BYTES 1024u

enum { OLD, NEW, OTHER, PLANS };
enum { MAY_BE_NONE = 1u << PLANS };

static struct {
    uint8_t bytes[BOARD_SLOT_BYTES];
    uint32_t count;
    uint8_t sha[SHA256_BYTES];
    uint8_t output[INPUT_BYTES];
    uint32_t output_bytes;
} plans[PLANS];

static uint32_t allowed; /* which plans may be active, a bit for each */

static const uint8_t *body(void) {
    return buffers.out.bytes + FRAME_HEAD_BYTES + 1u;
}

static message_status tell(message_kind kind, const uint8_t *payload, uint32_t count) {
    static uint8_t sequence;
    static frame in;
    in.used = FRAME_HEAD_BYTES + count;
    in.bytes[0] = (uint8_t)kind;
    in.bytes[1] = sequence++;
    memcpy(in.bytes + FRAME_HEAD_BYTES, payload, count);
    session_answer(&in);
    return (message_status)buffers.out.bytes[FRAME_HEAD_BYTES];
}

static void must(int good, const char *what) {
    if (!good) {
        cuts_violation(what);
    }
}

/* SELECT, INPUT, RUN, OUTPUT; the output's bytes. */
static uint32_t infer(uint8_t which, uint8_t output[INPUT_BYTES]) {
    uint8_t payload[4u + INPUT_BYTES] = {which};
    must(tell(MESSAGE_SELECT, payload, 1) == STATUS_OK, "SELECT is refused");
    const uint32_t input_bytes = get_u32(body());
    const uint32_t output_bytes = get_u32(body() + 4);
    put_u32(payload, 0);
    for (uint32_t i = 0; i < input_bytes; i++) {
        payload[4u + i] = (uint8_t)i;
    }
    must(tell(MESSAGE_INPUT, payload, 4u + input_bytes) == STATUS_OK, "INPUT is refused");
    must(tell(MESSAGE_RUN, (const uint8_t[]){1, 0}, 2) == STATUS_OK, "RUN is refused");
    put_u32(payload, 0);
    payload[4] = (uint8_t)output_bytes;
    payload[5] = (uint8_t)(output_bytes >> 8);
    must(tell(MESSAGE_OUTPUT, payload, 6) == STATUS_OK, "OUTPUT is refused");
    memcpy(output, body(), output_bytes);
    return output_bytes;
}

static void must_answer(uint8_t which, uint32_t plan, const char *what) {
    uint8_t output[INPUT_BYTES];
    const uint32_t bytes = infer(which, output);
    must(bytes == plans[plan].output_bytes && memcmp(output, plans[plan].output, bytes) == 0, what);
}

static uint32_t active_plan(void) {
    must(tell(MESSAGE_STATUS, 0, 0) == STATUS_OK, "STATUS is refused");
    const uint32_t slot = body()[0];
    for (uint32_t plan = 0; plan < PLANS && slot != SLOT_NONE; plan++) {
        if (bytes_equal(body() + 20 + 37u * slot + 5u, plans[plan].sha, SHA256_BYTES)) {
            return plan;
        }
    }
    must(slot == SLOT_NONE, "a model is active that nobody sent");
    return PLANS;
}

static void check_active(void) {
    const uint32_t plan = active_plan();
    must((allowed & 1u << plan) != 0u, plan == PLANS ? "no model is active" : "another model is active");
    if (plan < PLANS) {
        must_answer(0, plan, "the active model answers something else");
    }
}

static uint32_t begin(uint32_t plan) {
    uint8_t payload[4u + SHA256_BYTES];
    put_u32(payload, plans[plan].count);
    memcpy(payload + 4, plans[plan].sha, SHA256_BYTES);
    must(tell(MESSAGE_BEGIN, payload, sizeof payload) == STATUS_OK, "BEGIN is refused");
    return get_u32(body());
}

static void transfer(uint32_t plan, uint32_t until) {
    uint8_t payload[4u + PIECE_BYTES];
    for (uint32_t at = begin(plan); at < until; at = get_u32(body())) {
        const uint32_t left = plans[plan].count - at;
        const uint32_t count = left < PIECE_BYTES ? left : PIECE_BYTES;
        put_u32(payload, at);
        memcpy(payload + 4, plans[plan].bytes + at, count);
        must(tell(MESSAGE_WRITE, payload, 4u + count) == STATUS_OK, "WRITE is refused");
        must(get_u32(body()) == at + count, "WRITE is answered with another offset");
    }
}

static void stage(uint32_t plan) {
    transfer(plan, plans[plan].count);
    must(tell(MESSAGE_VERIFY, 0, 0) == STATUS_OK, "VERIFY is refused");
}

static void install(uint32_t plan) {
    stage(plan);
    must_answer(1, plan, "the staged model answers something else");
    allowed |= 1u << plan;
    cuts_state(allowed);
    must(tell(MESSAGE_COMMIT, plans[plan].sha, SHA256_BYTES) == STATUS_OK, "COMMIT is refused");
}

static void install_new(void) {
    install(NEW);
}

static void discard(void) {
    must(tell(MESSAGE_DISCARD, 0, 0) == STATUS_OK, "DISCARD is refused");
}

static void roll_back(void) {
    const message_status status = tell(MESSAGE_ROLLBACK, 0, 0);
    must(status == STATUS_OK || status == STATUS_NOT_READY, "ROLLBACK fails"); /* NOT_READY: it was done already */
    must(active_plan() == OLD, "ROLLBACK does not bring the old model back");
}

static void other_previous(void) {
    install(OTHER);
    install(OLD);
}

static void other_staged(void) {
    install(OLD);
    stage(OTHER);
}

static void other_partial(void) {
    install(OLD);
    transfer(OTHER, plans[OTHER].count / 2u);
}

static void other_rolled_back(void) {
    install(OLD);
    install(OTHER);
    roll_back();
}

static void new_partial(void) {
    install(OLD);
    transfer(NEW, plans[NEW].count / 2u);
    board_power_on();
}

static void new_active(void) {
    install(OLD);
    install(NEW);
}

static void new_rolled_back(void) {
    new_active();
    roll_back();
}

static void install_other(void) {
    install(OTHER);
}

static void other_tried(void) {
    other_staged();
    for (uint32_t i = 0; i < SLOT_TRIES; i++) {
        must(slots_try(slots_staged()), "TRIED cannot be written");
    }
}

static void other_faulted(void) {
    other_staged();
    fault_running(slots_staged());
    core_fault(CORE_HARD_FAULT, 0, 0, 0, 0);
}

static void nothing(void) {
}

/* `act` is what the power is cut in; after a cut the host says `recover` and then installs the new model. */
static const struct scenario {
    const char *name;
    void (*prepare)(void);
    void (*act)(void);
    void (*recover)(void);
    uint32_t allowed;
} scenarios[] = {
    {"first", nothing, install_new, nothing, MAY_BE_NONE},
    {"install", other_previous, install_new, nothing, 1u << OLD},
    {"over-staged", other_staged, install_new, nothing, 1u << OLD},
    {"over-partial", other_partial, install_new, nothing, 1u << OLD},
    {"over-rolled-back", other_rolled_back, install_new, nothing, 1u << OLD},
    {"resume", new_partial, install_new, nothing, 1u << OLD},
    {"again", new_rolled_back, install_new, nothing, 1u << OLD},
    {"resume-after-other", new_partial, install_other, nothing, 1u << OLD},
    {"discard-staged", other_staged, discard, discard, 1u << OLD},
    {"discard-partial", other_partial, discard, discard, 1u << OLD},
    {"rollback", new_active, roll_back, roll_back, 1u << OLD | 1u << NEW},
    {"revert-tried", other_tried, board_power_on, nothing, 1u << OLD},
    {"revert-fault", other_faulted, core_start, nothing, 1u << OLD},
};

static int read_plan(const char *folder, const char *name, uint32_t plan) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 0;
    }
    plans[plan].count = (uint32_t)fread(plans[plan].bytes, 1, BOARD_SLOT_BYTES, file);
    fclose(file);
    sha256(plans[plan].bytes, plans[plan].count, plans[plan].sha);
    board_new();
    stage(plan);
    plans[plan].output_bytes = infer(1, plans[plan].output);
    return 1;
}

static int read_options(int count, char **words, cuts_plan *plan) {
    for (int i = 3; i + 1 < count; i += 2) {
        const char *const value = words[i + 1];
        power_cut *const only = &plan->only[plan->only_count % CUTS_MOST];
        if (strcmp(words[i], "--depth") == 0) {
            plan->depth = (uint32_t)strtoul(value, 0, 10);
        } else if (strcmp(words[i], "--jobs") == 0) {
            plan->jobs = (uint32_t)strtoul(value, 0, 10);
        } else if (strcmp(words[i], "--seed") == 0) {
            plan->seed = (uint32_t)strtoul(value, 0, 10);
        } else if (strcmp(words[i], "--cut") == 0 && sscanf(value, "%u:%u", &only->operation, &only->style) == 2) {
            plan->only_count++;
        } else {
            return 0;
        }
    }
    return count % 2 == 1 && plan->depth <= CUTS_MOST && plan->only_count <= CUTS_MOST;
}

static void live(const struct scenario *scenario, const cuts_plan *plan) {
    board_new();
    scenario->prepare();
    allowed = scenario->allowed;
    cuts_begin(plan);
    if (setjmp(cuts_power_on) == 0) {
        scenario->act();
    } else {
        board_power_on();
        check_active();
        scenario->recover();
    }
    check_active();
    if (cuts_depth() == 0u) {
        cuts_end(); /* what follows belongs to no recovery */
    }
    install_new();
    allowed = 1u << NEW;
    check_active();
    cuts_finish(scenario->name);
}

int main(int count, char **words) {
    static const char *const names[PLANS] = {"old", "new", "other"};
    cuts_plan plan = {.depth = 2, .jobs = 2};
    const struct scenario *scenario = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0] && count > 2; i++) {
        scenario = strcmp(words[2], scenarios[i].name) == 0 ? &scenarios[i] : scenario;
    }
    if (!scenario || !read_options(count, words, &plan)) {
        fprintf(stderr, "usage: power-cut FOLDER SCENARIO [--depth N] [--jobs N] [--seed N] [--cut K:S]..; scenarios:");
        for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
            fprintf(stderr, " %s", scenarios[i].name);
        }
        fprintf(stderr, "\n");
        return 2;
    }
    for (uint32_t i = 0; i < PLANS; i++) {
        if (!read_plan(words[1], names[i], i)) {
            return 2;
        }
    }
    live(scenario, &plan);
}
