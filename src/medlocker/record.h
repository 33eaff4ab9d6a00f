/* The certificate of one image: how it was marked, as a short text with one form only.
 *
 *     WMC1
 *     serial=<32 hex>
 *     dataset=<name>
 *     image=<id>
 *     shape=<h>x<w>x<c>
 *     logo=<sha256 of the resized logo>
 *     logo_hw=<h>x<w>
 *     rule=<mul|min>
 *     alpha=<0..255>
 *     y=<int>
 *     x=<int>
 *     boxes=<n>[;y0,x0,y1,x1]...
 *     wsm=<strict|relaxed|none>
 *     target=<network>:<sha256 of its weights>
 *     clean=<sha256 of the canonical pixels>
 *     protected=<the same of the marked image>
 *     residual=<bits>:<sha256 of the residual, 64 zeros for none>
 *     time=<unix seconds, UTC>
 *
 * ASCII, LF line ends, these keys in this order, decimal integers without leading zeros, hex in lower case. dataset and image hold
 * [A-Za-z0-9._/-] (dataset no /); other bytes of an id are written %XX in upper case. Its id is the SHA-256 of the text. */
#ifndef UM_MEDLOCKER_RECORD_H
#define UM_MEDLOCKER_RECORD_H

#include "base/text.h"
#include "medlocker/blend.h"
#include "medlocker/wsm.h"

enum { UM_RECORD_BYTES_MAX = 1 << 20, UM_RECORD_BOXES_MAX = 65536, UM_ID_RAW = 32 };

typedef struct um_record {
    char serial[33];
    char dataset[193], image[385]; /* as written, that is escaped */
    int64_t h, w, c;
    char logo[UM_SHA256_HEX];
    int64_t logo_h, logo_w;
    int rule; /* um_opacity_rule */
    um_theta theta;
    um_boxes boxes; /* owned */
    int wsm;        /* um_wsm_state */
    char target[160];
    char clean[UM_SHA256_HEX], marked[UM_SHA256_HEX];
    int64_t residual_bits;
    char residual[UM_SHA256_HEX];
    int64_t time;
} um_record; /* release with um_record_clear */
void um_record_clear(um_record *r);

/* Errors: UM_E_DATA naming the field when a name is too long. */
um_status um_record_set_names(um_record *r, const char *dataset, const char *image);
/* The id as it was before escaping. Errors: UM_E_DATA. */
um_status um_record_image(const um_record *r, um_text *out);

um_status um_record_print(const um_record *r, um_text *out);
/* Accepts exactly what um_record_print writes. Errors: UM_E_DATA naming the line. */
um_status um_record_parse(um_record *out, const char *text, size_t bytes);

void um_record_id(uint8_t out[UM_ID_RAW], const char *text, size_t bytes);

/* ---- the list: a Merkle tree over the ids in the order of the image keys ----
 * leaf = SHA-256(0x00 | id), node = SHA-256(0x01 | left | right), a node without partner moves up as it is. The root commits the
 * owner to the whole list without showing it; one record and its path show that it belongs. */

/* n >= 1. */
um_status um_merkle_root(uint8_t root[UM_ID_RAW], const uint8_t *ids, int64_t n);
/* The siblings of leaf `index`, bottom up: *path is [*steps][32], owned by the caller (um_free). */
um_status um_merkle_path(uint8_t **path, int *steps, const uint8_t *ids, int64_t n, int64_t index);
bool um_merkle_verify(const uint8_t root[UM_ID_RAW], const uint8_t id[UM_ID_RAW], int64_t index, int64_t n, const uint8_t *path,
                      int steps);

#endif
