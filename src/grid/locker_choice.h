/* Between locker_choice.c (names of a block) and locker_plan.c (networks, marks and cells). */
#ifndef UM_GRID_LOCKER_CHOICE_H
#define UM_GRID_LOCKER_CHOICE_H

#include "grid/locker.h"
#include "grid/plan.h"

typedef struct um_locker_target {
    const char *name;
    int backbone[UM_TARGETS_MAX], n; /* indices into the choice's; none: random */
} um_locker_target;

/* One block with its names resolved. */
typedef struct um_locker_choice {
    int *data, *searches;
    const um_model_def *backbone[UM_LOCKER_NETS];
    um_locker_target *targets;
    int retrain[UM_LOCKER_NETS]; /* indices into backbone */
    int n_data, n_searches, n_backbones, n_targets, n_retrain;
    int cam; /* index into backbone; -1: none */
} um_locker_choice; /* initialise with {0}, release with um_locker_choice_clear */

/* Errors: UM_E_CONFIG naming the place, with the nearest match. */
um_status um_locker_choice_resolve(um_locker_choice *out, const um_sweep *s, const um_grid_config *config,
                                   const um_grid_block *block);
void um_locker_choice_clear(um_locker_choice *c);

#endif
