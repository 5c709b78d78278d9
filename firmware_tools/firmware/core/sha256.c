/* SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <string.h>

#define BLOCK_BYTES 64u

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, uint32_t bits) {
    return value >> bits | value << (32u - bits);
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_big_endian(uint8_t *to, uint32_t value) {
    for (uint32_t i = 0; i < 4u; i++) {
        to[i] = (uint8_t)(value >> (24u - 8u * i));
    }
}

static void expand(uint32_t words[64], const uint8_t *block) {
    for (uint32_t i = 0; i < 16u; i++) {
        words[i] = big_endian(block + 4u * i);
    }
    for (uint32_t i = 16; i < 64u; i++) {
        const uint32_t a = words[i - 15u];
        const uint32_t b = words[i - 2u];
        const uint32_t sigma0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
        const uint32_t sigma1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
        words[i] = words[i - 16u] + sigma0 + words[i - 7u] + sigma1;
    }
}

static void add_block(uint32_t state[8], const uint8_t *block) {
    uint32_t words[64];
    uint32_t v[8];
    expand(words, block);
    memcpy(v, state, sizeof v);
    for (uint32_t i = 0; i < 64u; i++) {
        const uint32_t sum1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        const uint32_t first = v[7] + sum1 + choice + round_constants[i] + words[i];
        const uint32_t sum0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + first;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = first + sum0 + majority;
    }
    for (uint32_t i = 0; i < 8u; i++) {
        state[i] += v[i];
    }
}

void sha256(const uint8_t *bytes, uint32_t count, uint8_t digest[SHA256_BYTES]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint32_t whole = count / BLOCK_BYTES * BLOCK_BYTES;
    for (uint32_t at = 0; at < whole; at += BLOCK_BYTES) {
        add_block(state, bytes + at);
    }
    uint8_t tail[2u * BLOCK_BYTES] = {0};
    const uint32_t rest = count - whole;
    const uint32_t tail_bytes = rest + 9u <= BLOCK_BYTES ? BLOCK_BYTES : 2u * BLOCK_BYTES;
    memcpy(tail, bytes + whole, rest);
    tail[rest] = 0x80;
    put_big_endian(tail + tail_bytes - 8u, count >> 29);
    put_big_endian(tail + tail_bytes - 4u, count << 3);
    for (uint32_t at = 0; at < tail_bytes; at += BLOCK_BYTES) {
        add_block(state, tail + at);
    }
    for (uint32_t i = 0; i < 8u; i++) {
        put_big_endian(digest + 4u * i, state[i]);
    }
}
