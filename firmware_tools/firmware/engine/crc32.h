/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGENAS_CRC32_H
#define EDGENAS_CRC32_H

#include <stdint.h>

/* zlib's CRC-32, of plans, frames and slots. */
uint32_t en_crc32(const uint8_t *bytes, uint32_t count);

#endif
