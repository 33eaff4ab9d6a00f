/* What the files of a sweep say about its tasks, and the order in which these are done. */
#include "grid/run_internal.h"

#include "base/file.h"
#include "base/mem.h"
#include "mpi/lease.h"
#include "io/checkpoint.h"

#include <stdlib.h>
#include <string.h>

enum { REASON_BYTES = 1 << 16 };

const char *um_task_state_name(um_task_state s)
{
    static const char *const names[] = {"open", "done", "failed", "running", "stale"};
    return names[s];
}

double um_sweep_lease_s(const um_sweep_run_options *o)
{
    const um_grid_options *g = um_settings_get(o->settings, "grid");
    return g->lease_s;
}

/* ---- states on disk ---- */

/* How far a task was when it last saved itself: nothing when that cannot be read, since it may be written at this moment. */
static um_status add_progress(const um_task_paths *p, um_text *why)
{
    um_status rc = UM_OK;
    int64_t *counters = NULL, n = 0;
    if (um_file_exists(p->checkpoint) && um_checkpoint_history(p->checkpoint, "counters", UM_H5_I64, 1, (void **)&counters, &n) == UM_OK && n > 0)
        UM_TRY(um_text_add(why, ", saved in epoch %lld", (long long)counters[0] + 1));
done:
    um_free(counters);
    return rc;
}

static um_status add_reason(const um_task_paths *p, um_text *why)
{
    um_status rc = UM_OK;
    um_text reason = {0};
    if (um_file_read(&reason, p->failed, REASON_BYTES) == UM_OK)
        UM_TRY(um_text_add(why, "%.*s", (int)strcspn(um_text_get(&reason), "\n"), um_text_get(&reason)));
done:
    um_text_free(&reason);
    return rc;
}

static um_status state_of(const um_task_paths *p, double lease_s, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    um_text who = {0};
    bool held = false;
    *out = UM_TASK_DONE;
    if (um_task_is_done(p))
        return UM_OK;
    if (um_dir_exists(p->folder))
        UM_TRY(um_lease_holder(&who, &held, p->lease, lease_s));
    *out = held ? UM_TASK_RUNNING : who.n ? UM_TASK_STALE : um_file_exists(p->failed) ? UM_TASK_FAILED : UM_TASK_OPEN;
    if (why && who.n) {
        UM_TRY(um_text_add(why, "%s", um_text_get(&who)));
        UM_TRY(add_progress(p, why));
    }
    if (why && *out == UM_TASK_FAILED)
        UM_TRY(add_reason(p, why));
done:
    um_text_free(&who);
    return rc;
}

um_status um_sweep_cell_state(const um_sweep_run_options *o, int cell, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    um_task_paths paths = {0};
    UM_TRY(um_task_paths_cell(&paths, o->dir, &o->sweep->cells[cell]));
    UM_TRY(state_of(&paths, um_sweep_lease_s(o), out, why));
done:
    um_task_paths_clear(&paths);
    return rc;
}

um_status um_sweep_item_state(const um_sweep_run_options *o, int item, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    um_task_paths paths = {0};
    UM_TRY(um_task_paths_item(&paths, o->dir, &o->sweep->items[item]));
    UM_TRY(state_of(&paths, um_sweep_lease_s(o), out, why));
done:
    um_task_paths_clear(&paths);
    return rc;
}

um_status um_sweep_tally_read(const um_sweep_run_options *o, um_sweep_tally *out)
{
    um_status rc = UM_OK;
    um_sweep_tally t = {0};
    for (int i = 0; i < o->sweep->n_cells; i++) {
        um_task_state state;
        UM_TRY(um_sweep_cell_state(o, i, &state, NULL));
        t.done += state == UM_TASK_DONE;
        t.failed += state == UM_TASK_FAILED;
        t.running += state == UM_TASK_RUNNING;
        t.stale += state == UM_TASK_STALE;
        t.open += state == UM_TASK_OPEN;
    }
    *out = t;
done:
    return rc;
}

/* ---- order ---- */

um_status um_task_paths_of(const um_sweep_run_options *o, const um_task *t, um_task_paths *out)
{
    return t->item >= 0 ? um_task_paths_item(out, o->dir, &o->sweep->items[t->item]) : um_task_paths_cell(out, o->dir, &o->sweep->cells[t->cell]);
}

static int dearer_first(const void *a, const void *b)
{
    const um_task *x = a, *y = b;
    if (x->flops != y->flops)
        return x->flops < y->flops ? 1 : -1;
    if ((x->item >= 0) != (y->item >= 0))
        return x->item >= 0 ? -1 : 1;
    return x->item >= 0 ? x->item - y->item : x->cell - y->cell;
}

/* An item counts with the longest cell that waits for it. */
static double cost_of(const um_sweep *s, const um_task *t)
{
    double longest = 0;
    if (t->cell >= 0)
        return s->cells[t->cell].cost.flops;
    for (int c = 0; c < s->n_cells; c++)
        if (s->cells[c].item == t->item && s->cells[c].cost.flops > longest)
            longest = s->cells[c].cost.flops;
    return s->items[t->item].cost.flops + longest;
}

um_status um_task_list(um_task **out, int *n, const um_sweep *s)
{
    um_status rc = UM_OK;
    um_task *list = NULL;
    int n_tasks = 0;
    UM_TRY(UM_NEW_ARRAY(list, s->n_items + s->n_cells));
    for (int i = 0; i < s->n_items; i++)
        list[n_tasks++] = (um_task){.item = i, .cell = -1};
    for (int c = 0; c < s->n_cells; c++)
        list[n_tasks++] = (um_task){.item = -1, .cell = c};
    for (int i = 0; i < n_tasks; i++)
        list[i].flops = cost_of(s, &list[i]);
    qsort(list, (size_t)n_tasks, sizeof *list, dearer_first);
    *out = list;
    *n = n_tasks;
done:
    return rc;
}
