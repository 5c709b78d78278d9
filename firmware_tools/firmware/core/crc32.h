#ifndef EDGENAS_CRC32_H
#define EDGENAS_CRC32_H

#include <stdint.h>

/* zlib's CRC-32. */
uint32_t crc32_of(const uint8_t *bytes, uint32_t count);

#endif
