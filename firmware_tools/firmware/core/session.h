/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers. */
#ifndef EDGENAS_SESSION_H
#define EDGENAS_SESSION_H

#include "frame.h"

#define FIRMWARE_VERSION "1.0"

void session_start(void);

/* Do what a whole frame asks and send the answer; or send the last one again, if it asks that again. */
void session_answer(const frame *in);

#endif
