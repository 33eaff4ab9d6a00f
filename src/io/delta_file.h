/* The owner's side of one shard of a protected archive: what leads from the released pixels back to the clean ones (FORMAT.md,
 * "umed-archive-private").
 *
 *     /delta    released minus clean modulo 2^bits, as i8 or i16 [value], one image behind the other in the shard's order
 *     /ids
 *     clean_sha256, released_sha256    um_shard_hash_add over the images
 *     bound_levels                     the largest change that was allowed, in grey levels of these images
 *
 * Modulo 2^bits every change has a place, so clean = released - delta holds for every pixel, also where it was clipped. */
#ifndef UM_IO_DELTA_FILE_H
#define UM_IO_DELTA_FILE_H

#include "io/shard.h"

#define UM_DELTA_FORMAT "umed-archive-private"
#define UM_DELTA_VERSION "1.0"

typedef struct um_delta_writer {
    um_h5 *file;
    um_h5_stream *delta;
} um_delta_writer; /* initialise with {0} */

/* n_values: of all images together; -1: not known yet. */
um_status um_delta_writer_open(um_delta_writer *out, const char *path, int bits, int64_t n_values);
/* Completes PATH.part (um_h5_end): um_file_commit(PATH) is left to the caller. The writer is closed whatever happens. */
um_status um_delta_writer_end(um_delta_writer *w, const um_shard_index *index, int64_t bound_levels, const char *clean_sha256,
                                 const char *released_sha256);
void um_delta_writer_abandon(um_delta_writer *w);

typedef struct um_delta_file {
    um_h5 *file;
    um_h5_rows *delta;
    int bits;
    int64_t n_values, bound_levels;
    char clean_sha256[UM_SHA256_HEX], released_sha256[UM_SHA256_HEX];
    char **ids;
    int64_t n_ids;
} um_delta_file; /* release with um_delta_file_close */

/* UM_E_DATA when it is no such file. */
um_status um_delta_file_open(um_delta_file *out, const char *path);
void um_delta_file_close(um_delta_file *f);
/* UM_E_DATA naming the first disagreement in depth, number or ids. */
um_status um_delta_file_fits(const um_delta_file *f, const um_shard_index *index);
/* Values [first, first + n): int8_t or int16_t. */
um_status um_delta_file_read(um_delta_file *f, int64_t first, int64_t n, void *delta);

/* clean[i] = released[i] - delta[i] modulo 2^bits; returns the largest change. clean may be released. */
int64_t um_delta_undo(void *clean, const void *released, const void *delta, int64_t n, int bits);

#endif
