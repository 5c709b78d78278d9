/* SPDX-License-Identifier: Apache-2.0 */
/* Another program over port.h, in place of core/: loads the plan of the host's job, runs it over every input, and reports
 * by the line. firmware_tools/mcu/emulator.py writes the job and reads the report; both have to change together.
 *
 * The job lies where slot 0 begins. Nothing is sent while instructions are counted. A line is a word and numbers in
 * hexadecimal; those of time are of port_ticks:
 *
 *     status S K            en_load's answer, the operator that it refused
 *     arena N               what the plan needs, bytes
 *     run T                 of en_run without hook, for every input
 *     output ..             the output's bytes, for every input
 *     hooked T              of en_run with hook, first input
 *     operators T0 .. Tn    at every call of the hook
 *     stack N               of en_run, bytes
 *     end
 *
 * or, where a fault or the watchdog came, `fault KIND PC` and then end. */
#include <string.h>

#include "core.h"
#include "count.h"
#include "engine.h"
#include "port.h"

#define JOB_MAGIC 0x424F4A45u /* "EJOB" */
#define MAX_OPERATORS 1024u
#define ARENA_PAINT 0xA5

typedef struct {
    uint32_t magic;
    uint32_t plan, plan_bytes; /* offsets count from the job's first byte */
    uint32_t inputs, input_count, input_bytes;
} job_header;

static _Alignas(8) uint8_t arena[PORT_ARENA_BYTES];
static uint64_t operator_ticks[MAX_OPERATORS + 1u];

static void store_ticks(void *context, uint32_t index, uint32_t op_count) {
    uint64_t *const ticks = context;
    (void)op_count;
    ticks[index] = port_ticks();
}

static void write_text(const char *text) {
    for (; *text != '\0'; text++) {
        port_send((const uint8_t *)text, 1);
    }
}

static void write_digits(uint64_t value, uint32_t digits) {
    while (digits-- > 0u) {
        const uint32_t digit = (uint32_t)(value >> (4u * digits)) & 15u;
        const uint8_t byte = (uint8_t)(digit < 10u ? '0' + digit : 'a' + digit - 10u);
        port_send(&byte, 1);
    }
}

static void write_numbers(const char *name, const uint64_t *values, uint32_t number) {
    write_text(name);
    for (uint32_t i = 0; i < number; i++) {
        write_text(" ");
        write_digits(values[i], 16);
    }
    write_text("\n");
}

static void write_number(const char *name, uint64_t value) {
    write_numbers(name, &value, 1);
}

static void write_output(const en_model *model) {
    const uint8_t *const bytes = (const uint8_t *)en_output(model);
    write_text("output ");
    for (uint32_t i = 0; i < model->header->output_bytes; i++) {
        write_digits(bytes[i], 2);
    }
    write_text("\n");
}

/* The arena holds no zeros before a run, so that an engine that reads what nobody wrote gives wrong outputs. */
static void load_input(const en_model *model, const uint8_t *input) {
    memset(model->arena, ARENA_PAINT, model->header->arena_bytes);
    memcpy(en_input(model), input, model->header->input_bytes);
}

static void paint_stack(void) {
    uint32_t *const top = __builtin_frame_address(0);
    for (uint32_t *word = (uint32_t *)(uintptr_t)port_stack_low(); word < top - 16; word++) {
        *word = PORT_STACK_PAINT;
    }
}

static uint32_t used_stack(const void *top) {
    const uint32_t *word = port_stack_low();
    while ((const void *)word < top && *word == PORT_STACK_PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)top - (const uint8_t *)word);
}

/* As the core's RUN counts, to the instruction. */
static uint64_t count(const en_model *model, en_hook hook, void *context) {
    const uint64_t ticks = count_ticks(en_run, model, hook, context);
    const uint64_t around = count_ticks(run_nothing, model, hook, context);
    return ticks - around + 1u; /* the empty function took one itself: its return */
}

static void run_inputs(const en_model *model, const job_header *job) {
    const uint8_t *const inputs = (const uint8_t *)job + job->inputs;
    uint32_t stack = 0;
    for (uint32_t i = 0; i < job->input_count; i++) {
        load_input(model, inputs + i * job->input_bytes);
        paint_stack();
        const uint64_t ticks = count(model, 0, 0);
        const uint32_t used = used_stack(__builtin_frame_address(0));
        stack = used > stack ? used : stack;
        write_number("run", ticks);
        write_output(model);
    }
    load_input(model, inputs);
    write_number("hooked", count(model, store_ticks, operator_ticks));
    write_numbers("operators", operator_ticks, model->header->op_count + 1u);
    write_number("stack", stack);
}

static void do_job(const job_header *job) {
    en_model model;
    const uint8_t *const plan = (const uint8_t *)job + job->plan;
    const en_status status = en_load(&model, plan, job->plan_bytes, arena, sizeof arena);
    const uint64_t answer[2] = {(uint64_t)status, model.failed_op};
    write_numbers("status", answer, 2);
    if (status != EN_OK) {
        return;
    }
    write_number("arena", model.header->arena_bytes);
    if (model.header->op_count > MAX_OPERATORS || model.header->input_bytes != job->input_bytes) {
        write_text("refused\n");
        return;
    }
    run_inputs(&model, job);
}

void core_run(void) {
    const job_header *const job = (const job_header *)(const void *)port_slot_at(0)->header;
    if (job->magic == JOB_MAGIC) {
        do_job(job);
    } else {
        write_text("no job\n");
    }
    write_text("end\n");
    port_reset(); /* which the emulator is told to end at */
}

void core_fault(uint32_t kind, uint32_t pc, uint32_t lr, uint32_t cfsr, uint32_t address) {
    const uint64_t numbers[2] = {kind, pc};
    (void)lr;
    (void)cfsr;
    (void)address;
    write_numbers("\nfault", numbers, 2);
    write_text("end\n");
}
