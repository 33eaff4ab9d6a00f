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
    if (um_file_exists(p->checkpoint) &&
        um_checkpoint_history(p->checkpoint, "counters", UM_H5_I64, 1, (void **)&counters, &n) == UM_OK && n > 0)
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

um_status um_sweep_task_state(const um_sweep_run_options *o, int task, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    const um_task *t = &o->sweep->tasks[task];
    um_task_paths paths = {0};
    UM_TRY(um_task_paths_of(&paths, o->dir, t->kind, t->key));
    UM_TRY(state_of(&paths, um_sweep_lease_s(o), out, why));
done:
    um_task_paths_clear(&paths);
    return rc;
}

um_status um_sweep_tally_read(const um_sweep_run_options *o, um_sweep_tally *out)
{
    um_status rc = UM_OK;
    um_sweep_tally t = {0};
    for (int i = 0; i < o->sweep->n_tasks; i++) {
        um_task_state state;
        if (!o->sweep->tasks[i].kind->cells)
            continue;
        UM_TRY(um_sweep_task_state(o, i, &state, NULL));
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

typedef struct ranked {
    int task;
    double flops; /* of it and of the longest chain that waits for it */
} ranked;

static int dearer_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->flops != y->flops)
        return x->flops < y->flops ? 1 : -1;
    return x->task - y->task;
}

um_status um_task_order(int **out, const um_sweep *s)
{
    um_status rc = UM_OK;
    ranked *list = NULL;
    int *order = NULL;
    UM_TRY(UM_NEW_ARRAY(list, s->n_tasks));
    UM_TRY(UM_NEW_ARRAY(order, s->n_tasks));
    for (int i = s->n_tasks - 1; i >= 0; i--) { /* what waits for a task has a larger number: flops holds its longest by now */
        const um_task *t = &s->tasks[i];
        list[i] = (ranked){i, t->cost.flops + list[i].flops};
        for (int k = 0; k < t->n_needs; k++) {
            ranked *need = &list[s->needs[t->first_need + k]];
            need->flops = list[i].flops > need->flops ? list[i].flops : need->flops;
        }
    }
    qsort(list, (size_t)s->n_tasks, sizeof *list, dearer_first);
    for (int i = 0; i < s->n_tasks; i++)
        order[i] = list[i].task;
    *out = order;
    order = NULL;
done:
    um_free(order);
    um_free(list);
    return rc;
}
