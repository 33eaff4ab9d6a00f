/* Shared by dataset*.c and check.c: parts of a dataset, one file each. */
#ifndef UM_IO_DATASET_INTERNAL_H
#define UM_IO_DATASET_INTERNAL_H

#include "io/dataset.h"
#include "io/h5.h"

#define UM_DATASET_FORMAT "umed-dataset"
#define UM_DATASET_VERSION "1.0"

static inline size_t um_dataset_image_bytes(const um_dataset *d)
{
    return (size_t)(d->h * d->w * d->c) * (size_t)(d->bits / 8);
}

/* The arrays of a dataset file. */
#define UM_DATASET_IDS "names of the samples, unique"
um_h5_array um_dataset_images_array(int64_t n, int64_t h, int64_t w, int64_t c, int bits);
um_h5_array um_dataset_masks_array(int64_t n, int64_t h, int64_t w);
um_h5_array um_dataset_split_array(int64_t n);

/* The hash of a range of rows as if they were a dataset of their own: what a file records of itself. */
void um_dataset_rows_sha256(const um_dataset *d, int64_t first, int64_t n, char out[UM_SHA256_HEX]);

/* Geometry of one open file, with every array compared with it. Only n, h, w, c and bits of `out` are set. */
um_status um_dataset_file_shape(um_h5 *f, um_dataset *out);
bool um_dataset_file_has_labels(um_h5 *f);
/* Reads the file's rows to [first, ...) of d, and checks masks, split and the recorded hash. */
um_status um_dataset_file_read(um_h5 *f, um_dataset *d, int64_t first, int64_t n);
/* Writes rows [first, first + n) of d as one file. */
um_status um_dataset_file_write(const um_dataset *d, int64_t first, int64_t n, const char *path,
                                const um_dataset_write_options *options);

/* Full paths of the files of a dataset in row order: the path itself, or the shards of a folder. UM_E_DATA names what is missing
 * or does not belong. out: owned by the caller, free with um_names_free. */
um_status um_dataset_files(const char *path, char ***out, size_t *n);

#endif
