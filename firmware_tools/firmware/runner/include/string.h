/* All of libc that the engine uses; the cross compiler comes without a libc. ports/mps2/memory.c has the code. */
#ifndef EDGENAS_RUNNER_STRING_H
#define EDGENAS_RUNNER_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
