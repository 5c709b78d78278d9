/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that use a model: SELECT, INPUT, RUN, PROFILE, OUTPUT, MEMORY. */
#ifndef EDGENAS_MODEL_H
#define EDGENAS_MODEL_H

#include "engine.h"
#include "messages.h"

#define MODEL_MAX_RUNS 32u

void model_start(void);

/* The slot's plan is about to go or gone: no model is selected any more if it was that one. */
void model_forget(uint32_t slot);

/* Whether the engine takes the plan in a slot, and its input fits: STATUS_OK, BAD_PLAN or TOO_LARGE, the latter two with
 * their numbers in the answer. */
message_status model_check(en_model *model, uint32_t slot, answer *to);

message_status model_select(const request *asked, answer *to);
message_status model_input(const request *asked, answer *to);
message_status model_run(const request *asked, answer *to);
message_status model_profile(const request *asked, answer *to);
message_status model_output(const request *asked, answer *to);
message_status model_memory(const request *asked, answer *to);

#endif
