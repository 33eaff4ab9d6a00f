/* Inside base/: blocks of SHA-256 by x86-64's own instructions. */
#ifndef UM_BASE_SHA256_X86_H
#define UM_BASE_SHA256_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool um_sha256_x86_available(void);
/* Adds `blocks` blocks of 64 bytes to the state. Only where available. */
void um_sha256_x86(uint32_t state[8], const uint8_t *data, size_t blocks, const uint32_t constants[64]);

#endif
