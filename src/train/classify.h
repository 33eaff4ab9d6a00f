/* Classifiers of whole images: training, prediction, scores (medlocker 4). */
#ifndef UM_TRAIN_CLASSIFY_H
#define UM_TRAIN_CLASSIFY_H

#include "train/cost.h"
#include "train/fit.h"

/* Group "classifier". Steps are SGD with momentum; the rate is multiplied by lr_gamma every lr_step epochs. */
typedef struct um_classify_options {
    int64_t epochs, batch, lr_step, crop_pad;
    double lr, momentum, weight_decay, lr_gamma, focal, brightness, contrast_low, contrast_high;
    bool balance; /* rows of small classes are repeated until all classes are nearly as large as the largest */
    bool flip;
    bool shuffle_labels; /* sanity: the training rows' labels change places; scores are on the true ones */
} um_classify_options;
extern const um_opt_table um_classify_table;

/* How a classifier does on some images. */
typedef struct um_class_scores {
    int64_t n, hits;
    int classes;
    double majority; /* share of the largest class: what a guess reaches */
    int64_t class_n[256], class_hits[256];
} um_class_scores;

/* logits: [n][classes]. The first of equal scores wins. */
int um_class_of(const float *logits, int classes);
void um_class_scores_of(um_class_scores *out, const float *logits, const uint8_t *labels, int64_t n, int classes);
/* 95 % interval of a share (Wilson 1927). n = 0: [0, 1]. */
void um_wilson(double out[2], int64_t hits, int64_t n);

typedef struct um_classify_job {
    const um_settings *settings;
    um_backend *backend;     /* borrowed, like the rest */
    const um_model_def *model;
    const um_dataset *data;  /* with labels */
    const um_rows *train_rows, *test_rows;
    uint64_t seed;
    const char *checkpoint, *label;
    um_comm *comm;
} um_classify_job;

typedef struct um_classify_result {
    um_class_scores train, test;
    um_curves curves;
    char weights_sha256[UM_SHA256_HEX];
    double seconds;
} um_classify_result;
void um_classify_result_free(um_classify_result *r);

/* Trains from scratch with augmentation; pixels are normalised by mean and standard deviation of the training rows, which the
 * network's configuration keeps. out: owned by the caller. Errors: UM_E_DATA without labels, with fewer than two classes, or
 * without rows; UM_E_CONFIG for a network that is no classifier; those of um_fit_run. */
um_status um_classify_run(um_segmenter **out, um_classify_result *result, const um_classify_job *job);

/* What um_classify_run would take, without doing it; predict: FLOPs of one image asked about. Errors: as um_classify_run's. */
um_status um_classify_cost(um_cost *out, double *predict, const um_classify_job *job);

/* Scores of images given as 8-bit pixels, n of them one after the other: logits [n][classes]. Local. Any n. */
um_status um_classify_bytes(um_segmenter *s, const uint8_t *pixels, int64_t n, float *logits);
/* Of rows of a dataset; with several ranks each does its part and all get all. */
um_status um_classify_rows(um_segmenter *s, const um_dataset *d, const um_rows *rows, um_comm *comm, float *logits);

#endif
