/* The two jobs that commands and sweeps share: protecting a dataset, and training an exploiter on one. */
#ifndef UM_GRID_WORK_H
#define UM_GRID_WORK_H

#include "grid/result.h"
#include "protect/protector.h"

/* Everything borrowed; paths may be NULL. */
typedef struct um_protect_work {
    const um_protector_def *def;
    const um_settings *settings;
    um_backend *backend;
    const um_dataset *clean;
    const um_rows *fit_rows;
    const um_rows *apply_rows; /* NULL: all rows */
    uint64_t seed;
    const char *checkpoint, *state_out, *label;
    um_comm *comm; /* ranks that work together; NULL: one */
} um_protect_work;

typedef struct um_protect_outcome {
    um_dataset *released;
    um_visibility visibility; /* of apply_rows */
    um_curves curves;
    double seconds; /* of all runs of an interrupted fit */
} um_protect_outcome; /* release with um_protect_outcome_clear */

/* Fit, apply, measure. With several ranks all fit, and rank 0 alone has an outcome afterwards. Errors: those of the protector; UM_E_UNSUPPORTED for state_out where there is no state. */
um_status um_protect_work_run(um_protect_outcome *out, const um_protect_work *w);
void um_protect_outcome_clear(um_protect_outcome *o);

/* Rows of a dataset with an id that is not among the given rows of another: what an exploiter may train on. limit and seed as in
 * um_rows_select. */
um_status um_rows_without(um_rows *out, const um_dataset *d, const um_dataset *other, const um_rows *other_rows, int64_t limit,
                          uint64_t seed);

#endif
