/* UMed (Lin et al., IJCAI 2024): contour- and texture-aware perturbations. Inside protect/: what the parts of the method share.
 *
 * For an image x in [0,1]^{HxWxC} with mask y:
 *     y_c  contour band of y,  y_t = (1 - y_c) y,  x_t texture map in [0,1]                      (eqs. 2 and 5; image/contour.h, lbp.h)
 *     d    = bound(F_c(x), eps y_c) + bound(F_t(x), eps x_t y_t)                                 (eqs. 4, 5; ops.h um_bound_rule)
 *     x_p  = clip(x + d, 0, 1)                                                                    (eq. 6)
 *     min over F_c, F_t and over the surrogate F_s, in turns, of L_seg(F_s(x_p), y)               (eq. 1, algorithm 1)
 * Contour and texture supports are disjoint, so |d| <= eps. protectors.md section 1 lists what the paper leaves open; every choice
 * is a key of group "umed". */
#ifndef UM_PROTECT_UMED_H
#define UM_PROTECT_UMED_H

#include "image/contour.h"
#include "image/lbp.h"
#include "nn/exec.h"
#include "protect/protector.h"
#include "train/checkpoint.h"
#include "train/ranks.h"
#include "train/resident.h"

typedef enum um_umed_parts { UM_UMED_BOTH, UM_UMED_CONTOUR, UM_UMED_TEXTURE } um_umed_parts;

typedef struct um_umed_options {
    double eps; /* [0,1] units */
    int parts;  /* um_umed_parts: which generators act */
    um_contour_options contour;
    um_lbp_options lbp;
    int gen_output;         /* um_bound_rule */
    double gen_gain;
    int gen_input;          /* 0 x, 1 x_y */
    int64_t gen_base_width;
    int image_clip_grad;    /* um_clip_rule */
    int cdc_mode;           /* 0 dual, 1 theta, 2 none (vanilla encoder) */
    double cdc_theta, cdc_init_wc_scale;
    bool cdc_bottleneck;
    int unit;               /* 0 epoch, 1 batch */
    int order;              /* 0 surrogate_first, 1 algorithm1 */
    int64_t g_per_s, cycles, starts;
    bool joint;
    int surrogate_bn_in_g;  /* 0 train_noupdate, 1 eval, 2 train */
    int generator_bn_in_s;  /* 0 train_noupdate, 1 eval */
    int64_t batch;
    um_adam_attr adam;
} um_umed_options;
extern const um_opt_table um_umed_table;

/* Bound maps of one image: contour = eps y_c, texture = eps x_t y_t, each real [h][w] (float). */
um_status um_umed_bounds(const um_umed_options *o, const um_dataset *d, int64_t row, float *contour, float *texture);

/* One graph over the three networks. Inputs that a graph does not use are UM_NONE. */
typedef enum um_umed_phase {
    UM_UMED_SURROGATE,   /* F_s learns, generators frozen */
    UM_UMED_GENERATORS,  /* F_c and F_t learn through the frozen F_s */
    UM_UMED_CONTOUR_ONLY, UM_UMED_TEXTURE_ONLY, /* umed.joint = false: one generator learns at a time */
    UM_UMED_RECALIBRATE, /* generators in train mode, nothing learns: their running statistics are collected */
    UM_UMED_EXPORT,      /* generators in eval mode: the perturbation */
} um_umed_phase;

typedef struct um_umed_graph {
    um_graph *graph;
    um_exec *exec; /* NULL until um_umed_graph_ready */
    um_tid x, xy, y, contour, texture, loss, delta;
} um_umed_graph;

typedef struct um_umed {
    um_umed_options o;
    um_seg_attr loss;
    um_model_config surrogate_config;
    um_backend *backend; /* borrowed */
    um_spread spread;    /* o.batch counts the images of all ranks */
    int64_t h, w, c;
    bool recompute; /* um_graph.recompute: in host memory, and on a device that has no room otherwise */
    um_params *contour, *texture, *surrogate; /* owned */
    um_umed_graph apply;                      /* UM_UMED_EXPORT, made on first use */
    struct um_umed_flow *flow;                /* umed_flow.h; NULL until needed */
    um_text applied;                          /* the settings that count when the state is applied */
} um_umed;

um_status um_umed_create(um_umed **out, const um_protect_job *job);
void um_umed_free(um_umed *u);

/* Appends the phase's nodes; exec is left for um_umed_graph_ready. */
um_status um_umed_graph_build(um_umed_graph *out, um_umed *u, um_umed_phase phase, int64_t max_batch);
um_status um_umed_graph_ready(um_umed_graph *g, um_umed *u);
void um_umed_graph_free(um_umed_graph *g);

/* The alternating optimisation, with exact resume. */
um_status um_umed_fit(um_umed *u, const um_protect_job *job, um_curves *curves);

/* Inputs of a batch, gathered on the host in the backend's real type, with bound maps cached per row of `rows`. */
typedef struct um_umed_feed {
    const um_dataset *data;
    const int64_t *rows; /* borrowed */
    int64_t n_rows, max_batch; /* 0: for um_umed_feed_gather alone */
    float *contour, *texture;     /* [n_rows][h][w] */
    char *x, *xy, *y, *bc, *bt;   /* one batch */
    um_resident *resident;        /* images and masks of `data`; NULL: batches are gathered here */
    um_table bounds[2];           /* contour and texture, with them */
    um_picks picks;               /* rows of these */
    int64_t *row;                 /* [max_batch] */
} um_umed_feed;
um_status um_umed_feed_create(um_umed_feed **out, const um_umed *u, const um_dataset *d, const int64_t *rows, int64_t n_rows,
                              int64_t max_batch);
/* Leaves data and bound maps with the backend, if it has room, for graphs of which it is fed many batches (real f32; gen.input x). */
um_status um_umed_feed_keep(um_umed_feed *f, const um_umed *u, const char *label);
/* Rows pick[0..n) (positions in feed->rows; NULL: the first n) in the real type into arrays for the inputs image, image and mask, mask,
 * contour bound, texture bound; NULL: not wanted, but the second needs the first and the third. */
enum { UM_UMED_INPUTS = 5 };
void um_umed_feed_gather(const um_umed_feed *f, um_dtype real, const int64_t *pick, int64_t n, char *const to[UM_UMED_INPUTS]);
/* Uploads the rows pick[0..n) (positions in feed->rows; NULL: the first n) to the inputs that the graph has. */
um_status um_umed_feed_upload(um_umed_feed *f, const um_umed *u, const um_umed_graph *g, const int64_t *pick, int64_t n);
void um_umed_feed_free(um_umed_feed *f);

#endif
