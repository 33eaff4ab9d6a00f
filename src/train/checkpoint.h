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

/* Further numbers that a run cannot go on without, of a fixed length. */
typedef struct um_training_array {
    const char *name;
    um_dtype dtype; /* UM_F32 or UM_F64 */
    void *data;     /* borrowed */
    int64_t n;
} um_training_array;

/* A named set of networks plus progress and curves in one file (state of a protector's fit or of an exploiter's training).
 * fingerprint: text that must match on load (settings and data of the run): a checkpoint of another run is ignored, not an error. */
typedef struct um_training_state {
    const char *fingerprint;
    int n_nets;
    const char *net_name[4];
    um_params *net[4]; /* borrowed */
    int n_arrays;
    um_training_array array[4];
    um_progress_state progress;
    um_curves *curves; /* borrowed */
    double seconds;    /* wall time that went into it, over all runs */
    bool keep;         /* saving: a file of that name stays (io/checkpoint.h) */
    int64_t h, w;      /* saving: of the images that it was fitted on, for um_training_extent; 0: not said */
} um_training_state;

/* The size of the images that a state was fitted on; 0 x 0 where its file does not say it. */
um_status um_training_extent(const char *path, int64_t *h, int64_t *w);

um_status um_training_save(const um_training_state *s, const char *path);
/* found: false when there is no file or it belongs to another run (then nothing changed). Errors: UM_E_DATA for a broken file. */
um_status um_training_load(um_training_state *s, const char *path, bool *found);

/* When and where a run saves itself. Initialise with um_saver_set. With several ranks every rank has one and calls the functions below
 * at the same points; rank 0 writes.
 *
 * Two generations are kept, PATH and PATH.old: a checkpoint that turns out to be broken costs the time since the one before it. */
typedef struct um_saver {
    um_training_state *state; /* borrowed */
    um_comm *comm;
    const char *path;         /* NULL: nothing is saved */
    const char *label;
    double every_s, saved_at;
    double begun_at;          /* as if all of it had been one run */
    double cost_s;            /* of the last save: the next one waits until it is at most 2 % of the time */
} um_saver;
void um_saver_set(um_saver *s, um_training_state *state, um_comm *comm, const char *path, double every_s, const char *label);
/* Goes on where the last run of this training left off; found: false when there is nothing to go on from. earlier_s: seconds that went in
 * before; may be NULL. Errors: those of um_training_load when both generations are broken; UM_E_USAGE when
 * ranks do not start with the same weights, settings and data. */
um_status um_saver_resume(um_saver *s, double *earlier_s, bool *found);
um_status um_saver_save(um_saver *s);
/* At a point from which the run could go on exactly: saves when it is time to. When a stop was asked for on any rank, saves and returns
 * UM_E_STOPPED on all of them. */
um_status um_saver_pause(um_saver *s);
/* The same for who has steps under way: settle brings the state up to date, and is called, on all ranks, only before something is
 * saved. */
um_status um_saver_pause_after(um_saver *s, um_status (*settle)(void *payload), void *payload);
/* For points with nothing to save: UM_E_STOPPED on all ranks when a stop was asked for on any. where: "between gradient steps". */
um_status um_ranks_stop_check(um_comm *comm, const char *where);
/* Removes the checkpoints of a training that is over. */
void um_saver_remove(const char *path);

/* A model file (`--save-model`, FORMAT.md "ckpt-1"): weights under PyTorch names. A file of that name stays: it must hold the same
 * weights, as after a run that was killed behind this point, or it is UM_E_USAGE. */
um_status um_model_save(const um_segmenter *s, const char *path, int64_t epoch, uint64_t seed);
/* Reads arch, width, channels and variant, builds the network for images of h x w and loads the weights strictly. */
um_status um_model_load(um_segmenter **out, um_backend *backend, const char *path, int64_t h, int64_t w, int64_t max_batch);

#endif
