/* A frozen network seen from its input: the gradient of a loss with respect to the images, and projected gradient descent or ascent
 * in an l-infinity ball around them (Madry et al., ICLR 2018). Protectors and adversarial training stand on it.
 *
 * Every image is a batch of its own: its loss is that of the image alone, and BatchNorm uses its running statistics. So results do
 * not depend on which images are worked on together. */
#ifndef UM_TRAIN_PGD_H
#define UM_TRAIN_PGD_H

#include "models/model.h"
#include "mpi/comm.h"
#include "train/cost.h"

typedef enum um_input_loss {
    UM_INPUT_SEG,   /* segmentation loss against y; Dice per image whatever loss.dice.reduction says */
    UM_INPUT_ALIGN, /* mean square distance of the features before the head from the mean feature of the other class (ops.h) */
    UM_INPUT_CLASS, /* a classifier's loss (ops.h CLASS_SUMS); y: real [n], classes */
} um_input_loss;

typedef struct um_input_grad_config {
    const um_model_def *model;
    um_model_config net;
    um_params *params; /* borrowed; read at every call, so they may change between calls */
    um_comm *comm;     /* ranks that share the images of a call; NULL: local. Then calls are collective and all get all results */
    int64_t h, w, max_batch;
    um_input_loss kind;
    um_seg_attr loss; /* UM_INPUT_SEG */
    bool balance;     /* UM_INPUT_ALIGN: both regions count alike */
    um_class_loss class_loss; /* UM_INPUT_CLASS */
    const char *wanted; /* name of an activation to differentiate with respect to instead of the image; NULL: the image. dx is its gradient then, and
                         * um_input_grad_features gives it */
} um_input_grad_config;

typedef struct um_input_grad um_input_grad;

/* The graph holds no weight gradients. out: owned by the caller. Errors: UM_E_UNSUPPORTED from planning. */
um_status um_input_grad_create(um_input_grad **out, um_backend *backend, const um_input_grad_config *config);
void um_input_grad_free(um_input_grad *g);

/* x: real [n][h][w][c], y: real [n][h][w], n <= max_batch. dx: like x, may be NULL when only the loss is wanted (then no
 * backward pass runs). loss: [n], one per image; may be NULL. */
um_status um_input_grad_run(um_input_grad *g, const void *x, const void *y, int64_t n, void *dx, double *loss);

/* UM_INPUT_ALIGN: the mean features outside and inside, [2][channels]; they stay until the next call. */
void um_input_grad_set_means(um_input_grad *g, const double *means);
/* Features before the head of n images: real [n][h][w][channels], from a run with dx = NULL or not; of the last call. */
int64_t um_input_grad_channels(const um_input_grad *g);
void um_input_grad_extent(const um_input_grad *g, int64_t *h, int64_t *w); /* of those features */
um_status um_input_grad_features(um_input_grad *g, int64_t n, void *features);

/* What it would take, without making it (config->params is not looked at): FLOPs of one image forward and backward; activations. */
um_status um_input_grad_cost(um_cost *out, um_backend *backend, const um_input_grad_config *config);

/* The ball |v - x| <= eps inside the image range [0,1], and a step in it. */
typedef struct um_ball {
    double eps, step; /* [0,1] units; step > 0 climbs the loss, < 0 descends */
} um_ball;

/* v <- clip(x + clip(v + step * sign(g) - x, -eps, eps), 0, 1). keep: u8 per pixel, v = x where it is 0; NULL: everywhere free. */
void um_ball_step(const um_ball *b, um_dtype real, void *v, const void *x, const void *g, const uint8_t *keep, int64_t pixels,
                  int64_t c);
/* The same projection without a step. */
void um_ball_project(const um_ball *b, um_dtype real, void *v, const void *x, const uint8_t *keep, int64_t pixels, int64_t c);

/* `steps` steps from v, n images, which stay with the backend in between. Stops early with UM_E_STOPPED when a stop was asked for and may_stop; then v is
 * as it was. Not where config->wanted is set. */
um_status um_pgd_run(um_input_grad *g, const um_ball *b, int64_t steps, void *v, const void *x, const void *y, const uint8_t *keep,
                     int64_t n, bool may_stop);
/* The same piece by piece, so long as nobody else uses g: v to the backend, one step of it, and v back. fetch is collective. */
um_status um_pgd_place(um_input_grad *g, const um_ball *b, const void *v, const void *x, const void *y, const uint8_t *keep,
                       int64_t n);
um_status um_pgd_step(um_input_grad *g, int64_t n);
um_status um_pgd_fetch(um_input_grad *g, void *v, int64_t n);

/* Gradients of images that stay with the backend, for methods that put several of them together: each rank has its own
 * (um_ranks_slice) of the n of a batch. y as in um_input_grad_run, of all n; until the next call. v: [own][h][w][c] in the
 * backend's memory. dx: until the next run. */
um_status um_input_grad_aim(um_input_grad *g, const void *y, int64_t n);
um_status um_input_grad_there(um_input_grad *g, const um_view *v, um_view *dx);

#endif
