/* A sweep, expanded. Blocks of a kind (grid/kind.h) become that kind's own lists, equal entries merged: of exploit items (a
 * dataset protected by a method with a seed) and cells (an exploiter trained on it), of medlocker networks, marks and cells
 * (grid/locker.h). What carries a sweep out sees one list of tasks, each after the ones that it needs. */
#ifndef UM_GRID_PLAN_H
#define UM_GRID_PLAN_H

#include "grid/cell.h"
#include "io/config.h"

/* Group "grid". */
typedef struct um_grid_options {
    int64_t ranks_per_cell;
    bool utility;   /* networks of clean cells are kept and asked about every protected dataset */
    double lease_s; /* seconds after which a claim that cannot be checked counts as left behind */
} um_grid_options;
extern const um_opt_table um_grid_table;

typedef struct um_sweep_data {
    const char *name, *path; /* borrowed from the configuration */
    char sha256[UM_SHA256_HEX];
    int64_t h, w, c, n_train, n_test; /* rows used, after data.limit */
} um_sweep_data;

typedef struct um_sweep_item {
    int data, method;
    int64_t seed;
    char key[UM_KEY_BYTES];
    um_cost cost;
    int task;
} um_sweep_item;

typedef struct um_sweep_cell {
    int data, method, item; /* item: -1 when the method changes nothing */
    const um_model_def *exploiter;
    const um_defense_def *defense;
    int64_t seed;
    unsigned tables; /* bit t: wanted for table t of the paper */
    char key[UM_KEY_BYTES], group[UM_KEY_BYTES];
    um_cost cost;
} um_sweep_cell;

/* A piece of work, whatever its kind. */
typedef struct um_task {
    const struct um_task_kind *kind;
    int index;               /* in the list of its kind */
    char key[UM_KEY_BYTES];
    um_cost cost;
    int first_need, n_needs; /* in um_sweep.needs: tasks that must be done before, all of smaller numbers */
} um_task;

typedef struct um_sweep {
    um_sweep_data *data;
    um_method *methods;
    um_sweep_item *items;
    um_sweep_cell *cells;
    struct um_locker_plan *locker; /* NULL without medlocker cells */
    um_task *tasks;
    int *needs;
    int n_data, n_methods, n_items, n_cells, n_tasks, n_needs;
    int cap_items, cap_cells, cap_tasks, cap_needs;
} um_sweep;

/* One `--only KEY=VALUE`: KEY is dataset, protector, exploiter, defense, target, search or seed. Several of one key add up,
 * different keys restrict each other; a cell that has no such coordinate is left out. */
typedef struct um_sweep_filter {
    const char *const *only;
    size_t n;
} um_sweep_filter;

/* Reads every dataset once (for its hash and sizes). backend: what the costs are planned for. config: borrowed for the life
 * of the sweep. where: the configuration's path, for
 * messages. out: owned by the caller.
 * Errors: UM_E_CONFIG for no dataset, unknown names (with the nearest match) and twice-used ones, an --only that matches nothing;
 * UM_E_UNSUPPORTED for names that this version does not have; those of um_dataset_read; UM_E_DATA without train or test rows. */
um_status um_sweep_create(um_sweep **out, const um_grid_config *config, const um_settings *base, const um_sweep_filter *filter,
                          um_backend *backend, const char *where);
void um_sweep_free(um_sweep *s);

/* A task of a sweep that is being made; needs[n_needs]: numbers of tasks. *out: its number, may be NULL. */
um_status um_sweep_add_task(um_sweep *s, const struct um_task_kind *kind, int index, const char *key, um_cost cost,
                            const int *needs, int n_needs, int *out);

um_status um_sweep_tables_text(unsigned tables, um_text *out); /* "1 3"; empty for none */

#endif
