/* Steps of a training one behind the other: the host prepares the next one while a device works, and looks at the result of a
 * step when the one behind it has begun, so that the device always has something to do. In host memory every step is ended
 * before anything else is done. */
#ifndef UM_TRAIN_STEPS_H
#define UM_TRAIN_STEPS_H

#include "train/checkpoint.h"

typedef struct um_steps {
    um_saver *saver; /* asked before every step (um_saver_pause_after); it finds all steps ended that have begun */
    um_backend *backend;
    int64_t first, n; /* steps [first, n) */
    /* For each step, in order: make what it needs, which no step changes that is under way; begin it; end it, which makes the
     * saver's state the one behind it. make may be NULL. */
    um_status (*make)(void *payload, int64_t step);
    um_status (*begin)(void *payload, int64_t step);
    um_status (*end)(void *payload, int64_t step);
    void *payload;
} um_steps;

/* Errors: of the functions, after which steps may be under way; UM_E_STOPPED as um_saver_pause. */
um_status um_steps_run(const um_steps *t);

#endif
