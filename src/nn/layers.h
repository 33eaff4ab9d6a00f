/* Layers: append the nodes of one layer to a graph, creating its parameters under PyTorch's names on the first build.
 * Every function: out = the layer's output; x: [N,H,W,C] of the graph's real type. Errors: UM_E_BUG (shapes), UM_E_MEMORY. */
#ifndef UM_NN_LAYERS_H
#define UM_NN_LAYERS_H

#include "nn/graph.h"

/* What BatchNorm does (protectors.md U14, U15). */
typedef enum um_bn_mode {
    UM_BN_TRAIN, /* batch statistics, running buffers updated */
    UM_BN_BATCH, /* batch statistics, buffers untouched ("train_noupdate") */
    UM_BN_EVAL,  /* running statistics */
} um_bn_mode;

/* Logits besides the last ones, each with a loss of its own in training (deep supervision). */
typedef struct um_aux_heads {
    um_tid logits[7];
    int n;
} um_aux_heads;

/* A network inside a graph: where its parameters are, whether they learn here, and how its normalisation behaves. */
typedef struct um_net {
    um_graph *graph;
    um_params *params;
    bool trainable;
    um_bn_mode bn;
    um_aux_heads *aux; /* where a network with deep supervision leaves its other logits; NULL: nobody asks */
} um_net;

typedef enum um_cdc_mode { UM_CDC_NONE, UM_CDC_DUAL, UM_CDC_THETA } um_cdc_mode;
typedef struct um_cdc {
    um_cdc_mode mode;
    double theta;         /* UM_CDC_THETA */
    double init_wc_scale; /* UM_CDC_DUAL: w_c ~ scale * the bound of w_v */
} um_cdc;

/* NAME.weight [O,C,k,k], NAME.bias [O] when bias; k = 1 or 3, stride 1, "same" padding. Init U(+-1/sqrt(C k k)). */
um_status um_nn_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, int k, bool bias);

/* Central-difference convolution 3x3 (eq. 3; protectors.md 1.4): NAME.weight = w_v, NAME.weight_cd = w_c (dual). */
um_status um_nn_cdc_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, bool bias, const um_cdc *cdc);

/* NAME.weight, NAME.bias, NAME.running_mean, NAME.running_var, NAME.num_batches_tracked; eps 1e-5, momentum 0.1. */
um_status um_nn_batchnorm(const um_net *net, um_tid *out, um_tid x, const char *name, bool relu);

/* Transposed convolution 2x2 stride 2 with bias: NAME.weight [C,O,2,2]. Init U(+-1/sqrt(O*4)) as the framework does. */
um_status um_nn_conv_transpose(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch);

um_status um_nn_maxpool(um_graph *g, um_tid *out, um_tid x, int size, int stride, int pad); /* floor; pads with -infinity */
um_status um_nn_upsample(um_graph *g, um_tid *out, um_tid x, um_upsample_mode mode); /* x2 */
/* Zero-pads or crops to h x w: left/top = floor(d/2). Returns x itself when nothing changes. */
um_status um_nn_fit(um_graph *g, um_tid *out, um_tid x, int64_t h, int64_t w);
/* y[i,j] = x[i+top, j+left] inside x, else 0; h x w. Returns x itself when nothing changes. */
um_status um_nn_window(um_graph *g, um_tid *out, um_tid x, int64_t top, int64_t left, int64_t h, int64_t w);
um_status um_nn_add(um_graph *g, um_tid *out, um_tid a, um_tid b);
/* Perturbation from the raw output z [N,H,W,C] under the bound map [N,H,W,1]. */
um_status um_nn_bound(um_graph *g, um_tid *out, um_tid z, um_tid bound, um_bound_rule rule, double gain);
um_status um_nn_clip(um_graph *g, um_tid *out, um_tid v, um_clip_rule rule, double lo, double hi);

/* Segmentation loss of logits z [N,H,W,1|2] against the mask y [N,H,W,1]. out: f64 [3] = loss, CE, Dice over the global batch. */
um_status um_nn_seg_loss(um_graph *g, um_tid *out, um_tid z, um_tid y, const um_seg_attr *attr);

