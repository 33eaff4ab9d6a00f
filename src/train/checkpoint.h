/* Checkpoints of networks in training: everything needed to continue bit for bit. */
#ifndef UM_TRAIN_CHECKPOINT_H
#define UM_TRAIN_CHECKPOINT_H

#include "nn/param.h"
#include "train/curve.h"
#include "train/segmenter.h"

/* Where a training stands: epochs done, steps done in the current one, and what those steps added up. */
typedef struct um_progress_state {
    int64_t epoch, step;
    double sums[4];
} um_progress_state;

/* A named set of networks plus progress and curves in one file (state of a protector's fit or of an exploiter's training).
 * fingerprint: text that must match on load (settings and data of the run): a checkpoint of another run is ignored, not an error. */
typedef struct um_training_state {
    const char *fingerprint;
    int n_nets;
    const char *net_name[4];
    um_params *net[4]; /* borrowed */
    um_progress_state progress;
    um_curves *curves; /* borrowed */
    double seconds;    /* wall time that went into it, over all runs */
    bool keep;         /* saving: a file of that name stays (io/checkpoint.h) */
} um_training_state;

um_status um_training_save(const um_training_state *s, const char *path);
/* found: false when there is no file or it belongs to another run (then nothing changed). Errors: UM_E_DATA for a broken file. */
um_status um_training_load(um_training_state *s, const char *path, bool *found);

/* A model file (`--save-model`, FORMAT.md "ckpt-1"): weights under PyTorch names. A file of that name stays: it must hold the same
 * weights, as after a run that was killed behind this point, or it is UM_E_USAGE. */
um_status um_model_save(const um_segmenter *s, const char *path, int64_t epoch, uint64_t seed);
/* Reads arch, width, channels and variant, builds the network for images of h x w and loads the weights strictly. */
um_status um_model_load(um_segmenter **out, um_backend *backend, const char *path, int64_t h, int64_t w, int64_t max_batch);

#endif
