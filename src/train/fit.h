/* Supervised training of a network over rows of a dataset, with exact resume. */
#ifndef UM_TRAIN_FIT_H
#define UM_TRAIN_FIT_H

#include "train/checkpoint.h"
#include "train/rows.h"

/* A batch on its way into the network. x: real [n][h][w][c] in [0,1], y: real [n][h][w], or [n] for a classifier; both may be changed. */
typedef struct um_fit_batch {
    int64_t epoch, step;       /* from 0 */
    int64_t first, n, n_total; /* this rank has images [first, first + n) of n_total */
    const int64_t *row;        /* [n]: rows of the dataset */
    void *x, *y;
} um_fit_batch;

typedef struct um_fit_options {
    int64_t epochs, batch;
    uint64_t seed;
    um_rng_purpose order;        /* purpose of the epoch orders */
    const char *checkpoint;      /* path; NULL: none */
    const char *fingerprint;
    double checkpoint_s;         /* at most one checkpoint per so many seconds */
    const char *label;           /* for progress lines */
    double *earlier_s;           /* receives the seconds that earlier runs of this training took; NULL: not wanted */
    /* Called after every epoch (1..epochs) to add curves; may be NULL. */
    um_status (*after_epoch)(void *payload, um_segmenter *s, int64_t epoch, um_curves *curves);
    /* Called with every batch before its step, in order, and perhaps while the step before is under way on a device: the network
     * is as that step leaves it, and who waits for the backend calls um_segmenter_settle first. A batch may be made and, after a
     * stop, made again. May be NULL. */
    um_status (*on_batch)(void *payload, um_segmenter *s, const um_fit_batch *batch);
    bool untouched; /* on_batch neither reads nor changes x and y, which are NULL then where the data stays with the backend (resident.h) */
    void *payload;
    int n_arrays;
    um_training_array array[4]; /* what the callbacks keep: saved and restored with the rest */
} um_fit_options;

/* Trains from the segmenter's present weights, or resumes from the checkpoint. curves gets "loss", "loss_ce", "loss_dice" (a
 * classifier: "loss", "accuracy", "margin") per epoch. The last partial batch is kept. Errors: UM_E_STOPPED after saving when a stop was asked for; UM_E_NUMERIC. */
um_status um_fit_run(um_segmenter *s, const um_dataset *d, const um_rows *rows, const um_fit_options *o, um_curves *curves);

#endif
