#include "base/sha256.h"

#include "base/mem.h"
#include "base/sha256_x86.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, FILE_CHUNK = 1 << 16 };

static const uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void expand(const uint8_t *block, uint32_t w[64])
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

/* One round. The caller rotates the names of the eight words, which saves moving them. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                                                       \
    do {                                                                                                                       \
        uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);                                          \
        uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);                                          \
        h += s1 + (g ^ (e & (f ^ g))) + ROUND_CONSTANTS[i] + w[i];                                                             \
        d += h;                                                                                                                \
        h += s0 + ((a & b) | (c & (a | b)));                                                                                   \
    } while (0)

static void compress_portable(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    expand(block, w);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += sums[i];
}

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    static int fast; /* 0 not asked yet, 1 yes, 2 no; every thread finds the same */
    int known = __atomic_load_n(&fast, __ATOMIC_RELAXED);
    if (known == 0) {
        known = um_sha256_x86_available() && !getenv("UMED_SHA256_PORTABLE") ? 1 : 2;
        __atomic_store_n(&fast, known, __ATOMIC_RELAXED);
    }
    if (known == 1)
        um_sha256_x86(state, data, blocks, ROUND_CONSTANTS);
    else
        for (; blocks > 0; blocks--, data += BLOCK)
            compress_portable(state, data);
}

void um_sha256_init(um_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(s, 0, sizeof *s);
    memcpy(s->state, start, sizeof start);
}

void um_sha256_add(um_sha256 *s, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    size_t held = s->n_bytes % BLOCK;
    s->n_bytes += bytes;
    if (held > 0) {
        size_t part = bytes < BLOCK - held ? bytes : BLOCK - held;
        if (part > 0)
            memcpy(s->block + held, p, part);
        if (held + part < BLOCK)
            return;
        compress(s->state, s->block, 1);
        p += part;
        bytes -= part;
    }
    compress(s->state, p, bytes / BLOCK);
    p += bytes - bytes % BLOCK;
    bytes %= BLOCK;
    if (bytes > 0)
        memcpy(s->block, p, bytes);
}

static void finish(um_sha256 *s)
{
    uint64_t n_bits = s->n_bytes * 8;
    uint8_t padding[BLOCK + 8] = {0x80};
    size_t n = BLOCK - (s->n_bytes + 8) % BLOCK; /* 1..64 bytes up to the length field */
    for (int i = 0; i < 8; i++)
        padding[n + (size_t)i] = (uint8_t)(n_bits >> (56 - 8 * i));
    um_sha256_add(s, padding, n + 8);
}

void um_sha256_hex(um_sha256 *s, char out[UM_SHA256_HEX])
{
    finish(s);
    for (int i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", s->state[i]);
}

void um_sha256_raw(um_sha256 *s, uint8_t out[UM_SHA256_RAW])
{
    finish(s);
    for (int i = 0; i < UM_SHA256_RAW; i++)
        out[i] = (uint8_t)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

void um_sha256_of(const void *data, size_t bytes, char out[UM_SHA256_HEX])
{
    um_sha256 s;
    um_sha256_init(&s);
    um_sha256_add(&s, data, bytes);
    um_sha256_hex(&s, out);
}

um_status um_sha256_of_file(const char *path, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    uint8_t *chunk = NULL;
    size_t n = 0;
    um_sha256 s;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return um_fail(UM_E_IO, "cannot open %s: %s; check the path", path, strerror(errno));
    UM_TRY(UM_NEW_ARRAY(chunk, FILE_CHUNK));
    um_sha256_init(&s);
    while ((n = fread(chunk, 1, FILE_CHUNK, file)) > 0)
        um_sha256_add(&s, chunk, n);
    if (ferror(file)) {
        rc = um_fail(UM_E_IO, "cannot read %s: %s; check the file and its storage", path, strerror(errno));
        goto done;
    }
    um_sha256_hex(&s, out);
done:
    um_free(chunk);
    fclose(file);
    return rc;
}
