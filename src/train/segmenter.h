/* A network that can learn and predict, for segmentation or (model->classifier) for classes of images: parameters, a training graph (forward, loss, backward) and an evaluation
 * graph (running statistics, no gradients), on one backend. Exploiters, surrogates and `umed predict` all stand on it. */
#ifndef UM_TRAIN_SEGMENTER_H
#define UM_TRAIN_SEGMENTER_H

#include "models/model.h"
#include "nn/exec.h"
#include "train/cost.h"
#include "train/options.h"
#include "train/ranks.h"
#include "train/transit.h"

typedef struct um_segmenter_config {
    const um_model_def *model;
    um_model_config net;
    int64_t h, w, max_batch;
    um_spread spread; /* max_batch counts the images of all ranks */
    um_seg_attr loss;
    um_adam_attr adam; /* lr may change from step to step; the rest is part of the training graph */
    uint64_t seed; /* of dropout */
    double focal;          /* classifiers: gamma of the focal loss; 0: cross entropy */
    double mean[3], sd[3]; /* of the pixels it was trained on, per channel in [0,1]: um_segmenter_normalise. sd[0] = 0: pixels as they are */
} um_segmenter_config;

typedef struct um_predict_line um_predict_line;
void um_predict_line_free(um_predict_line *line); /* accepts NULL */

typedef struct um_segmenter {
    um_segmenter_config config;
    um_backend *backend; /* borrowed */
    um_params *params;   /* owned */
    um_graph *train_graph, *eval_graph;
    um_exec *train, *eval;
    um_tid x, y, loss, eval_x, eval_logits;
    um_outlet losses;                    /* of steps that were begun and not ended */
    int64_t under_way[UM_TRANSIT_SLOTS]; /* images of those steps; a step's place is its number modulo the slots */
    um_predict_line *predict;            /* predict.h; NULL until needed */
    bool recompute; /* um_graph.recompute of the training graph: in host memory, and on a device that has no room otherwise */
} um_segmenter;

/* The training graph is left out when config->adam.lr is 0 (prediction only). out: owned by the caller. */
um_status um_segmenter_create(um_segmenter **out, um_backend *backend, const um_segmenter_config *config);
void um_segmenter_free(um_segmenter *s);

/* (x - mean) / sd of n images, real [n][h][w][c], in place: what a network with such numbers takes. */
void um_segmenter_normalise(const um_segmenter *s, void *x, int64_t n);
/* Bytes of one image's target: a mask [h][w], or one class. */
size_t um_segmenter_target_bytes(const um_segmenter *s);
/* Bytes of one image's logits: [h][w][out_ch], of a classifier [out_ch]. */
size_t um_segmenter_logit_bytes(const um_segmenter *s);

/* This rank's share of a batch of n images. */
void um_segmenter_share(const um_segmenter *s, int64_t n, um_share *out);
/* One Adam step on a batch of n images. x: real [share.n][h][w][c] and y: real [share.n][h][w] hold this rank's share, with one rank all
 * of it; x NULL: the inputs hold the batch already (um_resident_feed). Classifiers: y real [share.n], classes. Collective over the ranks. loss: total, CE, Dice of the batch; of a classifier loss, share of
 * hits, margin. Errors: UM_E_NUMERIC when the loss is no number; then the weights are of no use either. */
um_status um_segmenter_step(um_segmenter *s, const void *x, const void *y, int64_t n, double loss[3]);
/* The same in two halves: begin returns while a device works on the step, end waits for the oldest step that was begun. Up to
 * UM_TRANSIT_SLOTS steps may be under way; whatever else reads or changes the network meanwhile takes effect behind them. x and
 * y are free when begin returns. */
um_status um_segmenter_begin(um_segmenter *s, const void *x, const void *y, int64_t n);
um_status um_segmenter_end(um_segmenter *s, double loss[3]);
/* The batch at hand of an inlet of images and targets, this rank's n images of it, for a step with x NULL. */
um_status um_segmenter_feed(um_segmenter *s, um_inlet *in, int64_t n);
/* For who waits for the backend while steps are under way: returns when only the device itself is waited for, no other rank. */
um_status um_segmenter_settle(um_segmenter *s);
void um_segmenter_forget(um_segmenter *s); /* steps under way, after a failure */

/* Prediction is local; of more images than one batch, see predict.h. logits: real [n][h][w][out_ch], of a classifier
 * [n][out_ch], n <= max_batch. */
um_status um_segmenter_logits(um_segmenter *s, const void *x, int64_t n, void *logits);
/* One margin per pixel as float: the logit, or z1 - z0 for two channels; foreground where >= 0. margin: [n][h][w]. */
um_status um_segmenter_margin(um_segmenter *s, const void *x, int64_t n, float *margin);
void um_segmenter_margin_of(const um_segmenter *s, const void *logits, int64_t n, float *margin);

/* What a segmenter would take, without making it: FLOPs of one image in a training step and in a prediction, and the memory of all. */
typedef struct um_segmenter_costs {
    double train, predict, bytes;
} um_segmenter_costs;
um_status um_segmenter_cost(um_segmenter_costs *out, um_backend *backend, const um_segmenter_config *config);

#endif
