/* Inside protect/: what the protectors that perturb image by image through a surrogate share (EM, TAP, SEP): the surrogate, its
 * view from the input, the perturbations as a table, batches on the host, and a state from which a fit goes on exactly. */
#ifndef UM_PROTECT_ATTACK_H
#define UM_PROTECT_ATTACK_H

#include "protect/protector.h"
#include "train/checkpoint.h"
#include "train/fit.h"
#include "train/pgd.h"

/* The perturbations of the images that were fitted, by id. */
typedef struct um_delta_table {
    um_dtype real;
    int64_t n, h, w, c;
    struct um_delta_key {
        uint64_t key;
        int64_t at;
    } * keys;    /* sorted */
    void *delta; /* real [n][h][w][c], rows in the order of the fit */
} um_delta_table;
um_status um_delta_table_create(um_delta_table **out, um_dtype real, const um_dataset *d, const um_rows *rows);
void um_delta_table_free(void *table); /* the state of a fitted protector */
/* Errors: UM_E_DATA naming an image that was not fitted; who: the protector. */
um_status um_delta_table_apply(const um_delta_table *t, const char *who, const um_dataset *d, const int64_t *rows, int64_t n,
                               float *delta);

/* Options that all of them have; a table takes UM_ATTACK_ROWS(struct, member). */
typedef struct um_attack_options {
    double eps; /* [0,1] units */
    int64_t batch;
    um_adam_attr adam;
} um_attack_options;
#define UM_ATTACK_ROWS(S, m)                                                                                                       \
    UM_OPT_REAL_ROW(S, m.eps, "eps", "4/255", 0, 1, "[0,1]", "largest change of a pixel"),                                         \
        UM_OPT_INT_ROW(S, m.batch, "batch", "16", 1, 65536, "images", "batch of the surrogate and of gradient steps"),             \
        UM_OPT_REAL_ROW(S, m.adam.lr, "adam.lr", "1e-4", 1e-12, 1, "", "learning rate of the surrogate"),                          \
        UM_OPT_REAL_ROW(S, m.adam.b1, "adam.b1", "0.9", 0, 0.999999, "", "Adam beta 1"),                                           \
        UM_OPT_REAL_ROW(S, m.adam.b2, "adam.b2", "0.999", 0, 0.999999999, "", "Adam beta 2"),                                      \
        UM_OPT_REAL_ROW(S, m.adam.eps, "adam.eps", "1e-8", 0, 1, "", "Adam epsilon"),                                              \
        UM_OPT_REAL_ROW(S, m.adam.weight_decay, "adam.wd", "0", 0, 1, "", "L2 weight decay")

typedef struct um_attack {
    const um_protect_job *job;
    um_attack_options o;
    um_dtype real;
    int64_t pixels, values;  /* of one image: h*w, h*w*c */
    size_t image_bytes;      /* of one image in real */
    um_segmenter *surrogate; /* U-Net; made of group model. NULL where the networks are lent */
    um_params *params;       /* the surrogate's; borrowed */
    um_input_grad *grad;     /* over them */
    bool lent;               /* grad is somebody else's */
    um_delta_table *table;
    char *x, *y, *v, *dx; /* one batch: clean images, masks, perturbed images, gradients */
    uint8_t *keep;        /* one batch of pixel flags */
    int64_t n_picked;     /* images of the batch at hand */
    um_training_state state;
    um_saver saver;
    char fingerprint[UM_SHA256_HEX];
} um_attack;

/* kind of gradient: see train/pgd.h. out: release with um_attack_clear, which leaves the table to who took it. */
um_status um_attack_open(um_attack *out, const um_protect_job *job, const um_attack_options *o, um_input_loss kind, bool balance);
void um_attack_clear(um_attack *a);

/* What a fit leaves behind, and what of it a file keeps: to the images of the fit belongs the table; from a file come the surrogate, the
 * seed and whatever else the method needs to attack images that no fit saw. */
