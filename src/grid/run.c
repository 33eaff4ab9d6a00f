#include "grid/run_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "grid/lease.h"
#include "grid/tidy.h"

#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 500, REASON_BYTES = 1 << 16 };

/* Items and cells are one list of tasks: every item stands before the first cell that needs it. */
typedef struct task {
    int item, cell; /* one of them, the other -1 */
} task;

typedef struct sweep_run {
    const um_sweep_run_options *o;
    um_task_cache cache;
    task *tasks;
    um_task_state *item_state, *cell_state; /* of this run: FAILED means that it failed now */
    int n_tasks;
    double lease_s;
} sweep_run;

const char *um_task_state_name(um_task_state s)
{
    static const char *const names[] = {"open", "done", "failed", "running"};
    return names[s];
}

static um_status talk(const sweep_run *r, const char *line)
{
    return r->o->talk ? r->o->talk(r->o->payload, line) : UM_OK;
}

/* ---- states on disk ---- */

static um_status holder(const um_task_paths *p, double lease_s, um_text *who)
{
    return um_dir_exists(p->folder) ? um_lease_holder(who, p->lease, lease_s) : UM_OK;
}

static um_status state_of(const um_task_paths *p, double lease_s, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    um_text who = {0}, reason = {0};
    *out = UM_TASK_DONE;
    if (um_task_is_done(p))
        return UM_OK;
    UM_TRY(holder(p, lease_s, &who));
    *out = who.n ? UM_TASK_RUNNING : um_file_exists(p->failed) ? UM_TASK_FAILED : UM_TASK_OPEN;
    if (why && *out == UM_TASK_RUNNING)
        UM_TRY(um_text_add(why, "%s", um_text_get(&who)));
    if (why && *out == UM_TASK_FAILED && um_file_read(&reason, p->failed, REASON_BYTES) == UM_OK)
        UM_TRY(um_text_add(why, "%.*s", (int)strcspn(um_text_get(&reason), "\n"), um_text_get(&reason)));
done:
    um_text_free(&reason);
    um_text_free(&who);
    return rc;
}

static double lease_seconds(const um_sweep_run_options *o)
{
    const um_grid_options *g = um_settings_get(o->settings, "grid");
    return g->lease_s;
}

um_status um_sweep_cell_state(const um_sweep_run_options *o, int cell, um_task_state *out, um_text *why)
{
    um_status rc = UM_OK;
    um_task_paths paths = {0};
    UM_TRY(um_task_paths_cell(&paths, o->dir, &o->sweep->cells[cell]));
    UM_TRY(state_of(&paths, lease_seconds(o), out, why));
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
        t.open += state == UM_TASK_OPEN;
    }
    *out = t;
done:
    return rc;
}

/* ---- one task ---- */

static bool ends_the_run(um_status rc)
{
    return rc == UM_E_STOPPED || rc == UM_E_IO || rc == UM_E_MEMORY || rc == UM_E_USAGE;
}

/* Keeps the reason beside the task; its checkpoint goes, so that the next try starts afresh. */
static um_status record_failure(const um_task_paths *p, um_status failure)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_text_add(&text, "%s\n%s\n", um_error_text(), um_status_name(failure)));
    unlink(p->checkpoint);
    UM_TRY(um_file_write(p->failed, um_text_get(&text), text.n));
done:
    um_text_free(&text);
    return rc;
}

static bool still_ours(const void *claim)
{
    return um_lease_check(claim);
}

