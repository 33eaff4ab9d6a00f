/* One shard of an archive, read and written in pieces so that it never has to fit into memory. Two kinds of file (FORMAT.md):
 *
 *     umed-dataset    images of one size: /images [N,H,W,C]
 *     umed-archive    images of any size, 8 or 16 bit throughout: /pixels, /mask_pixels, each one image behind the other. An image may
 *                     have no mask
 *
 * The index (sizes, ids, split) of a shard is in memory, pixels are not. Reading and writing are HDF5: one thread at a time. */
#ifndef UM_IO_SHARD_H
#define UM_IO_SHARD_H

#include <stdbool.h>

#include "base/sha256.h"
#include "io/h5_stream.h"

#define UM_ARCHIVE_FORMAT "umed-archive"
#define UM_ARCHIVE_VERSION "1.0"

typedef struct um_shard_row {
    int64_t h, w, c;
    int64_t at;      /* first value among all pixels of the shard */
    int64_t mask_at; /* first pixel among all masks of the shard; -1: it has no mask */
} um_shard_row;

typedef struct um_shard_index {
    bool uniform; /* umed-dataset */
    int bits;     /* 8 or 16 */
    int64_t n, cap;
    um_shard_row *rows; /* [n], contiguous in both arrays */
    char **ids;         /* [n] */
    uint8_t *split;     /* [n] */
    int64_t n_mask_pixels; /* of the images added so far */
} um_shard_index; /* initialise with uniform and bits, release with um_shard_index_clear */

/* Appends an image behind the last. id is copied. */
um_status um_shard_index_add(um_shard_index *x, const char *id, int64_t h, int64_t w, int64_t c, bool masked, uint8_t split);
void um_shard_index_clear(um_shard_index *x);

static inline int64_t um_shard_values(const um_shard_row *r) { return r->h * r->w * r->c; }
static inline int64_t um_shard_mask_pixels(const um_shard_row *r) { return r->mask_at < 0 ? 0 : r->h * r->w; }
/* Values and mask pixels of rows [first, first + n). */
void um_shard_extent(const um_shard_index *x, int64_t first, int64_t n, int64_t *values, int64_t *mask_pixels);

/* SHA-256 over images in order, whatever file and shard they lie in: for each the text "ID h w c bits masked split" and a newline, its
 * pixels and its mask. */
void um_shard_hash_add(um_sha256 *s, const um_shard_index *x, int64_t row, const void *pixels, const uint8_t *mask);

/* Full paths of the files of a file or folder of shards in order (shard-00000-of-NNNNN.h5 ...); UM_E_DATA names what is missing or does
 * not belong. out: owned by the caller, free with um_names_free. */
um_status um_shard_files(const char *path, char ***out, size_t *n);
enum { UM_SHARD_NAME = 64, UM_SHARDS_MAX = 99999 };
void um_shard_name(char out[UM_SHARD_NAME], int k, int n); /* "shard-00003-of-00008.h5" */

/* Reading ----------------------------------------------------------------------------------------------------------------- */

typedef struct um_shard um_shard;

/* Reads the index. Errors: UM_E_DATA (not ours, sizes that disagree, empty or doubled ids), UM_E_IO. out: owned by the caller. */
um_status um_shard_open(um_shard **out, const char *path);
void um_shard_close(um_shard *s); /* accepts NULL */
const um_shard_index *um_shard_get_index(const um_shard *s); /* borrowed */
um_h5 *um_shard_file(um_shard *s);                           /* borrowed */
/* Which images these are, without reading their pixels: names, sizes, split, and the checksums of what is stored (um_h5_sum). */
enum { UM_SHARD_MARK = 17 };
um_status um_shard_mark(um_shard *s, char out[UM_SHARD_MARK]); /* 16 hex digits */
bool um_shard_is_clean(um_shard *s); /* has provenance, which a released file never has */
/* Pixels and masks of rows [first, first + n), one behind the other; either may be NULL. Errors: UM_E_DATA naming the image whose mask
 * holds other values than 0 and 1. */
um_status um_shard_read(um_shard *s, int64_t first, int64_t n, void *pixels, uint8_t *masks);
/* Reads everything, for `umed check`: um_shard_read of all rows, and the recorded hash. */
um_status um_shard_verify(um_shard *s);

/* Writing ----------------------------------------------------------------------------------------------------------------- */

typedef struct um_shard_writer {
    um_h5 *file;
    um_h5_stream *pixels, *masks; /* masks NULL: no image has one */
} um_shard_writer; /* initialise with {0} */

/* index: what will be written; of an umed-archive it may be without rows before the end, arrays then grow. The caller cuts pixels and
 * masks into the streams in row order. */
um_status um_shard_writer_open(um_shard_writer *out, const char *path, const um_shard_index *index);
/* Ends the streams, adds the index, and for clean data (provenance: "key=value" lines, else NULL) its hash and where it comes from.
 * Whole or not at all; the writer is closed whatever happens. */
um_status um_shard_writer_commit(um_shard_writer *w, const um_shard_index *index, const char *sha256, const char *provenance);
/* The same without the last step: PATH.part is complete, um_file_commit(PATH) is left to the caller. */
um_status um_shard_writer_end(um_shard_writer *w, const um_shard_index *index, const char *sha256, const char *provenance);
void um_shard_writer_abandon(um_shard_writer *w);

#endif
