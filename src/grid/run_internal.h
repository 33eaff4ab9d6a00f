/* Between run.c (claims, failures, ranks), run_state.c (what is on disk, order), the kinds of tasks (run_task.c, locker_task.c)
 * and run_utility.c. */
#ifndef UM_GRID_RUN_INTERNAL_H
#define UM_GRID_RUN_INTERNAL_H

#include "grid/kind.h"
#include "grid/result.h"
#include "grid/run.h"

/* Datasets in memory: the last clean and the last protected one, as consecutive tasks mostly share them. */
typedef struct um_task_cache {
    int data;            /* index in the sweep, -1: none */
    char item[UM_KEY_BYTES]; /* key of the protected dataset; empty: none */
    um_dataset *clean, *released;
} um_task_cache;
void um_task_cache_clear(um_task_cache *c);

typedef struct um_task_paths {
    char *folder;   /* holds all of them */
    char *done;     /* exists when the task is done */
    char *data;     /* its second file (um_task_kind.data); NULL: none */
    char *checkpoint, *lease, *failed;
} um_task_paths;
um_status um_task_paths_of(um_task_paths *out, const char *dir, const um_task_kind *kind, const char *key);
void um_task_paths_clear(um_task_paths *p);
bool um_task_is_done(const um_task_paths *p); /* not when somebody took its second file away */

/* Numbers of the tasks, the most expensive first, each with the most expensive that waits for it. out: owned by the caller
 * (um_free). */
um_status um_task_order(int **out, const um_sweep *s);
double um_sweep_lease_s(const um_sweep_run_options *o);

/* still_ours is asked before the commit. */
typedef struct um_task_context {
    const um_sweep_run_options *run;
    um_task_cache *cache;
    um_comm *comm;       /* the ranks that do it; rank 0 writes and has the claim */
    const um_task_paths *paths;
    bool (*still_ours)(const void *claim);
    const void *claim;
} um_task_context;
/* Whether an error of a task is one of the whole run: a stop, a full disk, lost peers. Others fail that task alone. */
bool um_task_ends_sweep(um_status rc);

/* Before a commit: UM_E_COMM when another run took the task over. */
um_status um_task_check_claim(const um_task_context *c);

/* Shared by cells and utilities: datasets into the cache, rows of a split, coordinates of a result. */
um_status um_task_need_clean(um_task_cache *cache, const um_sweep *s, int data);
um_status um_task_need_released(um_task_cache *cache, const char *path, const char *key);
um_status um_task_select_rows(um_rows *out, const um_dataset *d, const um_settings *settings, int split);
um_result_meta um_task_describe(const um_sweep *s, int data, int method, int64_t seed, const um_dataset *clean);

/* run_utility.c: which cells keep their network (cells/KEY/model.h5), and protected/KEY.EXPLOITER.utility.h5 from them. */
bool um_task_keeps_model(const um_sweep *s, int cell);
/* Group leaders and other runs share them like cells. stop: asked between them; what is not UM_OK ends it. */
um_status um_task_run_utilities(const um_sweep_run_options *o, um_task_cache *cache, double lease_s,
                                um_status (*stop)(void *payload), void *payload);

#endif
