/* Inside protect/: the parts of SEP that its oracle looks at (sep.c). */
#ifndef UM_PROTECT_SEP_H
#define UM_PROTECT_SEP_H

#include "protect/attack.h"

typedef struct um_sep_options {
    um_attack_options common;
    int64_t n, t, m, clean_epochs;
    double alpha;
    bool fa, vr, fa_class_balance;
} um_sep_options;

typedef struct um_sep {
    um_attack a;
    const um_sep_options *o;
    um_ball ball;
    int64_t *picked;
    char *snapshots; /* [n] states of the surrogate */
    size_t snapshot_bytes;
    double *means;        /* [n][2][channels], feature alignment only */
    char *target;         /* one batch: inverted masks, without feature alignment */
    /* This rank's images of the batch, in the backend's memory: clean, outer and inner iterate, accumulated direction, gradients
     * of all checkpoints at the outer iterate along the channels, their mean; the ball. */
    um_view x, v, w, s, g, mean_g, reach;
    char *members;        /* snapshots in the device's memory; NULL: they come from the host */
} um_sep;

um_status um_sep_open(um_sep *s, const um_protect_job *job, um_curves *curves);
void um_sep_clear(um_sep *s);
/* Trains the surrogate and takes its checkpoints, then the mean features of both classes under each of them. */
um_status um_sep_learn(um_sep *s, um_curves *curves);
/* Loads batch number `batch` (clean images and masks); returns its size. */
int64_t um_sep_take_batch(um_sep *s, int64_t batch);
/* The batch's images, masks and a.v to the backend. */
um_status um_sep_place(um_sep *s, int64_t n);
/* Checkpoint that inner step m of outer step t looks at. */
int64_t um_sep_draw(const um_sep *s, int64_t t, int64_t m);
/* Gradient of checkpoint k at v, images as s->v; dx: until the next one. Errors: UM_E_STOPPED, on all ranks. */
um_status um_sep_gradient(um_sep *s, int64_t k, const um_view *v, um_view *dx);

#endif
