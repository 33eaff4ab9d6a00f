/* Predictions of many images: a device works on one batch while the host makes the next and looks at the last (transit.h). */
#ifndef UM_TRAIN_PREDICT_H
#define UM_TRAIN_PREDICT_H

#include "train/segmenter.h"

typedef struct um_predict_job {
    int64_t n; /* images */
    /* Images [first, first + n) into x, real [n][h][w][c] as the network takes them. */
    um_status (*make)(void *payload, int64_t first, int64_t n, void *x);
    /* Their logits, real [n][h][w][out_ch], of a classifier [n][out_ch]; in order, each image once, and perhaps after later ones
     * were made. */
    um_status (*look)(void *payload, int64_t first, int64_t n, const void *logits);
    void *payload;
} um_predict_job;

/* Local, in batches of max_batch. Errors: of the two functions, after which nothing is under way, and of the backend. */
um_status um_predict_run(um_segmenter *s, const um_predict_job *job);

#endif
