/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGENAS_SHA256_H
#define EDGENAS_SHA256_H

#include <stdint.h>

#define SHA256_BYTES 32u

/* FIPS 180-4, of bytes that are all in memory: a slot is. */
void sha256(const uint8_t *bytes, uint32_t count, uint8_t digest[SHA256_BYTES]);

#endif
