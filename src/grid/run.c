#include "grid/run_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "grid/lease.h"
#include "grid/tidy.h"
#include "train/checkpoint.h"
#include "train/ranks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 500, REASON_BYTES = 1 << 16 };
enum { NOTHING_NOW = -1, ALL_DONE = -2 }; /* what a group does next, beside the number of a task */

/* Items and cells are one list of tasks: every item stands before the first cell that needs it. */
typedef struct task {
    int item, cell; /* one of them, the other -1 */
    double flops;   /* of it and of the longest that waits for it */
} task;

typedef struct sweep_run {
    const um_sweep_run_options *o;
    um_task_cache cache;
    um_comm *world, *group;
    int n_groups;
    bool idle;   /* this rank is in no group */
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

/* Keeps the reason beside the task; its checkpoint goes, so that the next try starts afresh. */
static um_status record_failure(const um_task_paths *p, um_status failure)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_text_add(&text, "%s\n%s\n", um_error_text(), um_status_name(failure)));
    um_saver_remove(p->checkpoint);
    UM_TRY(um_file_write(p->failed, um_text_get(&text), text.n));
done:
    um_text_free(&text);
    return rc;
}

static bool still_ours(const void *claim)
{
    return um_lease_check(claim);
}

static um_status task_paths(const sweep_run *r, const task *t, um_task_paths *out)
{
    return t->item >= 0 ? um_task_paths_item(out, r->o->dir, &r->o->sweep->items[t->item])
                        : um_task_paths_cell(out, r->o->dir, &r->o->sweep->cells[t->cell]);
}

/* Every rank of the group works on the task; all come back with the same outcome. claim: rank 0's, else NULL. */
static um_status do_together(sweep_run *r, const task *t, const um_task_paths *p, const um_lease *claim, um_text *outcome)
{
    um_task_context c = {.run = r->o, .cache = &r->cache, .comm = r->group, .paths = p, .still_ours = still_ours, .claim = claim};
    um_status rc = t->item >= 0 ? um_task_run_item(&c, t->item, outcome) : um_task_run_cell(&c, t->cell, outcome);
    return um_comm_broken(r->group) ? rc : um_comm_agree(r->group, rc);
}

static um_status tell_group(sweep_run *r, int next)
{
    return um_comm_bcast(r->group, &next, sizeof next, "choice of the next cell");
}

/* Rank 0's part in a task that it has claimed. A failure of the task becomes its state; what ends the run is returned. */
static um_status attempt(sweep_run *r, const task *t, const um_task_paths *p, const um_lease *claim, um_task_state *state)
{
    um_status rc = UM_OK;
    um_text label = {0}, line = {0}, outcome = {0};
    const char *what = t->item >= 0 ? "protect" : "exploit";
    UM_TRY(t->item >= 0 ? um_task_label_item(r->o->sweep, t->item, &label) : um_task_label_cell(r->o->sweep, t->cell, &label));
    UM_TRY(um_text_add(&line, "start  %s %s", what, um_text_get(&label)));
    UM_TRY(talk(r, um_text_get(&line)));
    um_text_free(&line);
    UM_TRY(tell_group(r, (int)(t - r->tasks)));
    rc = do_together(r, t, p, claim, &outcome);
    if (rc == UM_E_COMM && !um_comm_broken(r->group) && !um_lease_check(claim)) { /* taken over by another run */
        *state = UM_TASK_OPEN;
        rc = UM_OK;
        goto done;
    }
    if (um_task_ends_sweep(rc) || um_comm_broken(r->group))
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
    UM_TRY(task_paths(r, t, &p));
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

/* What the other ranks of a group do: whatever rank 0 says. */
static um_status follow(sweep_run *r)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    um_text outcome = {0};
    for (;;) {
        int next = ALL_DONE;
        UM_TRY(um_comm_bcast(r->group, &next, sizeof next, "choice of the next cell"));
        if (next == ALL_DONE)
            break;
        if (next == NOTHING_NOW)
            continue;
        um_task_paths_clear(&p);
        um_text_free(&outcome);
        outcome = (um_text){0};
        UM_TRY(task_paths(r, &r->tasks[next], &p));
        rc = do_together(r, &r->tasks[next], &p, NULL, &outcome);
        if (um_comm_broken(r->group))
            break;
        rc = UM_OK; /* rank 0 draws the conclusions */
    }
done:
    um_text_free(&outcome);
    um_task_paths_clear(&p);
    return rc;
}

/* ---- all of them ---- */

static int dearer_first(const void *a, const void *b)
{
    const task *x = a, *y = b;
    if (x->flops != y->flops)
        return x->flops < y->flops ? 1 : -1;
    if ((x->item >= 0) != (y->item >= 0))
        return x->item >= 0 ? -1 : 1;
    return x->item >= 0 ? x->item - y->item : x->cell - y->cell;
}

