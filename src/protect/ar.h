/* Inside protect/: autoregressive processes (ar.c), for their oracle. */
#ifndef UM_PROTECT_AR_H
#define UM_PROTECT_AR_H

#include "protect/noise.h"

enum { UM_AR_TAPS = 9, UM_AR_CHANNELS = 3 };

typedef struct um_ar_options {
    int64_t crop, max_tries;
    double cap, resp_min; /* 0: by size */
    bool noise;
    um_noise_bound bound;
} um_ar_options;

/* A 3x3 window per channel in raster order; the last tap, the pixel itself, is 0; the others add up to 1. */
typedef struct um_ar_process {
    double b[UM_AR_CHANNELS][UM_AR_TAPS];
} um_ar_process;

typedef struct um_ar {
    um_ar_options o;
    uint64_t seed;
    int64_t h, w, c;
    um_ar_process process[2]; /* outside, inside */
    double *full;             /* [h + crop][w + crop] scratch */
    double *signal;           /* [2][h][w][c] scratch */
    float *start, *drive;     /* [h + crop][w + crop] scratch: first values; innovations, NULL without */
    int64_t tries;            /* candidates that the search looked at */
} um_ar;

/* Searches both processes. UM_E_NUMERIC when ar.max_tries candidates were not enough. */
um_status um_ar_create(um_ar **out, const um_ar_options *o, uint64_t seed, int64_t h, int64_t w, int64_t c);
void um_ar_free(void *maker);
/* Signal of a process for an id: double [h][w][c]. false: it left the range of numbers. purpose: of its first values. */
bool um_ar_signal(um_ar *a, const um_ar_process *p, uint64_t id, um_rng_purpose purpose, uint32_t stream, double *out);
/* Sum of the rectified responses of p's matching filters (b with -1 in the last tap) to a signal scaled to l2 norm 1. */
double um_ar_response(const um_ar_process *p, const double *signal, int64_t h, int64_t w, int64_t c);

#endif
