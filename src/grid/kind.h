/* Kinds: what a sweep can be made of. A kind of cells says how blocks of the configuration become its lists, what they cost and
 * what their coordinates are; a kind of task says where its files lie and how it is done. run.c, run_state.c and tidy.c know no
 * kind.
 *
 *     cells      tasks           files below DIR                      needs
 *     exploit    protect         protected/KEY.*                      -
 *                exploit         cells/KEY/    (a cell)               protect
 *     medlocker  train           networks/KEY.*                       -
 *                mark            marks/KEY.*                          train of its targets and of the network that shows lesions
 *                judge           cells/KEY/    (a cell)               mark, train of all that are asked
 *                retrain         cells/KEY/    (a cell)               both marks, train
 *
 * To add a kind: these two structs in files of its own, a line in kind.c, its keys in io/config_grid.c. */
#ifndef UM_GRID_KIND_H
#define UM_GRID_KIND_H

#include "grid/plan.h"
#include "train/rows.h"

struct um_task_context; /* grid/run_internal.h */

/* A coordinate of a cell in listings. */
typedef struct um_cell_column {
    const char *name;
    int width; /* in text, negative: to the left; 0: in csv only */
} um_cell_column;

typedef struct um_cell_kind {
    const char *name;
    const um_cell_column *columns;
    int n_columns;
    const char *needs_name; /* what comes before a cell, as the head of its cost: "protect" */
    /* Names that the configuration defines (variants), before any block is looked at. */
    um_status (*prepare)(um_sweep *s, const um_grid_config *config, const um_settings *base, const char *where);
    /* All names of a block, before anything large is read. */
    um_status (*check)(const um_sweep *s, const um_grid_config *config, const um_grid_block *block);
    um_status (*expand)(um_sweep *s, const um_grid_config *config, const um_grid_block *block, const um_sweep_filter *filter);
    /* Of what uses dataset number `data`, which is d. */
    um_status (*cost)(um_sweep *s, int data, const um_dataset *d, const um_rows *train, const um_rows *test, um_backend *backend);
    um_status (*list)(um_sweep *s); /* adds its tasks */
    um_status (*coordinate)(const um_sweep *s, int index, int column, um_text *out);
    void (*free)(um_sweep *s);
} um_cell_kind;

const um_cell_kind *um_cell_kind_of(um_grid_kind kind);

typedef struct um_task_kind {
    const char *verb;          /* "protect", in the log */
    const char *folder;        /* below DIR, shared by all tasks of the kind; NULL: cells/KEY, its own */
    const char *data;          /* ending of a second file that it must have, ".h5"; NULL: the result alone */
    const char *noun;          /* "protected datasets" */
    const um_cell_kind *cells; /* tasks that are cells: what is counted and reported; NULL: the others */
    um_status (*label)(const um_sweep *s, int index, um_text *out); /* "busi/umed seed 1" */
    /* Does it together with the other ranks of the context, writes its files, and adds what came out to `outcome`. */
    um_status (*run)(const struct um_task_context *c, int index, um_text *outcome);
} um_task_kind;

extern const um_cell_kind um_cells_exploit, um_cells_medlocker;
extern const um_task_kind um_task_protect, um_task_exploit, um_task_train, um_task_mark, um_task_judge, um_task_retrain;

/* ---- for those who make lists ---- */

/* A task that cannot work fails when it is its turn, with the others going on; its cost stays 0. */
um_status um_cost_or_nothing(um_status rc);

#endif
