/* The owner's list of certificates: one HDF5 file (format umed-certificate, FORMAT.md), and sealed parts of it for single users.
 *
 * Clear records hold the parameters that remove the mark, so the list never leaves the owner (mode 0600); users get sealed records.
 * HMAC is symmetric: whoever checks the list needs the owner's key. The root alone may be published; with it one record and its
 * path show later what was marked, and how. */
#ifndef UM_MEDLOCKER_CERTIFICATE_H
#define UM_MEDLOCKER_CERTIFICATE_H

#include "medlocker/record.h"
#include "medlocker/secret.h"

typedef struct um_certificate {
    int64_t n;
    um_record *records;  /* [n], sorted bytewise by image */
    char **texts;        /* [n]: the same as written */
    uint8_t *ids;        /* [n][32] */
    uint8_t **residual;  /* [n]: NULL when the record has none */
    um_logo *logos;      /* every size in use */
    char (*logo_sha256)[UM_SHA256_HEX];
    int64_t n_logos;
    uint8_t root[32], mac[32];
} um_certificate; /* initialise with {0}, release with um_certificate_free */
void um_certificate_free(um_certificate *c);

/* Takes a record with its residual (NULL: none) and, when its size is new, a copy of the logo. */
um_status um_certificate_add(um_certificate *c, um_record *record, uint8_t **residual, const um_logo *logo);
/* Sorts, prints, hashes, signs. Errors: UM_E_DATA for no record, or an image or serial that appears twice. */
um_status um_certificate_finish(um_certificate *c, const um_secret *key);

/* Mode 0600, never over an existing file. */
um_status um_certificate_write(const um_certificate *c, const char *path);
/* Errors: UM_E_DATA when the file is damaged or a record is not well formed. Nothing is believed yet: um_certificate_verify. */
um_status um_certificate_read(um_certificate *out, const char *path);
/* V1 and V5: ids, root and mac recomputed, residuals and logos against the hashes in their records, order, serials all different.
 * Errors: UM_E_DATA naming what does not match. */
um_status um_certificate_verify(const um_certificate *c, const um_secret *key);

/* -1: none. image: not escaped. */
int64_t um_certificate_find(const um_certificate *c, const char *image);
const um_logo *um_certificate_logo(const um_certificate *c, int64_t i); /* NULL when the file lacks it */

/* Seals the records rows[0..n) (indices) for one user under the key derived for that name: a file of format umed-sealed that holds
 * the logos in clear, and each record with its residual and its Merkle path as one sealed block. */
um_status um_certificate_seal(const um_certificate *c, const um_secret *owner, const char *user, const int64_t *rows, int64_t n,
                              const char *path);
/* What a user's key opens: a list without mac. Every record's path is checked against the root that the file names. Errors:
 * UM_E_DATA when a block does not open or does not belong. */
um_status um_certificate_unseal(um_certificate *out, const um_secret *user_key, const char *path);
um_status um_certificate_user_key(um_secret *out, const um_secret *owner, const char *user);

#endif
