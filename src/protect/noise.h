/* Inside protect/: noise that needs no network (LSP, AR). A pattern per image, scaled to a budget.
 *
 * A protector draws the pattern of an image from its seed, the image's id and the mask; the budget turns patterns into
 * perturbations
 * (protectors.md 2.6):
 *     l2            each pattern has root mean square rms over its C*H*W values
 *     linf          each is scaled like that, then clamped to +-eps
 *     l2_then_linf  the same as linf, named as the literature does for a clamp after scaling
 *     psnr_target   one rms for all images such that the mean PSNR of the released training images is `psnr` dB; psnr = 0 (no
 * number
 *                   is known for this dataset): the l2 rule */
#ifndef UM_PROTECT_NOISE_H
#define UM_PROTECT_NOISE_H

#include "protect/protector.h"

typedef enum um_noise_mode { UM_NOISE_PSNR, UM_NOISE_L2, UM_NOISE_LINF, UM_NOISE_L2_LINF } um_noise_mode;

typedef struct um_noise_bound {
    int mode; /* um_noise_mode */
    double psnr, l2_rms, eps;
} um_noise_bound;
#define UM_NOISE_ROWS(S, m)                                                                                                        \
    UM_OPT_ENUM_ROW(S, m.mode, "bound.mode", "psnr_target", "psnr_target l2 linf l2_then_linf", "what the noise is scaled to"),    \
        UM_OPT_REAL_ROW(S, m.psnr, "bound.psnr", "0", 0, 200, "dB",                                                                \
                        "mean PSNR aimed at by psnr_target; 0: none known, the l2 rule"),                                          \
        UM_OPT_REAL_ROW(S, m.l2_rms, "bound.l2_rms", "6/255", 0, 1, "[0,1]", "root mean square of the noise under the l2 rule"),   \
        UM_OPT_REAL_ROW(S, m.eps, "bound.eps", "4/255", 0, 1, "[0,1]", "largest change of a pixel under linf and l2_then_linf")

/* Writes the raw pattern of one image, float [h][w][c]. */
typedef um_status (*um_noise_pattern)(void *maker, const um_dataset *d, int64_t row, float *out);

/* What draws patterns, and how its owner treats it. */
typedef struct um_noise_kind {
    const char *name; /* of the protector and of its option group */
    um_noise_pattern pattern;
    /* numbers: what a state kept, NULL for a fit, which finds them. */
    um_status (*make)(const um_protect_job *job, uint64_t seed, const double *numbers, void **maker);
    um_status (*resize)(void *maker, int64_t h, int64_t w, int64_t c); /* for images of another size */
    double *(*numbers)(void *maker); /* [n_numbers] of a maker; NULL: it has none */
    int64_t n_numbers;
    void (*free)(void *maker);
} um_noise_kind;

typedef struct um_noise {
    const um_noise_kind *kind;
    um_noise_bound bound;
    bool per_region; /* inside and outside are scaled each by itself */
    int64_t h, w, c;
    double rms; /* in use */
    uint64_t seed;
    void *maker; /* owned */
    um_text fingerprint; /* the settings under which it was fitted */
} um_noise;

/* The part of a fit that both share: finds the rms, logs it with the l2 and l-infinity norms it gives. state: receives an um_noise. */
um_status um_noise_fit(const um_protect_job *job, const um_noise_kind *kind, const um_noise_bound *bound, bool per_region, void **state);
/* A state as a file (`--state`): seed, rms and the maker's numbers. */
um_status um_noise_save(void *state, const um_dataset *fitted, const char *path);
um_status um_noise_load(const um_protect_job *job, const um_noise_kind *kind, const um_noise_bound *bound, bool per_region,
                        const char *path, void **state);
um_status um_noise_apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta);
void um_noise_free(void *state);
double um_noise_declared(const um_noise_bound *bound); /* INFINITY unless clamped */
const char *um_noise_bound_name(const um_noise_bound *bound);

#endif
