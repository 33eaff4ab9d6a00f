/* Carrying out a sweep in a folder that several runs may share.
 *
 * The ranks of a run form groups of grid.ranks_per_cell; what is left over stays idle. Each group does one task at a time, the
 * most expensive first, each after the tasks that it needs (grid/kind.h has the kinds). Groups of one run share the work as runs
 * do: by claims on disk, so there is one mechanism for ranks, array tasks and jobs, and nothing is lost with the rank that would
 * have known it.
 *
 *     DIR/protected/KEY.h5           the dataset with protected training rows
 *     DIR/protected/KEY.result.h5    its visibility and fit curves
 *     DIR/protected/KEY.ckpt.h5      state of an unfinished fit
 *     DIR/protected/KEY.lease.N      claim (mpi/lease.h)
 *     DIR/protected/KEY.failed.txt   why it failed
 *     DIR/cells/KEY/result.h5, ckpt.h5, lease.N, failed.txt      likewise
 *
 *     DIR/networks/KEY.model.h5      a classifier, with KEY.result.h5 and the rest as above
 *     DIR/marks/KEY.result.h5        the marks of a dataset's rows, likewise
 *
 *     DIR/cells/KEY/model.h5         network of a clean, undefended cell (grid.utility)
 *     DIR/protected/KEY.EXPLOITER.utility.h5   what it makes of the protected training images, after all cells
 *
 * A file that exists is done; running the same sweep again does what is missing and tries failures again. */
#ifndef UM_GRID_RUN_H
#define UM_GRID_RUN_H

#include "grid/plan.h"

/* STALE: left unfinished by a run that is gone; the next one takes it over. */
typedef enum um_task_state { UM_TASK_OPEN, UM_TASK_DONE, UM_TASK_FAILED, UM_TASK_RUNNING, UM_TASK_STALE } um_task_state;

typedef struct um_sweep_tally {
    int done, failed, running, stale, open; /* cells */
} um_sweep_tally;

typedef struct um_sweep_run_options {
    const um_sweep *sweep;
    const char *dir;
    um_backend *backend;
    um_comm *comm;               /* all ranks of the run, each of which calls um_sweep_execute; NULL: one */
    const um_settings *settings; /* base settings: groups grid, data, run */
    const char *command;         /* for provenance */
    um_status (*talk)(void *payload, const char *line); /* one line per start and end of a task; may be NULL */
    void *payload;
} um_sweep_run_options;

/* tally: filled when the run came to its end, also with failures. All ranks return the same. Errors: UM_E_PARTIAL when cells
 * failed; UM_E_STOPPED with everything saved; UM_E_IO and UM_E_MEMORY end the run; other errors are those of a cell, recorded
 * while the sweep goes on. */
um_status um_sweep_execute(const um_sweep_run_options *o, um_sweep_tally *tally);

/* Of a task, from the files in DIR, which need not exist. why: receives the reason of a failure, or who holds or left it, since
 * when and how far it was when it last saved itself; may be NULL. */
um_status um_sweep_task_state(const um_sweep_run_options *o, int task, um_task_state *out, um_text *why);
um_status um_sweep_tally_read(const um_sweep_run_options *o, um_sweep_tally *out);

const char *um_task_state_name(um_task_state s); /* open done failed running stale */

#endif