/* Does a claimed task. A failure of its own becomes its state; what ends the run is returned. */
static um_status attempt(sweep_run *r, const task *t, const um_task_paths *p, const um_lease *claim, um_task_state *state)
{
    um_status rc = UM_OK;
    um_text label = {0}, line = {0}, outcome = {0};
    um_task_context c = {.run = r->o, .cache = &r->cache, .paths = p, .still_ours = still_ours, .claim = claim};
    const char *what = t->item >= 0 ? "protect" : "exploit";
    UM_TRY(t->item >= 0 ? um_task_label_item(r->o->sweep, t->item, &label) : um_task_label_cell(r->o->sweep, t->cell, &label));
    UM_TRY(um_text_add(&line, "start  %s %s", what, um_text_get(&label)));
    UM_TRY(talk(r, um_text_get(&line)));
    um_text_free(&line);
    rc = t->item >= 0 ? um_task_run_item(&c, t->item, &outcome) : um_task_run_cell(&c, t->cell, &outcome);
    if (rc == UM_E_COMM) { /* taken over by another run */
        *state = UM_TASK_OPEN;
        rc = UM_OK;
        goto done;
    }
    if (ends_the_run(rc))
        goto done;
    *state = rc == UM_OK ? UM_TASK_DONE : UM_TASK_FAILED;
    if (rc != UM_OK)
        UM_TRY(um_text_add(&line, "FAILED %s %s: %s", what, um_text_get(&label), um_error_text()));
    else
        UM_TRY(um_text_add(&line, "done   %s %s: %s", what, um_text_get(&label), um_text_get(&outcome)));
    if (*state == UM_TASK_FAILED)
        UM_TRY(record_failure(p, rc));
    else
        unlink(p->failed);
    UM_TRY(talk(r, um_text_get(&line)));
done:
    um_text_free(&outcome);
    um_text_free(&line);
    um_text_free(&label);
    return rc;
}

/* Claims and does a task that is not done; RUNNING when somebody else holds it. */
static um_status work_on(sweep_run *r, const task *t, um_task_state *state)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    um_lease *claim = NULL;
    if (t->item >= 0)
        UM_TRY(um_task_paths_item(&p, r->o->dir, &r->o->sweep->items[t->item]));
    else
        UM_TRY(um_task_paths_cell(&p, r->o->dir, &r->o->sweep->cells[t->cell]));
    *state = UM_TASK_DONE;
    if (um_task_is_done(&p))
        goto done;
    UM_TRY(um_dir_make(p.folder, 0777));
    UM_TRY(um_lease_take(&claim, p.lease, r->lease_s));
    *state = UM_TASK_RUNNING;
    if (!claim)
        goto done;
    *state = UM_TASK_DONE;
    if (!um_task_is_done(&p))
        rc = attempt(r, t, &p, claim, state);
done:
    um_lease_release(claim);
    um_task_paths_clear(&p);
    return rc;
}

/* ---- all of them ---- */

static um_status list_tasks(sweep_run *r)
{
    um_status rc = UM_OK;
    const um_sweep *s = r->o->sweep;
    UM_TRY(UM_NEW_ARRAY(r->tasks, s->n_items + s->n_cells));
    UM_TRY(UM_NEW_ARRAY(r->item_state, s->n_items));
    UM_TRY(UM_NEW_ARRAY(r->cell_state, s->n_cells));
    int n_items = 0;
    for (int c = 0; c < s->n_cells; c++) {
        if (s->cells[c].item == n_items) /* items are numbered in the order of their first cell */
            r->tasks[r->n_tasks++] = (task){.item = n_items++, .cell = -1};
        r->tasks[r->n_tasks++] = (task){.item = -1, .cell = c};
    }
    UM_REQUIRE(n_items == s->n_items);
done:
    return rc;
}

/* A cell whose item failed in this run. */
static um_status fail_dependent(sweep_run *r, int cell)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    um_text label = {0}, line = {0};
    UM_TRY(um_task_paths_cell(&p, r->o->dir, &r->o->sweep->cells[cell]));
    r->cell_state[cell] = UM_TASK_DONE;
    if (um_task_is_done(&p))
        goto done;
    r->cell_state[cell] = UM_TASK_FAILED;
    UM_TRY(um_task_label_cell(r->o->sweep, cell, &label));
    UM_TRY(um_text_add(&line, "FAILED exploit %s: its protection failed", um_text_get(&label)));
    UM_TRY(um_dir_make(p.folder, 0777));
    UM_TRY(um_file_write(p.failed, um_text_get(&line), line.n));
    UM_TRY(talk(r, um_text_get(&line)));
done:
    um_text_free(&line);
    um_text_free(&label);
    um_task_paths_clear(&p);
    return rc;
}

