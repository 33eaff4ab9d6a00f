/* Between search.c (the population and the baselines) and search_grad.c. */
#ifndef UM_MEDLOCKER_SEARCH_INTERNAL_H
#define UM_MEDLOCKER_SEARCH_INTERNAL_H

#include "medlocker/search.h"

typedef struct um_candidate {
    um_theta t;
    double margin;
} um_candidate;

um_theta um_search_draw(const um_search_job *job, uint32_t index); /* a random feasible candidate */
int um_search_clamp_alpha(const um_medlocker_options *o, double alpha);

/* Scores n candidates and keeps the best of them and of *best. */
um_status um_search_score(const um_search_job *job, um_candidate *list, int64_t n, um_candidate *best, int64_t *forwards);

int64_t um_search_gradient_forwards(const um_medlocker_options *o);
um_status um_search_gradient(um_candidate *best, const um_search_job *job, int64_t *forwards);

#endif
