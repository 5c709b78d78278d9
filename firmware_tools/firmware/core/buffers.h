/* SPDX-License-Identifier: Apache-2.0 */
/* All memory of the core that is not small, in one place. */
#ifndef EDGENAS_BUFFERS_H
#define EDGENAS_BUFFERS_H

#include <stdint.h>

#include "frame.h"

#define PROFILE_OPERATORS ((PORT_MAX_PAYLOAD - 3u) / 4u) /* of one answer: status, count, ticks */

typedef struct {
    _Alignas(8) uint8_t arena[PORT_ARENA_BYTES];
    _Alignas(8) uint8_t input[PORT_INPUT_BYTES];
    uint32_t stamps[PROFILE_OPERATORS + 2u]; /* before each, behind the last, and one for all that nobody wants */
    frame_receiver in;
    frame out; /* the last answer, until the next */
} core_buffers;

extern core_buffers buffers;

#endif
