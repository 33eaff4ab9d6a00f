/* SHA-256 (FIPS 180-4), streaming. */
#ifndef UM_BASE_SHA256_H
#define UM_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { UM_SHA256_HEX = 65, UM_SHA256_RAW = 32 }; /* 64 hex digits and the terminating 0; bytes */

typedef struct um_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} um_sha256;

void um_sha256_init(um_sha256 *s);
void um_sha256_add(um_sha256 *s, const void *data, size_t bytes);
void um_sha256_hex(um_sha256 *s, char out[UM_SHA256_HEX]); /* finishes; the state must be initialised again */
void um_sha256_raw(um_sha256 *s, uint8_t out[UM_SHA256_RAW]); /* the same as bytes */

void um_sha256_of(const void *data, size_t bytes, char out[UM_SHA256_HEX]);
um_status um_sha256_of_file(const char *path, char out[UM_SHA256_HEX]); /* errors: UM_E_IO naming the path */

#endif