typedef struct um_attack_state um_attack_state;
/* Perturbs the images of a batch that no fit saw; *out: their perturbations, rows as in job. */
typedef um_status um_attack_fn(um_attack_state *s, const um_protect_job *job, um_delta_table **out);
struct um_attack_state {
    const char *name;             /* of the protector */
    um_attack_fn *attack;
    um_delta_table *table;        /* of a fit; NULL: from a file */
    um_segmenter *surrogate;      /* of a fit */
    um_text fingerprint;          /* the settings under which it was fitted */
    um_protect_job job;           /* settings, backend and seed count */
    um_attack_options o;
    um_input_loss kind;
    bool balance;
    um_params *params;            /* from a file: owned */
    um_input_grad *grad;          /* for images of h x w; made when it is needed */
    int64_t h, w, c;
    int n_arrays;                 /* kept beside the surrogate */
    um_training_array array[2];   /* data: owned */
};

/* Of a fit: takes a's table and surrogate on success. arrays: copied. */
um_status um_attack_state_of_fit(um_attack_state **out, const char *name, const char *groups, um_attack_fn *attack, um_attack *a,
                                 const um_training_array *arrays, int n_arrays);
/* From a file. lengths: of the arrays, once the surrogate's parameters are known; fills name, dtype and n. */
um_status um_attack_state_load(um_attack_state **out, const char *name, const char *groups, um_attack_fn *attack,
                               const um_protect_job *job, const um_attack_options *o, um_input_loss kind, bool balance, const char *path,
                               int (*lengths)(const um_attack_state *s, um_training_array array[2]));
um_status um_attack_state_save(void *state, const um_dataset *fitted, const char *path);
void um_attack_state_free(void *state);
um_status um_attack_state_bytes(void *state, int64_t h, int64_t w, int64_t c, double *out); /* um_protector_def.apply_bytes */

/* um_protector_def.apply: the table where there is one, else the attack, batch by batch. */
um_status um_attack_state_apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta);
/* For an um_attack_fn: everything of um_attack_open but the training, on the state's networks. */
um_status um_attack_open_lent(um_attack *out, const um_protect_job *job, um_attack_state *s);

/* Element i of an array in real. */
static inline double um_attack_get(const um_attack *a, const void *p, int64_t i)
{
    return a->real == UM_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}
static inline void um_attack_put(const um_attack *a, void *p, int64_t i, double v)
{
    if (a->real == UM_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

/* Image i of a batch such as x, v or dx. */
static inline char *um_attack_image(const um_attack *a, char *batch, int64_t i)
{
    return batch + (size_t)i * a->image_bytes;
}

/* Fills pick with the positions of the batch that begins at `first`; returns how many, which stays in n_picked. */
int64_t um_attack_pick(um_attack *a, int64_t first, int64_t *pick);
/* Fills x and y with n images, given as positions in job->rows; um_attack_load also v with x + delta, clipped to [0,1]. */
void um_attack_load_clean(um_attack *a, const int64_t *pick, int64_t n);
void um_attack_load(um_attack *a, const int64_t *pick, int64_t n);
/* x + delta alone, clipped, real [n][h][w][c]. */
void um_attack_perturbed(const um_attack *a, const int64_t *pick, int64_t n, void *v);
/* Puts v - x of image i of the batch into the table at position `at`. */
void um_attack_store(um_attack *a, int64_t i, int64_t at);
/* Rows of the table as an array of the training state. */
um_training_array um_attack_table_array(const um_attack *a);

/* The surrogate trained on clean images for `epochs` epochs, or everything as the checkpoint has it: a run stopped while training
 * goes on training, one stopped later goes on there (a->state, whose fingerprint must be set). hooks: callbacks and arrays of the
 * training. kind, groups: of the training's fingerprint. */
um_status um_attack_surrogate(um_attack *a, int64_t epochs, const char *kind, const char *groups, um_fit_options hooks,
                              um_curves *curves);

/* Passes on what a step said. Where it is UM_E_STOPPED, the state, which is that before the step, is saved first. */
um_status um_attack_save_stopped(um_attack *a, um_status outcome);

/* FLOPs of one image: a training step, a gradient step, a prediction; and the memory of all of it. */
typedef struct um_attack_cost {
    double train, gradient, predict, bytes;
} um_attack_cost;
um_status um_attack_cost_of(um_attack_cost *out, const um_protect_job *job, const um_attack_options *o, um_input_loss kind);

#endif