/* The most expensive first, where an item counts with the longest cell that waits for it. */
static void sort_tasks(sweep_run *r)
{
    const um_sweep *s = r->o->sweep;
    for (int i = 0; i < r->n_tasks; i++) {
        task *t = &r->tasks[i];
        t->flops = t->item >= 0 ? s->items[t->item].cost.flops : s->cells[t->cell].cost.flops;
        double longest = 0;
        for (int c = 0; t->item >= 0 && c < s->n_cells; c++)
            if (s->cells[c].item == t->item && s->cells[c].cost.flops > longest)
                longest = s->cells[c].cost.flops;
        t->flops += longest;
    }
    qsort(r->tasks, (size_t)r->n_tasks, sizeof *r->tasks, dearer_first);
}

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
    sort_tasks(r);
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

static um_status stop_if_asked(sweep_run *r)
{
    if (um_comm_given_up(r->world))
        return um_fail(UM_E_STOPPED, "stopped between cells, since another rank gave up; the same command goes on from here");
    return um_stop_check("between cells; the same command goes on from here");
}

/* Passes over the tasks until all are settled; what others hold is waited for. */
static um_status passes(sweep_run *r)
{
    um_status rc = UM_OK;
    bool told = false;
    for (int left; (left = n_unsettled(r)) > 0;) {
        bool moved = false;
        for (int i = 0; i < r->n_tasks; i++) {
            UM_TRY(stop_if_asked(r));
            UM_TRY(step(r, &r->tasks[i], &moved));
        }
        if (moved || n_unsettled(r) == 0)
            continue;
        if (!told)
            um_log(UM_LOG_INFO, "waiting for %d tasks that other runs hold", left);
        told = true;
        UM_TRY(tell_group(r, NOTHING_NOW)); /* so that nobody takes rank 0 for silent */
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
    UM_TRY(task_paths(r, t, &p));
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

/* ---- ranks ---- */

/* Groups of neighbours, which mostly share a node. */
static um_status form_groups(sweep_run *r)
{
    um_status rc = UM_OK;
    const um_grid_options *g = um_settings_get(r->o->settings, "grid");
    int size = um_comm_size(r->world), rank = um_comm_rank(r->world), each = g->ranks_per_cell < size ? (int)g->ranks_per_cell : size;
    r->n_groups = size / each;
    int left = size - r->n_groups * each;
    r->idle = rank >= size - left;
    UM_TRY(um_comm_split(&r->group, r->world, r->idle ? -1 : rank / each));
    um_spread spread = um_spread_of(um_settings_get(r->o->settings, "run"), r->group);
    if (!r->idle)
        UM_TRY(um_spread_check(&spread));
    if (size > 1)
        um_log(UM_LOG_INFO, "%d group%s of %d rank%s, each on a cell of its own", r->n_groups, r->n_groups == 1 ? "" : "s", each,
               each == 1 ? "" : "s");
    if (left > 0 && um_comm_leads(r->world))
        um_log(UM_LOG_WARN, "%d of %d ranks stay idle: %d is not a multiple of grid.ranks_per_cell = %d", left, size, size, each);
done:
    return rc;
}

/* When all groups are through, one rank closes the sweep. */
static um_status conclude(sweep_run *r)
{
    um_status rc = UM_OK;
    const um_grid_options *grid = um_settings_get(r->o->settings, "grid");
    if (grid->utility)
        UM_TRY(um_task_run_utilities(r->o, &r->cache, r->lease_s));
    tidy(r);
done:
    return rc;
}

/* This rank's part of the sweep. Groups come to their ends at very different times. */
static um_status take_part(sweep_run *r)
{
    um_status rc = UM_OK;
    if (r->idle)
        return UM_OK;
    if (!um_comm_leads(r->group))
        return follow(r);
    um_log_set_voice(true);
    rc = passes(r);
    if (!um_comm_broken(r->group) && rc != UM_E_COMM) {
        um_status told = tell_group(r, ALL_DONE);
        rc = rc != UM_OK ? rc : told;
    }
    um_log_set_voice(um_comm_leads(r->world));
    return rc;
}

um_status um_sweep_execute(const um_sweep_run_options *o, um_sweep_tally *tally)
{
    um_status rc = UM_OK;
    sweep_run r = {.o = o, .cache = {.data = -1}, .lease_s = lease_seconds(o), .world = o->comm};
    *tally = (um_sweep_tally){0};
    rc = list_tasks(&r);
    if (rc == UM_OK && um_comm_leads(r.world))
        rc = um_dir_make(o->dir, 0777);
    UM_TRY(um_comm_agree(r.world, rc));
    rc = form_groups(&r);
    if (rc == UM_OK)
        rc = take_part(&r);
    if (um_comm_broken(r.group) || rc == UM_E_COMM)
        goto done;
    um_comm_set_deadline(r.world, 0); /* other groups may be at work for hours */
    UM_TRY(um_comm_agree(r.world, rc));
    if (um_comm_leads(r.world))
        rc = conclude(&r);
    UM_TRY(um_comm_agree(r.world, rc));
    UM_TRY(um_sweep_tally_read(o, tally));
    if (tally->failed)
        rc = um_fail(UM_E_PARTIAL, "%d of %d cells failed; reasons: %s/cells/*/failed.txt; the same command tries them again",
                     tally->failed,
                     o->sweep->n_cells, o->dir);
done:
    um_comm_free(r.group);
    um_task_cache_clear(&r.cache);
    um_free(r.tasks);
    um_free(r.item_state);
    um_free(r.cell_state);
    return rc;
}
