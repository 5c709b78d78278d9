/* SPDX-License-Identifier: Apache-2.0 */
/* All of libc that is used; the cross compiler comes without one. ports/memory.c has the code. */
#ifndef EDGENAS_STRING_H
#define EDGENAS_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int value, size_t count);

#endif
