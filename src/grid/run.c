#include "grid/run_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/signal.h"
#include "mpi/lease.h"
#include "grid/tidy.h"
#include "train/checkpoint.h"
#include "train/ranks.h"

#include <unistd.h>

enum { WAIT_MS = 500 };
enum { NOTHING_NOW = -1, ALL_DONE = -2 }; /* what a group does next, beside the number of a task */

typedef struct sweep_run {
    const um_sweep_run_options *o;
    um_task_cache cache;
    um_comm *world, *group;
    um_reducer *sums; /* of the group */
    int n_groups;
    bool idle;   /* this rank is in no group */
    int *order;           /* numbers of the tasks, the most expensive first */
    um_task_state *state; /* of every task in this run: FAILED means that it failed now */
    double lease_s;
} sweep_run;

static um_status talk(const sweep_run *r, const char *line)
{
    return r->o->talk ? r->o->talk(r->o->payload, line) : UM_OK;
}

/* ---- one task ---- */

/* Keeps the reason beside the task; its checkpoint goes, so that the next try starts afresh. */
static um_status record_failure(const um_task_paths *p, um_status failure)
{
    um_status rc = UM_OK;
    um_text text = {0};
    um_lease_owner self;
    UM_TRY(um_lease_owner_self(&self));
    UM_TRY(um_text_add(&text, "%s\n%s\n%s on %s%s%s\n", um_error_text(), um_status_name(failure), self.since, self.host,
                       self.job[0] ? ", job " : "", self.job));
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

/* Every rank of the group works on the task; all come back with the same outcome. claim: rank 0's, else NULL. */
static um_status do_together(sweep_run *r, const um_task *t, const um_task_paths *p, const um_lease *claim, um_text *outcome)
{
    um_task_context c = {.run = r->o, .cache = &r->cache, .comm = r->group, .paths = p, .still_ours = still_ours, .claim = claim};
    um_status rc = t->kind->run(&c, t->index, outcome);
    return um_comm_broken(r->group) ? rc : um_comm_agree(r->group, rc);
}

static um_status tell_group(sweep_run *r, int next)
{
    return um_comm_bcast(r->group, &next, sizeof next, "choice of the next cell");
}

/* Rank 0's part in a task that it has claimed. A failure of the task becomes its state; what ends the run is returned. */
static um_status attempt(sweep_run *r, const um_task *t, const um_task_paths *p, const um_lease *claim, um_task_state *state)
{
    um_status rc = UM_OK;
    um_text label = {0}, line = {0}, outcome = {0};
    const char *what = t->kind->verb;
    UM_TRY(t->kind->label(r->o->sweep, t->index, &label));
    UM_TRY(um_text_add(&line, "start  %s %s", what, um_text_get(&label)));
    UM_TRY(talk(r, um_text_get(&line)));
    um_text_free(&line);
    UM_TRY(tell_group(r, (int)(t - r->o->sweep->tasks)));
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
static um_status work_on(sweep_run *r, const um_task *t, um_task_state *state)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    um_lease *claim = NULL;
    UM_TRY(um_task_paths_of(&p, r->o->dir, t->kind, t->key));
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
        const um_task *t = &r->o->sweep->tasks[next];
        UM_TRY(um_task_paths_of(&p, r->o->dir, t->kind, t->key));
        rc = do_together(r, t, &p, NULL, &outcome);
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

/* A task of which another that it needs failed in this run. */
static um_status fail_dependent(sweep_run *r, const um_task *t, const um_task *need, um_task_state *state)
{
    um_status rc = UM_OK;
    um_task_paths p = {0};
    um_text label = {0}, line = {0};
    UM_TRY(um_task_paths_of(&p, r->o->dir, t->kind, t->key));
    *state = UM_TASK_DONE;
    if (um_task_is_done(&p))
        goto done;
    *state = UM_TASK_FAILED;
    UM_TRY(t->kind->label(r->o->sweep, t->index, &label));
    UM_TRY(um_text_add(&line, "FAILED %s %s: needs %s ", t->kind->verb, um_text_get(&label), need->kind->verb));
    UM_TRY(need->kind->label(r->o->sweep, need->index, &line));
    UM_TRY(um_text_add(&line, ", which failed"));
    UM_TRY(um_dir_make(p.folder, 0777));
    UM_TRY(um_file_write(p.failed, um_text_get(&line), line.n));
    UM_TRY(talk(r, um_text_get(&line)));
done:
    um_text_free(&line);
    um_text_free(&label);
    um_task_paths_clear(&p);
    return rc;
}

static bool is_settled(um_task_state s)
{
    return s == UM_TASK_DONE || s == UM_TASK_FAILED;
}

static um_status step(sweep_run *r, int number, bool *moved)
{
    um_status rc = UM_OK;
    const um_sweep *s = r->o->sweep;
    const um_task *t = &s->tasks[number], *failed = NULL;
    um_task_state *state = &r->state[number];
    bool ready = true;
    if (is_settled(*state))
        return UM_OK;
    for (int k = 0; k < t->n_needs; k++) {
        int need = s->needs[t->first_need + k];
        failed = r->state[need] == UM_TASK_FAILED ? &s->tasks[need] : failed;
        ready = ready && r->state[need] == UM_TASK_DONE;
    }
    if (failed)
        UM_TRY(fail_dependent(r, t, failed, state));
    else if (ready)
        UM_TRY(work_on(r, t, state));
    *moved = *moved || is_settled(*state);
done:
    return rc;
}

static int n_unsettled(const sweep_run *r)
{
    int n = 0;
    for (int i = 0; i < r->o->sweep->n_tasks; i++)
        n += !is_settled(r->state[i]);
    return n;
}

static um_status stop_if_asked(void *payload)
{
    sweep_run *r = payload;
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
        for (int i = 0; i < r->o->sweep->n_tasks; i++) {
            UM_TRY(stop_if_asked(r));
            UM_TRY(step(r, r->order[i], &moved));
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

/* ---- ranks ---- */

/* Groups of neighbours, which mostly share a node. */
static um_status form_groups(sweep_run *r)
{
    um_status rc = UM_OK;
    const um_grid_options *g = um_settings_get(r->o->settings, "grid");
    int size = um_comm_size(r->world), rank = um_comm_rank(r->world),
        each = g->ranks_per_cell < size ? (int)g->ranks_per_cell : size;
    r->n_groups = size / each;
    int left = size - r->n_groups * each;
    r->idle = rank >= size - left;
    UM_TRY(um_comm_split(&r->group, r->world, r->idle ? -1 : rank / each));
    um_spread spread = um_spread_of(um_settings_get(r->o->settings, "run"), r->group);
    if (!r->idle) {
        UM_TRY(um_spread_check(&spread));
        UM_TRY(um_spread_device(&r->sums, um_settings_get(r->o->settings, "run"), r->group, r->o->backend));
    }
    if (size > 1)
        um_log(UM_LOG_INFO, "%d group%s of %d rank%s, each on a cell of its own", r->n_groups, r->n_groups == 1 ? "" : "s", each,
               each == 1 ? "" : "s");
    if (left > 0 && um_comm_leads(r->world))
        um_log(UM_LOG_WARN, "%d of %d ranks stay idle: %d is not a multiple of grid.ranks_per_cell = %d", left, size, size, each);
done:
    return rc;
}

/* This rank's part of the sweep. Groups come to their ends at very different times. */
static um_status take_part(sweep_run *r)
{
    um_status rc = UM_OK;
    const um_grid_options *grid = um_settings_get(r->o->settings, "grid");
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
    if (rc == UM_OK && grid->utility)
        rc = um_task_run_utilities(r->o, &r->cache, r->lease_s, stop_if_asked, r);
    um_log_set_voice(um_comm_leads(r->world));
    return rc;
}

/* Ranks tell each other the numbers of tasks: everybody's list must be the same. */
static um_status check_tasks(const sweep_run *r)
{
    um_status rc = UM_OK;
    um_text keys = {0};
    char sha256[UM_SHA256_HEX];
    for (int i = 0; i < r->o->sweep->n_tasks; i++)
        UM_TRY(um_text_add(&keys, "%s\n", r->o->sweep->tasks[i].key));
    um_sha256_of(um_text_get(&keys), keys.n, sha256);
    UM_TRY(um_comm_same(r->world, sha256, sizeof sha256, "settings and datasets of the sweep"));
done:
    um_text_free(&keys);
    return rc;
}

um_status um_sweep_execute(const um_sweep_run_options *o, um_sweep_tally *tally)
{
    um_status rc = UM_OK;
    sweep_run r = {.o = o, .cache = {.data = -1}, .lease_s = um_sweep_lease_s(o), .world = o->comm};
    *tally = (um_sweep_tally){0};
    rc = um_task_order(&r.order, o->sweep);
    if (rc == UM_OK)
        rc = UM_NEW_ARRAY(r.state, o->sweep->n_tasks);
    if (rc == UM_OK && um_comm_leads(r.world))
        rc = um_dir_make(o->dir, 0777);
    UM_TRY(um_comm_agree(r.world, rc));
    UM_TRY(check_tasks(&r));
    rc = form_groups(&r);
    if (rc == UM_OK)
        rc = take_part(&r);
    if (um_comm_broken(r.group) || rc == UM_E_COMM)
        goto done;
    um_comm_set_deadline(r.world, 0); /* other groups may be at work for hours */
    UM_TRY(um_comm_agree(r.world, rc));
    if (um_comm_leads(r.world))
        um_sweep_tidy(o, r.lease_s);
    UM_TRY(um_comm_agree(r.world, UM_OK));
    UM_TRY(um_sweep_tally_read(o, tally));
    if (tally->failed)
        rc = um_fail(UM_E_PARTIAL, "%d of %d cells failed; reasons: %s/cells/*/failed.txt; the same command tries them again",
                     tally->failed, tally->done + tally->failed + tally->running + tally->stale + tally->open, o->dir);
done:
    um_reducer_close(r.sums);
    um_comm_free(r.group);
    um_task_cache_clear(&r.cache);
    um_free(r.order);
    um_free(r.state);
    return rc;
}
