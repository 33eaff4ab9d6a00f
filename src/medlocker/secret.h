/* Keys and what is made with them. The only file that knows OpenSSL (libcrypto): HMAC-SHA256 (RFC 2104), ChaCha20-Poly1305 (RFC
 * 8439), random bytes and comparison in constant time.
 *
 * The owner's key K is 32 random bytes in a file of mode 0600 as 64 hex digits; a file that others may read is refused. Everything
 * else is derived, HMAC-SHA256 under K or a key derived from it, with a label and a 0 byte before what follows:
 *
 *     mac key             HMAC(K, "wmc1 mac")                  of the list's root
 *     serial of an image  HMAC(K, "wmc1 serial" | seed | id)   first 16 bytes: the same in every run, unknown to whoever lacks K
 *     key of a user       HMAC(K, "wmc1 user" | name)          given to that user, as a key file of the same form
 *     key of a record     HMAC(user key, "wmc1 seal" | serial)
 *
 * A sealed record is nonce (12 random bytes) | ciphertext | tag (16), with the user's name and the serial as associated data: the
 * tag is checked before a byte is handed out. (AEAD instead of ChaCha20 with an HMAC of our own beside it: one well-known
 * construction.) */
#ifndef UM_MEDLOCKER_SECRET_H
#define UM_MEDLOCKER_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { UM_KEY_RAW = 32, UM_SERIAL_RAW = 16, UM_SEAL_EXTRA = 12 + 16 };

typedef struct um_secret {
    uint8_t key[UM_KEY_RAW];
} um_secret;
void um_secret_wipe(um_secret *s);

/* A new random key under a name that must be free. Errors: UM_E_USAGE when something stands there, UM_E_IO. */
um_status um_secret_create(const char *path);
/* Writes a derived key the same way. */
um_status um_secret_write(const um_secret *s, const char *path);
/* Errors: UM_E_IO; UM_E_DATA for other content; UM_E_CONFIG when the file is not the caller's own or group or others may use it. */
um_status um_secret_read(um_secret *out, const char *path);

/* HMAC-SHA256 of label, a 0 byte, and data. */
um_status um_secret_mac(uint8_t out[32], const um_secret *s, const char *label, const void *data, size_t bytes);
um_status um_secret_derive(um_secret *out, const um_secret *s, const char *label, const void *data, size_t bytes);
um_status um_secret_serial(uint8_t out[UM_SERIAL_RAW], const um_secret *s, uint64_t seed, const char *image);

/* sealed: bytes + UM_SEAL_EXTRA bytes, the caller's. */
um_status um_secret_seal(uint8_t *sealed, const um_secret *s, const void *aad, size_t aad_bytes, const void *plain, size_t bytes);
/* plain: bytes - UM_SEAL_EXTRA bytes, the caller's; written only when the tag is right, else UM_E_DATA. */
um_status um_secret_open(uint8_t *plain, const um_secret *s, const void *aad, size_t aad_bytes, const uint8_t *sealed,
                         size_t bytes);

bool um_secret_equal(const void *a, const void *b, size_t bytes); /* in constant time */

void um_hex(char *out, const uint8_t *bytes, size_t n); /* 2n digits, lower case, and a terminating 0 */
bool um_unhex(uint8_t *out, const char *text, size_t n); /* exactly 2n digits, lower case */

#endif
