/* Rows of a dataset, and turning them into network inputs. */
#ifndef UM_TRAIN_ROWS_H
#define UM_TRAIN_ROWS_H

#include "base/rng.h"
#include "io/dataset.h"
#include "kernels/view.h"

typedef struct um_rows {
    int64_t n;
    int64_t *index; /* rows of the dataset, ascending */
    uint64_t *key;  /* hash of each row's id: what orders are drawn from */
} um_rows; /* release with um_rows_free */

/* Rows of one split (UM_SPLIT_TRAIN, UM_SPLIT_TEST; -1 = all). limit > 0 keeps that many, chosen by a seeded permutation of ids. */
um_status um_rows_select(um_rows *out, const um_dataset *d, int split, int64_t limit, uint64_t seed);
void um_rows_free(um_rows *r);

/* Order of an epoch: a permutation of 0..rows->n-1 that depends on (seed, purpose, epoch, ids) only. out: [rows->n]. */
um_status um_rows_order(int64_t *out, const um_rows *rows, uint64_t seed, um_rng_purpose purpose, int64_t epoch);

/* Rows in a batch that begins at place `first` of an order. */
static inline int64_t um_rows_in_batch(const um_rows *rows, int64_t first, int64_t batch)
{
    return rows->n - first < batch ? rows->n - first : batch;
}

/* Network input of one row: pixel / 255 (or / 65535) as real [h][w][c]; mask as real [h][w]. */
void um_row_image(const um_dataset *d, int64_t row, um_dtype real, void *out);
void um_row_mask(const um_dataset *d, int64_t row, um_dtype real, void *out);
void um_row_label(const um_dataset *d, int64_t row, um_dtype real, void *out); /* its class, one number */

#endif
