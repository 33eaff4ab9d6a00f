/* Stages that work at the same time on items in order, with a bounded number of items on the way.
 *
 *     slot 0  [ item 4: perturb ]      every slot carries one item through all stages and is then free for the item n_slots later;
 *     slot 1  [ item 5: maps    ]      a stage takes items in order, several workers of one stage take neighbours;
 *     slot 2  [ item 3: write   ]      nothing is ever more than n_slots items apart, so memory is n_slots times what a slot holds */
#ifndef UM_ARCHIVE_CONVEYOR_H
#define UM_ARCHIVE_CONVEYOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* One item before one worker of a stage. */
typedef struct um_conveyor_turn {
    void *job, *slot;
    int64_t item;
    int worker; /* from 0 within the stage */
    bool *no_more; /* the first stage sets it when there is neither this item nor a later one */
} um_conveyor_turn;

typedef struct um_conveyor_stage {
    const char *name;
    int workers;   /* threads; 0: the calling thread, for at most one stage (its OpenMP threads then last) */
    um_status (*run)(const um_conveyor_turn *turn);
} um_conveyor_stage;

enum { UM_CONVEYOR_STAGES = 8 };
#define UM_CONVEYOR_OPEN INT64_MAX /* number of items: until the first stage, which has one worker, says that there are no more */

/* Where the time went, added up over runs. */
typedef struct um_conveyor_times {
    double busy_s[UM_CONVEYOR_STAGES]; /* per stage, over all its workers: inside run */
    double wall_s;
} um_conveyor_times;

/* Items 0 .. n_items - 1 through all stages. The first failure ends all of it, with its message. Errors: those of the stages;
 * UM_E_MEMORY when a thread cannot be made. */
um_status um_conveyor_run(const um_conveyor_stage *stages, int n_stages, int64_t n_items, void *const *slots, int n_slots, void *job,
                          um_conveyor_times *times);

/* The times as they stand, from a stage of the run that adds to them. */
um_conveyor_times um_conveyor_look(const um_conveyor_times *times);

/* The stage that everything waits for: the largest busy time per worker. */
int um_conveyor_bounding(const um_conveyor_stage *stages, int n_stages, const um_conveyor_times *times);

#endif
