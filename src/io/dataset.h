/* A dataset in memory: images with masks, ids and the train/test split. On disk: one HDF5 file, or a folder of shards
 * shard-00000-of-00008.h5 (FORMAT.md); both read to the same object. */
#ifndef UM_IO_DATASET_H
#define UM_IO_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"

enum { UM_SPLIT_TRAIN = 0, UM_SPLIT_TEST = 1 };

typedef struct um_dataset {
    int64_t n, h, w, c; /* images, height, width, channels (1 or 3) */
    int bits;           /* 8 or 16 */
    void *images;       /* uint8_t or uint16_t [n][h][w][c] */
    uint8_t *masks;     /* [n][h][w], values 0 and 1 */
    char **ids;         /* [n], unique UTF-8 */
    uint8_t *split;     /* [n], UM_SPLIT_TRAIN or UM_SPLIT_TEST */
    uint8_t *labels;    /* [n], class of each image from 0; NULL: images without classes. Of these an empty mask says that no lesion is known */
} um_dataset;

/* Allocates all arrays for n images (ids NULL, split train). out: owned by the caller, free with um_dataset_free. */
um_status um_dataset_create(um_dataset **out, int64_t n, int64_t h, int64_t w, int64_t c, int bits);
um_status um_dataset_clone(um_dataset **out, const um_dataset *d);
void um_dataset_free(um_dataset *d); /* frees the ids too */
/* Adds labels, all 0; no effect when there are some. */
um_status um_dataset_make_labels(um_dataset *d);
int um_dataset_classes(const um_dataset *d); /* the largest label and one; 0 without labels */

/* path: a file or a folder of shards. Errors: UM_E_DATA (not ours, incomplete, checksum, masks other than 0 and 1, duplicate
 * ids, mixed geometry between shards, content other than the recorded sha256 of a clean file), UM_E_IO. */
um_status um_dataset_read(um_dataset **out, const char *path);

typedef struct um_dataset_write_options {
    int n_shards;                /* 0 or 1: one file at `path`; more: the folder `path` with contiguous row ranges */
    bool released;               /* a protected file for release: nothing that betrays the owner is written (DESIGN D15) */
    const char *provenance;      /* clean data only: "key=value" lines stored as root attributes; may be NULL */
} um_dataset_write_options;

/* Writes whole or not at all; refuses to overwrite an existing path (UM_E_USAGE naming it). options NULL: one clean file. */
um_status um_dataset_write(const um_dataset *d, const char *path, const um_dataset_write_options *options);

/* SHA-256 over geometry, images, masks, ids, split and labels (when there are any) in row order: the same for one file and for any sharding of it. */
void um_dataset_sha256(const um_dataset *d, char out[UM_SHA256_HEX]);

/* One row's pixels: first byte of image i, and its mask. Borrowed. */
static inline const uint8_t *um_dataset_image(const um_dataset *d, int64_t i)
{
    return (const uint8_t *)d->images + i * d->h * d->w * d->c * (d->bits / 8);
}
static inline const uint8_t *um_dataset_mask(const um_dataset *d, int64_t i)
{
    return d->masks + i * d->h * d->w;
}
/* Largest value of a pixel, 255 or 65535, and one grey level of 255 in these units (1 or 257). */
static inline int um_dataset_max(const um_dataset *d) { return d->bits == 8 ? 255 : 65535; }
static inline int um_dataset_level(const um_dataset *d) { return d->bits == 8 ? 1 : 257; }

#endif
