/* Between plan.c (a sweep), plan_choice.c (names and filters) and the kinds of cells. */
#ifndef UM_GRID_PLAN_INTERNAL_H
#define UM_GRID_PLAN_INTERNAL_H

#include "grid/plan.h"

/* One block with its names resolved: indices into the sweep, definitions, and what is taken of each. */
typedef struct um_sweep_choice {
    int *data, *methods;
    const um_model_def **exploiters;
    const um_defense_def **defenses;
    int n_data, n_methods, n_exploiters, n_defenses;
    unsigned tables;
} um_sweep_choice;

um_status um_sweep_choice_resolve(um_sweep_choice *out, const um_sweep *s, const um_grid_config *config,
                                  const um_grid_block *block);
void um_sweep_choice_clear(um_sweep_choice *c);

/* Dataset names of a block, all without a list: indices into config->datasets. out: owned by the caller. */
um_status um_sweep_choice_data(int **out, int *n, const um_sweep *s, const um_grid_config *config, const um_grid_block *block);

/* A coordinate of a cell, as --only names it. */
typedef struct um_coordinate {
    const char *key, *value;
} um_coordinate;
typedef struct um_number_text {
    char text[32];
} um_number_text;
const char *um_seed_text(um_number_text *text, int64_t seed);

/* True when the filter lets these coordinates through. */
bool um_sweep_filter_passes(const um_sweep_filter *f, const um_coordinate *list, size_t n);
/* Every key and every value must be known; refusals name the nearest match. */
um_status um_sweep_filter_check(const um_sweep_filter *f, const um_sweep *s, const um_grid_config *config);

um_config_ints um_sweep_seeds(const um_grid_config *config); /* 1 without a list */

#endif
