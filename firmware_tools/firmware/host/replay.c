/* SPDX-License-Identifier: Apache-2.0 */
/* replay PLAN INPUTS OUTPUTS: run a plan over every input of a file, for builds under the sanitizers. The arena has
 * exactly the size that the plan asks for, and other contents before every run.
 * Exit status 3 if the plan is refused, with "status operator" on stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint8_t *read_all(const char *path, uint32_t *bytes) {
    FILE *const file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fail(path);
    }
    const long end = ftell(file);
    uint8_t *const data = end < 0 ? NULL : malloc((size_t)end + 1u);
    rewind(file);
    if (!data || fread(data, 1, (size_t)end, file) != (size_t)end) {
        fail(path);
    }
    (void)fclose(file);
    *bytes = (uint32_t)end;
    uint8_t *const exact = malloc((size_t)end); /* so that a byte behind is an error */
    if (!exact) {
        fail(path);
    }
    memcpy(exact, data, (size_t)end);
    free(data);
    return exact;
}

int main(int argc, char **argv) {
    uint32_t plan_bytes, input_bytes;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: replay PLAN INPUTS OUTPUTS\n");
        return 2;
    }
    uint8_t *const plan = read_all(argv[1], &plan_bytes);
    uint8_t *const inputs = read_all(argv[2], &input_bytes);
    en_plan_header header = {0};
    memcpy(&header, plan, plan_bytes < sizeof header ? plan_bytes : sizeof header);
    uint8_t *const arena = malloc(header.arena_bytes);
    FILE *const outputs = fopen(argv[3], "wb");
    if (!arena || !outputs) {
        fail(argv[3]);
    }
    en_model model;
    const en_status status = en_load(&model, plan, plan_bytes, arena, header.arena_bytes);
    if (status != EN_OK) {
        (void)printf("%d %lu\n", (int)status, (unsigned long)model.failed_op);
        return 3;
    }
    for (uint32_t at = 0, run = 0; input_bytes - at >= header.input_bytes; at += header.input_bytes, run++) {
        memset(arena, (int)(run * 89u + 165u) & 255, header.arena_bytes);
        memcpy(en_input(&model), inputs + at, header.input_bytes);
        en_run(&model, 0, 0);
        if (fwrite(en_output(&model), 1, header.output_bytes, outputs) != header.output_bytes) {
            fail(argv[3]);
        }
    }
    free(plan);
    free(inputs);
    free(arena);
    return fclose(outputs) == 0 ? 0 : 1;
}
