/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds and statuses of the wire: firmware_tools/link/PROTOCOL.md. */
#ifndef EDGENAS_MESSAGES_H
#define EDGENAS_MESSAGES_H

#include <stdint.h>

#define PROTOCOL_VERSION 1u
#define ANSWER 0x80u

typedef enum {
    STATUS_OK,
    STATUS_UNKNOWN,
    STATUS_MALFORMED,
    STATUS_TOO_LARGE,
    STATUS_WRONG_OFFSET,
    STATUS_NOT_READY,
    STATUS_BAD_HASH,
    STATUS_BAD_PLAN,
    STATUS_FLASH_FAILED,
    STATUS_FAULTED
} message_status;

typedef enum {
    MESSAGE_HELLO = 1,
    MESSAGE_STATUS,
    MESSAGE_BEGIN,
    MESSAGE_WRITE,
    MESSAGE_VERIFY,
    MESSAGE_DISCARD,
    MESSAGE_COMMIT,
    MESSAGE_ROLLBACK,
    MESSAGE_SELECT,
    MESSAGE_INPUT,
    MESSAGE_RUN,
    MESSAGE_PROFILE,
    MESSAGE_OUTPUT,
    MESSAGE_MEMORY,
    MESSAGE_FAULT,
    MESSAGE_RESET
} message_kind;

/* A payload that is read, and one that is written. */
typedef struct {
    const uint8_t *bytes;
    uint32_t count;
} request;

typedef struct {
    uint8_t *bytes;
    uint32_t count;
    uint32_t room;
} answer;

/* Append; the callers know that there is room. */
void answer_u8(answer *to, uint32_t value);
void answer_u16(answer *to, uint32_t value);
void answer_u32(answer *to, uint32_t value);
void answer_u64(answer *to, uint64_t value);
void answer_bytes(answer *to, const uint8_t *bytes, uint32_t count);

#endif
