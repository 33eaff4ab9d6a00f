/* A small network with everything that a test wants to look at: weights, graph, loss, gradients. Failures end the test. */
#ifndef UM_TESTS_NN_NET_FIXTURE_H
#define UM_TESTS_NN_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/model.h"
#include "nn/exec.h"

/* Prints the message of a status that should have been UM_OK, and fails. */
#define assert_ok(expr) net_assert_ok((expr), #expr, __FILE__, __LINE__)
void net_assert_ok(um_status rc, const char *expr, const char *file, int line);

typedef struct net_spec {
    const char *model, *backend;
    um_dtype real;
    um_precision precision;
    um_model_config config;
    int64_t h, w, max_batch;
    um_bn_mode bn;
    bool bn_per_lane; /* um_graph.bn_per_lane */
    bool frozen;   /* no weight gradients; then wants_dx must be set */
    bool wants_dx; /* the gradient of the images too */
    bool clear_of_kinks; /* BatchNorm keeps activations away from zero, for finite differences */
    uint64_t seed; /* of the weights */
} net_spec;

typedef struct test_net {
    net_spec spec;
    um_backend *backend;
    um_params *params;
    um_graph *graph;
    um_exec *exec;
    um_tid x, y, logits, loss, dx; /* logits and loss are kept */
    int64_t pixels;                /* of one image */
} test_net;

/* One logit, transposed convolutions, no bias; dual central differences for cdc_unet. */
um_model_config net_config(int64_t width, int64_t in_ch, int64_t out_ch);

/* Loss: CE + Dice per image, smooth 1e-5; of a classifier cross entropy. Weights: um_params_init, then BatchNorm gamma in [0.5, 1.5), beta in [-0.5, 0.5). */
void net_create(test_net *net, const net_spec *spec);
void net_free(test_net *net);
void net_random_norms(um_params *params, uint64_t seed, bool clear_of_kinks);

/* Numbers in n images of a tensor. */
int64_t net_count(const test_net *net, um_tid t, int64_t n);
/* x: [n][h][w][in_ch], y: [n][h][w], of a classifier [n], converted to the backend's type. */
void net_upload(test_net *net, um_tid t, const double *host, int64_t n);
/* Forward and backward over n uploaded images. Returns the loss. */
double net_run(test_net *net, int64_t n, int lanes);
/* A kept tensor as doubles; owned by the caller (um_free). */
double *net_fetch(test_net *net, um_tid t, int64_t n);
/* One parameter block's tensor in PyTorch order; owned by the caller. */
double *net_param(const um_params *params, int index, um_param_block block);

/* Images of noise and masks of one ellipse each, a function of the image's number:
 * x [n][h][w][c] in multiples of 1/255, y [n][h][w]. */
void net_example(double *x, double *y, int64_t n, int64_t h, int64_t w, int64_t c);

int net_count_op(const um_graph *g, um_op op);

#endif
