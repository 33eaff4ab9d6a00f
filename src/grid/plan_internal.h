/* Between plan.c (what is wanted) and plan_expand.c (names to cells). */
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

/* True when the filter lets these coordinates through. */
bool um_sweep_filter_passes(const um_sweep_filter *f, const char *dataset, const char *protector, const char *exploiter,
                            const char *defense, int64_t seed);
/* Every key and every value must be known; refusals name the nearest match. */
um_status um_sweep_filter_check(const um_sweep_filter *f, const um_sweep *s, const um_grid_config *config);

#endif
