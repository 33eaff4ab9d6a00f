/* Where to put the mark so that a classifier errs: search over theta = (alpha, y, x) with the positions that wsm.h leaves.
 *
 * The score of a candidate is the margin z_y - max_{k != y} z_k of the true class on the marked, quantised image (um_blend),
 * averaged over the target networks; below 0 the image is misclassified. Lower is better.
 *
 *   bhe      basin hopping evolution (Jia, Wei, Cao, Han, ACM MM 2020), cleaned: P candidates uniform over alpha and the feasible
 *            places; in each of G generations every individual makes H hops (alpha +- U(-20, 20), y and x +- U(-50, 50) *
 *            side/224, rounded, clamped, moved to the nearest feasible place), a hop is taken when it is better or with
 *            probability exp(-delta/T), and the best of a run is its mutant; then crossover (each gene from the mutant with
 *            probability 0.9, one at least), and the best of parent, mutant and child goes on. P + G*(H + 1)*P forward passes, in
 *            batches of P. As published this is a random walk that does no better than as many random candidates; ours hops less
 *            far in every generation (bhe.shrink) and starts it from the best few individuals (bhe.elite). Both 1: as published.
 *   grad     the same logo sampled bilinearly at real positions: R restarts, S steps of Adam down the margin, projected after
 *            each; then all of 5x5 places x alpha +- 4 around the best, on quantised images. One gradient counts as 3 forward
 *            passes.
 *   random   as many random candidates as bhe has forward passes (or medlocker.budget), the best of them
 *   centre   the feasible place nearest to the centre, every alpha of the range
 *   grid     every 8th feasible place in y and x, four alphas: an upper bound for small studies
 *
 * Randomness is a function of (seed, image key, generation, individual, hop), so results depend on no batch, rank or thread. */
#ifndef UM_MEDLOCKER_SEARCH_H
#define UM_MEDLOCKER_SEARCH_H

#include "base/opt.h"
#include "medlocker/wsm.h"
#include "train/classify.h"

typedef enum um_search_kind { UM_SEARCH_BHE, UM_SEARCH_GRAD, UM_SEARCH_RANDOM, UM_SEARCH_CENTRE, UM_SEARCH_GRID } um_search_kind;
#define UM_SEARCHES "bhe grad random centre grid"

/* Group "medlocker". */
typedef struct um_medlocker_options {
    int search;   /* um_search_kind */
    int rule;     /* um_opacity_rule */
    int recovery; /* 0 approx, 1 lossless */
    int stop;     /* 0 budget, 1 first */
    bool wsm;     /* keep off the lesions */
    int64_t alpha_low, alpha_high, population, generations, hops, budget, restarts, steps;
    int64_t cam_threshold, min_area, dilate;
    double ratio, ratio_most, crossover, temperature, shrink, elite;
    char lesion_model[UM_OPT_TEXT]; /* model file of a segmenter that knows lesions; "": none */
    int64_t time; /* of the certificates, unix seconds; 0: now */
} um_medlocker_options;
extern const um_opt_table um_medlocker_table;

/* Forward passes per image that bhe may use. */
int64_t um_search_budget(const um_medlocker_options *o);
/* The most that the search of the options may use on an h x w image, or their worth. */
int64_t um_search_forwards(const um_medlocker_options *o, int64_t h, int64_t w);

/* The networks that shall err. */
enum { UM_TARGETS_MAX = 8 };
typedef struct um_targets {
    um_segmenter *net[UM_TARGETS_MAX]; /* classifiers; owned by whoever loaded them */
    struct um_input_grad *grad[UM_TARGETS_MAX]; /* of the margin; NULL where nobody asked (um_targets_prepare) */
    int n;
} um_targets;
/* Makes what UM_SEARCH_GRAD needs. */
um_status um_targets_prepare(um_targets *t, um_backend *backend, const um_medlocker_options *o);
void um_targets_free(um_targets *t);

/* One image and what may be done to it. */
typedef struct um_search_job {
    const um_targets *targets; /* none at all: every margin is 0, and only random makes sense (its first candidate) */
    const um_medlocker_options *o;
    const um_bytes *image;   /* clean; not changed */
    const um_logo *logo;     /* of places' size */
    const um_places *places; /* at least one */
    int label;
    uint64_t seed, key;      /* key: hash of the image's id */
} um_search_job;

typedef struct um_search_result {
    um_theta theta;
    double margin;     /* of theta */
    int64_t forwards;  /* forward passes, or their worth */
} um_search_result;

/* Errors: UM_E_CONFIG for a search that needs a network and has none. */
um_status um_search_run(um_search_result *out, const um_search_job *job);

/* Margins of n candidates, in one batch per network. margin: [n]. */
um_status um_search_margins(const um_search_job *job, const um_theta *t, int64_t n, double *margin);

#endif
