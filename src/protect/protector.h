/* Protectors: methods that perturb the images of a dataset within a bound so that networks trained on them fail on clean images.
 *
 * A protector is `fit` (learn whatever it needs from the training rows) and `apply` (the perturbation of one image). One file and
 * one line in protectors.def add one. `none` is a protector too. */
#ifndef UM_PROTECT_PROTECTOR_H
#define UM_PROTECT_PROTECTOR_H

#include <math.h>

#include "base/opt.h"
#include "io/dataset.h"
#include "kernels/backend.h"
#include "mpi/comm.h"
#include "train/cost.h"
#include "train/curve.h"
#include "train/rows.h"

/* What a fit works on; everything borrowed. */
typedef struct um_protect_job {
    const um_settings *settings;
    um_backend *backend;
    const um_dataset *data;   /* clean */
    const um_rows *rows;      /* rows to learn from */
    uint64_t seed;
    const char *checkpoint;   /* file for exact resume; NULL: none */
    const char *label;        /* for progress lines */
    double *earlier_s;        /* receives the seconds that earlier runs of this fit took; NULL: not wanted */
    um_comm *comm;            /* ranks that fit together: every one calls fit, with equal jobs; NULL: one rank */
} um_protect_job;

typedef struct um_protector_def {
    const char *name, *summary;
    const um_opt_table *table;  /* its option group; NULL: none */
    const char *groups;         /* option groups that influence its result, space separated: what a protected file's key is made of */
    bool unseen;                /* apply works on images that fit never saw, of any size (a state that was loaded always does) */
    /* State of a fit: owned by the caller, opaque. Saves to job->checkpoint and returns UM_E_STOPPED when a stop is asked for. */
    um_status (*fit)(const um_protect_job *job, void **state, um_curves *curves);
    /* delta: float [n][h][w][c] in [0,1] units for the n given rows of d (same h, w, c as in fit). */
    um_status (*apply)(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta);
    /* apply in two halves, for callers that overlap them. prepare: what it takes from images and masks on the CPU, on any thread beside
     * an apply_prepared; d and rows stay until then. apply_prepared takes `prepared` whatever happens; drop_prepared is for who never
     * comes to it. NULL: there is nothing to prepare. */
    um_status (*prepare)(void *state, const um_dataset *d, const int64_t *rows, int64_t n, void **prepared);
    um_status (*apply_prepared)(void *state, void *prepared, float *delta);
    void (*drop_prepared)(void *prepared);
    /* apply_prepared in three parts, for callers that overlap them for different images: to the device, on it, and back. Each from one
     * thread at a time; only compute uses the networks. carry_in takes `prepared`, carry_out `carried`, whatever happens; drop_carried is
     * for who never comes to it. Only where carries(state): a device that copies beside its runs (kernels/queue.h). NULL, all of them:
     * no such thing. */
    bool (*carries)(const void *state);
    um_status (*carry_in)(void *state, void *prepared, void **carried);
    um_status (*compute)(void *state, void *carried);
    um_status (*carry_out)(void *state, void *carried, float *delta);
    void (*drop_carried)(void *state, void *carried);
    /* Bytes that apply takes for images of this size, besides what the state holds already. NULL: little. */
    um_status (*apply_bytes)(void *state, int64_t h, int64_t w, int64_t c, double *out);
    /* Largest |delta| this protector declares, in [0,1] units (the tests hold it to that); INFINITY: it bounds something else. */
    double (*bound)(const um_settings *settings);
    const char *(*bound_name)(const um_settings *settings); /* what is bounded where `bound` is INFINITY: "psnr" */
    /* `--state`; NULL: nothing to keep. fitted: what it was fitted on; the file says the size of its images. Replaces no file
     * (io/checkpoint.h). */
    um_status (*save)(void *state, const um_dataset *fitted, const char *path);
    um_status (*load)(const um_protect_job *job, const char *path, void **state); /* NULL likewise */
    void (*free)(void *state);
    um_status (*cost)(const um_protect_job *job, um_cost *out); /* of a whole fit + apply, for plans; NULL: negligible */
} um_protector_def;

/* What the checkpoint of a fit must agree on: a kind, the settings of `groups`, data, rows and seed. */
um_status um_protect_fingerprint(const um_protect_job *job, const char *kind, const char *groups, char out[UM_SHA256_HEX]);

/* Errors: UM_E_CONFIG with the nearest name. */
um_status um_protector_find(const um_protector_def **out, const char *name);
const um_protector_def *const *um_protector_all(int *n);

/* Group "export". */
typedef struct um_export_options {
    int dtype; /* 0 u8: what a released file holds (the input's integer type); 1 f32 is refused for files */
    bool bn_recalibrate;
    double eps_scale; /* scales the perturbation at application (1 = as fitted); the declared bound scales with it */
} um_export_options;
extern const um_opt_table um_export_table;

/* What a pixel becomes in a released file: value + round(max * delta), the step within +-limit and the result within [0, max]. */
static inline int64_t um_released_value(int64_t value, double delta, int64_t limit, int64_t max)
{
    int64_t step = llround((double)max * delta);
    step = step > limit ? limit : step < -limit ? -limit : step;
    value += step;
    return value < 0 ? 0 : value > max ? max : value;
}
/* The largest change of a pixel that um_protect_apply lets through, in grey levels of images with values up to max (255, 65535):
 * ceil(bound * eps_scale * max); max itself for a protector that declares no bound. */
int64_t um_protect_limit(const um_protector_def *def, const um_settings *settings, int max);

/* Perturbs the given rows of `clean` (NULL rows: all): released = clean + round(max * delta), clamped to the pixel range, and never further than
 * um_protect_limit from clean. Other rows stay as they are. out: owned by the caller. */
um_status um_protect_apply(um_dataset **out, const um_protector_def *def, void *state, const um_settings *settings,
                           const um_dataset *clean, const um_rows *rows);

#endif
