/* Loads the plan of the host's job, runs it over every input, and reports by UART. firmware_tools/mcu/emulator.py writes
 * the job and reads the report; both have to change together.
 *
 * Nothing is printed while instructions are counted. A line is a word and numbers of 8 hexadecimal digits:
 *
 *     status S K            en_load's answer, the operator that it refused
 *     arena N               what the plan needs, bytes
 *     empty T0 T1           the timer around a function that does nothing
 *     run T0 T1             the same around en_run without hook, for every input
 *     output ..             the output's bytes, for every input
 *     hooked T0 T1          around en_run with hook, first input
 *     operators T0 .. Tn    at every call of the hook
 *     stack N               of en_run, bytes
 *     end */
#include <string.h>

#include "board.h"
#include "count.h"
#include "engine.h"

#define JOB_MAGIC 0x424F4A45u /* "EJOB" */
#define MAX_OPERATORS 1024u
#define STACK_PAINT 0x5AA5C33Cu
#define ARENA_PAINT 0xA5

typedef struct {
    uint32_t magic;
    uint32_t plan, plan_bytes; /* offsets count from the job's first byte */
    uint32_t inputs, input_count, input_bytes;
} job_header;

extern uint8_t runner_arena[], runner_stack[];

static uint32_t operator_ticks[MAX_OPERATORS + 1u];

static void store_ticks(void *context, uint32_t index, uint32_t op_count) {
    uint32_t *const ticks = context;
    (void)op_count;
    ticks[index] = board_ticks();
}

static void run_nothing(const en_model *model, en_hook hook, void *context) {
    (void)model;
    (void)hook;
    (void)context;
}

static void write_numbers(const char *name, const uint32_t *values, uint32_t number) {
    board_write(name);
    for (uint32_t i = 0; i < number; i++) {
        board_write(" ");
        board_write_hex(values[i]);
    }
    board_write("\n");
}

/* The arena holds no zeros before a run, so that an engine that reads what nobody wrote gives wrong outputs. */
static void load_input(const en_model *model, const uint8_t *input) {
    memset(model->arena, ARENA_PAINT, model->header->arena_bytes);
    memcpy(en_input(model), input, model->header->input_bytes);
}

static void paint_stack(void) {
    uint32_t *const top = __builtin_frame_address(0);
    for (uint32_t *word = (uint32_t *)(void *)runner_stack; word < top - 16; word++) {
        *word = STACK_PAINT;
    }
}

static uint32_t used_stack(const void *top) {
    const uint32_t *word = (const uint32_t *)(const void *)runner_stack;
    while ((const void *)word < top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((const uint8_t *)top - (const uint8_t *)word);
}

static void run_inputs(const en_model *model, const job_header *job) {
    const uint8_t *const inputs = (const uint8_t *)job + job->inputs;
    uint32_t ticks[2];
    uint32_t stack = 0;
    for (uint32_t i = 0; i < job->input_count; i++) {
        load_input(model, inputs + i * job->input_bytes);
        paint_stack();
        count(en_run, model, 0, 0, ticks);
        const uint32_t used = used_stack(__builtin_frame_address(0));
        stack = used > stack ? used : stack;
        write_numbers("run", ticks, 2);
        board_write("output ");
        board_write_bytes((const uint8_t *)en_output(model), model->header->output_bytes);
        board_write("\n");
    }
    load_input(model, inputs);
    count(en_run, model, store_ticks, operator_ticks, ticks);
    write_numbers("hooked", ticks, 2);
    write_numbers("operators", operator_ticks, model->header->op_count + 1u);
    write_numbers("stack", &stack, 1);
}

static void do_job(const job_header *job) {
    en_model model;
    uint32_t ticks[2];
    const uint32_t arena_bytes = (uint32_t)(runner_stack - runner_arena);
    const uint8_t *const plan = (const uint8_t *)job + job->plan;
    const en_status status = en_load(&model, plan, job->plan_bytes, runner_arena, arena_bytes);
    const uint32_t answer[2] = {(uint32_t)status, model.failed_op};
    write_numbers("status", answer, 2);
    if (status != EN_OK) {
        return;
    }
    write_numbers("arena", &model.header->arena_bytes, 1);
    if (model.header->op_count > MAX_OPERATORS || model.header->input_bytes != job->input_bytes) {
        board_write("refused\n");
        return;
    }
    count(run_nothing, &model, 0, 0, ticks);
    write_numbers("empty", ticks, 2);
    run_inputs(&model, job);
}

void runner_main(void) {
    const job_header *const job = (const job_header *)BOARD_PSRAM;
    board_start();
    if (job->magic == JOB_MAGIC) {
        do_job(job);
    } else {
        board_write("no job\n");
    }
    board_write("end\n");
}