/* The mean of the losses of n logits: deep supervision. */
um_status um_nn_seg_loss_mean(um_graph *g, um_tid *out, const um_tid *z, int n, um_tid y, const um_seg_attr *attr);

/* ---- attention networks (layers_token.c); tokens are pixels, so a linear layer is a 1x1 convolution ---- */

um_status um_nn_act(um_graph *g, um_tid *out, um_tid x, um_act kind);
um_status um_nn_gate(um_graph *g, um_tid *out, um_tid x, um_tid m); /* x [N,H,W,C] times m [N,H,W,1] */
/* Nothing but in training (net->bn == UM_BN_TRAIN, p > 0). Which elements go depends on um_batch and on `name`. */
um_status um_nn_dropout(const um_net *net, um_tid *out, um_tid x, const char *name, double p);
um_status um_nn_replicate(um_graph *g, um_tid *out, um_tid x, int64_t copies); /* along channels */

/* NAME.weight, NAME.bias [C]. groups = 0: LayerNorm. */
um_status um_nn_norm(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t groups, double eps);
/* Weight-standardised convolution, no bias (eps 1e-5): NAME.weight [O,C,k,k], padding (k-1)/2. Init as um_nn_conv. */
um_status um_nn_ws_conv(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, int k, int stride);

/* NAME.weight [O,C], NAME.bias [O]. init: U(+-1/sqrt C) for both, or Xavier-uniform weights with N(0, 1e-6) biases. */
typedef enum um_linear_init { UM_LINEAR_DEFAULT, UM_LINEAR_XAVIER } um_linear_init;
um_status um_nn_linear(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t out_ch, um_linear_init init);
/* Multi-head self attention: NAME.query, .key, .value, .out, all linear. */
um_status um_nn_self_attention(const um_net *net, um_tid *out, um_tid x, const char *name, int64_t heads);
/* x + NAME [1,T,C], T = H*W; init N(0, init_sd), 0: zeros. */
um_status um_nn_embed(const um_net *net, um_tid *out, um_tid x, const char *name, double init_sd);

/* ---- classifiers (layers_class.c) ---- */

/* The window under every output of a k x k convolution as channels (ops.h PATCHES_FWD). */
um_status um_nn_patches(um_graph *g, um_tid *out, um_tid x, int k, int stride, int pad);

/* Convolution of any size and stride: NAME.weight [O,C,k,k], NAME.bias [O] (init 0) when bias. init_sd > 0: N(0, sd); else U(+-1/sqrt(C k k)).
 * What is not 1x1 or 3x3 at stride 1 is a product of patches with the same weights. */
typedef struct um_conv_spec {
    int64_t out_ch;
    int k, stride, pad;
    bool bias;
    double init_sd;
} um_conv_spec;
um_status um_nn_conv_strided(const um_net *net, um_tid *out, um_tid x, const char *name, const um_conv_spec *spec);

um_status um_nn_avgpool(um_graph *g, um_tid *out, um_tid x, int size); /* size x size, stride size; 0: over the whole image */
um_status um_nn_reshape(um_graph *g, um_tid *out, um_tid x, int64_t h, int64_t w); /* pixels in raster order; a copy */
/* x: [N,1,T,C]. y: [N,1,T+1,C], NAME [1,1,C] first; init 0. */
um_status um_nn_class_token(const um_net *net, um_tid *out, um_tid x, const char *name);
/* z: [N,1,1,K] scores, y: [N,1,1,1] classes. sums: f64 [N,1,1,3] per image, loss: f64 [3] over the global batch: sums of loss, hits and
 * margins (ops.h CLASS_SUMS); both are kept. um_graph_backward takes the latter, as the mean over the batch. */
um_status um_nn_class_loss(um_graph *g, um_tid *sums, um_tid *loss, um_tid z, um_tid y, um_class_loss kind, double gamma);

/* Distance of the features h [N,H,W,C] from the means [N,1,2,C] of the other class (ops.h ALIGN_SUMS). out: f64 [N,1,1,4] per image,
 * kept; um_graph_backward takes it as a loss, the sum over the images of their mean squares. */
um_status um_nn_align_sums(um_graph *g, um_tid *out, um_tid h, um_tid y, um_tid means, bool balance);

#endif