static um_status step(sweep_run *r, const task *t, bool *moved)
{
    um_status rc = UM_OK;
    um_task_state *state = t->item >= 0 ? &r->item_state[t->item] : &r->cell_state[t->cell], before = *state;
    int needs = t->cell >= 0 ? r->o->sweep->cells[t->cell].item : -1;
    if (before == UM_TASK_DONE || before == UM_TASK_FAILED)
        return UM_OK;
    if (needs >= 0 && r->item_state[needs] == UM_TASK_FAILED)
        UM_TRY(fail_dependent(r, t->cell));
    else if (needs < 0 || r->item_state[needs] == UM_TASK_DONE)
        UM_TRY(work_on(r, t, state));
    *moved = *moved || *state == UM_TASK_DONE || *state == UM_TASK_FAILED;
done:
    return rc;
}

static int n_unsettled(const sweep_run *r)
{
    int n = 0;
    for (int i = 0; i < r->n_tasks; i++) {
        um_task_state s = r->tasks[i].item >= 0 ? r->item_state[r->tasks[i].item] : r->cell_state[r->tasks[i].cell];
        n += s != UM_TASK_DONE && s != UM_TASK_FAILED;
    }
    return n;
}

/* Passes over the tasks until all are settled; what others hold is waited for. */
static um_status passes(sweep_run *r)
{
    um_status rc = UM_OK;
    bool told = false;
    for (int left; (left = n_unsettled(r)) > 0;) {
        bool moved = false;
        for (int i = 0; i < r->n_tasks; i++) {
            UM_TRY(um_stop_check("between cells; the same command goes on from here"));
            UM_TRY(step(r, &r->tasks[i], &moved));
        }
        if (moved || n_unsettled(r) == 0)
            continue;
        if (!told)
            um_log(UM_LOG_INFO, "waiting for %d tasks that other runs hold", left);
        told = true;
        usleep(WAIT_MS * 1000);
    }
done:
    return rc;
}

static um_status tidy_task(const sweep_run *r, const task *t, char *const *names, size_t n)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    char **own = NULL;
    size_t n_own = 0;
    UM_TRY(t->item >= 0 ? um_task_paths_item(&p, r->o->dir, &r->o->sweep->items[t->item])
                        : um_task_paths_cell(&p, r->o->dir, &r->o->sweep->cells[t->cell]));
    if (t->cell >= 0 && um_dir_exists(p.folder))
        UM_TRY(um_dir_list(&own, &n_own, p.folder));
    if (um_task_is_done(&p))
        UM_TRY(um_task_tidy(&p, own ? own : names, own ? n_own : n, r->lease_s));
done:
    um_names_free(own, n_own);
    um_task_paths_clear(&p);
    return rc;
}

/* What killed runs left beside finished tasks. The sweep is done all the same, so that a failure here is no more than a warning. */
static void tidy(const sweep_run *r)
{
    um_status rc = UM_OK;
    char *items = NULL, **names = NULL;
    size_t n = 0;
    UM_TRY(um_path_join(&items, r->o->dir, "protected"));
    if (um_dir_exists(items))
        UM_TRY(um_dir_list(&names, &n, items));
    for (int i = 0; i < r->n_tasks; i++)
        UM_TRY(tidy_task(r, &r->tasks[i], names, n));
done:
    if (rc != UM_OK)
        um_log(UM_LOG_WARN, "leftovers of killed runs remain: %s", um_error_text());
    um_names_free(names, n);
    um_free(items);
}

um_status um_sweep_execute(const um_sweep_run_options *o, um_sweep_tally *tally)
{
    um_status rc = UM_OK;
    const um_grid_options *grid = um_settings_get(o->settings, "grid");
    sweep_run r = {.o = o, .cache = {.data = -1}, .lease_s = lease_seconds(o)};
    *tally = (um_sweep_tally){0};
    UM_TRY(list_tasks(&r));
    UM_TRY(um_dir_make(o->dir, 0777));
    UM_TRY(passes(&r));
    if (grid->utility)
        UM_TRY(um_task_run_utilities(o, &r.cache, r.lease_s));
    tidy(&r);
    UM_TRY(um_sweep_tally_read(o, tally));
    if (tally->failed)
        rc = um_fail(UM_E_PARTIAL, "%d of %d cells failed; reasons: %s/cells/*/failed.txt; the same command tries them again",
                     tally->failed,
                     o->sweep->n_cells, o->dir);
done:
    um_task_cache_clear(&r.cache);
    um_free(r.tasks);
    um_free(r.item_state);
    um_free(r.cell_state);
    return rc;
}
