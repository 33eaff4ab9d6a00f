/* Inside protect/: the clusters of LSP (lsp.c), for its oracle. */
#ifndef UM_PROTECT_LSP_H
#define UM_PROTECT_LSP_H

#include "protect/noise.h"

typedef enum um_lsp_mix { UM_LSP_LITERAL, UM_LSP_CIFAR_EQUIV } um_lsp_mix;

typedef struct um_lsp_options {
    int64_t patch;
    double class_sep;
    int mix;         /* um_lsp_mix */
    int scale_scope; /* 0 composite, 1 per_region */
    um_noise_bound bound;
} um_lsp_options;

typedef struct um_lsp {
    um_lsp_options o;
    uint64_t seed;
    int64_t gh, gw, c, d; /* patches down and across, channels, d = gh*gw*c */
    float *vertex;        /* [2][d] */
    float *mix;           /* [2][d][d] */
    float *z, *sample;    /* [d] scratch */
} um_lsp;

um_status um_lsp_create(um_lsp **out, const um_lsp_options *o, uint64_t seed, int64_t h, int64_t w, int64_t c);
void um_lsp_free(void *maker);
/* The point of the image with this id hash in cluster 0 (outside) or 1 (inside): float [d], z A + v. */
void um_lsp_sample(um_lsp *l, uint64_t id, int cluster, float *out);

#endif
