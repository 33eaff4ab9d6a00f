/* A run of a job: which shards, in which order, and what is said meanwhile. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/backlog.h"
#include "archive/plan.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "mpi/lease.h"

enum { WAIT_MS = 500, SPARE_BYTES = 96 << 20 /* code, threads, HDF5's own */, COMMITTERS = 3, UNCOMMITTED = 4 };

typedef enum shard_state { OPEN, DONE, FAILED } shard_state;

/* A shard that is claimed: through the stages, then committed by another thread. */
typedef struct visit {
    struct visit *next;
    size_t k;
    um_archive_paths paths;
    um_lease *claim;
    um_shard_job *job;
    double begun;
} visit;

typedef struct protect_run {
    const um_archive_job *job;
    const um_archive_options *o;
    um_archive_plan plan;
    um_perturber perturber;
    um_workshop shop;
    size_t from, at;      /* this pass: the shard it begins with, and how many it has looked at */
    um_backlog *commits;
    double begun;
    pthread_mutex_t lock; /* of all that follows */
    shard_state *states;  /* [plan.n_files]: FAILED means that it failed in this run */
    visit *visits;        /* under way */
    int64_t own;          /* images that this rank has brought to the end */
    bool moved;           /* in this pass a shard was done, or found done */
    um_status failed;     /* of a commit: ends the run */
    um_text why;
} protect_run;

/* ---- progress: the run of this rank, which is the one that is seen ---- */

/* Called from the last stage while the next units are on the way. */
void um_workshop_tell(um_workshop *w, int64_t n)
{
    char note[160];
    w->images_done += n;
    if (w->images_total == 0)
        return;
    double took = um_now() - w->begun, rate = (double)w->images_done / (took > 0 ? took : 1);
    int64_t before = __atomic_load_n(&w->images_before, __ATOMIC_RELAXED);
    double left = (double)(w->images_total - before - w->images_done) / (rate > 0 ? rate : 1);
    um_conveyor_times times = um_conveyor_look(&w->times);
    const char *bound = times.busy_s[w->n_stages - 1] > 0 ? w->stages[um_conveyor_bounding(w->stages, w->n_stages, &times)].name : "not known yet";
    snprintf(note, sizeof note, "%.1f images/s here, %.0f s left at this rate, bound by: %s", rate, left < 0 ? 0 : left, bound);
    um_progress("protect archive, images", (long)(before + w->images_done), (long)w->images_total, note);
}

static double memory_now(void)
{
    um_text text = {0};
    long long pages = 0;
    if (um_file_read(&text, "/proc/self/statm", 256) != UM_OK || sscanf(um_text_get(&text), "%*s %lld", &pages) != 1)
        pages = 0;
    um_text_free(&text);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* The most that this process ever took. */
static double memory_peak(void)
{
    um_text text = {0};
    long long kib = 0;
    const char *at;
    if (um_file_read(&text, "/proc/self/status", 1 << 16) == UM_OK && (at = strstr(um_text_get(&text), "VmHWM:")))
        sscanf(at, "VmHWM: %lld", &kib);
    um_text_free(&text);
    return 1024.0 * (double)kib;
}

static um_status announce(protect_run *r)
{
    um_status rc = UM_OK;
    double perturb = 0, units = um_workshop_bytes(&r->plan.room, r->o, r->perturber.carries);
    UM_TRY(um_perturber_bytes(&r->perturber, r->plan.h_most, r->plan.w_most, &perturb));
    r->shop.memory_bound = memory_now() + perturb + units + SPARE_BYTES;
    um_log(UM_LOG_INFO, "%lld images of at most %lldx%lldx%lld in %lld shards, %.2f GB; protector %s, archive.apply = %s; compression by %s",
           (long long)r->plan.n_images, (long long)r->plan.h_most, (long long)r->plan.w_most, (long long)r->plan.c,
           (long long)r->plan.n_files, (double)r->plan.n_bytes / 1e9, r->perturber.def->name,
           r->perturber.resampled ? "resampled" : "native", um_deflate_library());
    um_log(UM_LOG_INFO, "memory: at most %.0f MB per rank, however large the archive: %.0f for %d units on the way, %.0f for the protector",
           r->shop.memory_bound / 1e6, units / 1e6, r->shop.n_slots, perturb / 1e6);
done:
    return rc;
}

/* ---- one shard ---- */

static bool still_ours(const void *claim)
{
    return um_lease_check(claim);
}

static um_status record_failure(const um_archive_paths *p, const char *shard)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_text_add(&text, "%s\n", um_error_text()));
    um_log(UM_LOG_ERROR, "FAILED %s: %s", shard, um_error_text());
    UM_TRY(um_file_write(p->failed, um_text_get(&text), text.n));
done:
    um_text_free(&text);
    return rc;
}

static void set_state(protect_run *r, size_t k, shard_state state, int64_t images)
{
    pthread_mutex_lock(&r->lock);
    r->states[k] = state;
    r->own += images;
    r->moved = true;
    pthread_mutex_unlock(&r->lock);
}

static void visit_end(protect_run *r, visit *v)
{
    pthread_mutex_lock(&r->lock);
    visit **at = &r->visits;
    while (*at && *at != v)
        at = &(*at)->next;
    if (*at)
        *at = v->next;
    pthread_mutex_unlock(&r->lock);
    um_shard_job_free(v->job);
    um_lease_release(v->claim);
    um_archive_paths_clear(&v->paths);
    um_free(v);
}

/* What a failure means: the end of the run, or of this shard alone. */
static um_status outcome(protect_run *r, const visit *v, um_status rc)
{
    if (!um_shard_job_is_own(rc))
        return rc;
    set_state(r, v->k, FAILED, 0);
    return record_failure(&v->paths, v->paths.shard_name);
}

static void commit(void *task, void *payload)
{
    protect_run *r = payload;
    visit *v = task;
    um_text item = {0};
    int64_t images = 0, left_out = 0;
    um_status rc = um_shard_job_commit(v->job, still_ours, v->claim, r->plan.settings_sha256, &item);
    if (rc == UM_OK && item.n > 0) {
        um_json_get_int(um_text_get(&item), "images", &images);
        um_json_get_int(um_text_get(&item), "left_out", &left_out);
        unlink(v->paths.failed);
        set_state(r, v->k, DONE, images);
        um_log(UM_LOG_INFO, "%s: %lld images in %.1f s%s", v->paths.shard_name, (long long)images, um_now() - v->begun,
               left_out ? "; some are left out, see its item" : "");
    }
    rc = outcome(r, v, rc);
    pthread_mutex_lock(&r->lock);
    if (rc != UM_OK && r->failed == UM_OK) {
        r->failed = rc;
        um_text_add(&r->why, "%s", um_error_text());
    }
    pthread_mutex_unlock(&r->lock);
    um_text_free(&item);
    visit_end(r, v);
}

static um_status shard_done(void *payload, um_shard_job *job)
{
    um_status rc = UM_OK;
    protect_run *r = payload;
    visit *v = um_shard_job_owner(job);
    rc = um_shard_job_outcome(job);
    if (rc == UM_OK) {
        um_backlog_put(r->commits, v);
        return UM_OK;
    }
    rc = outcome(r, v, rc);
    pthread_mutex_lock(&r->shop.h5);
    visit_end(r, v);
    pthread_mutex_unlock(&r->shop.h5);
    return rc;
}

/* Claims and opens shard k; *out stays NULL when it is done, held by others, or cannot be opened. */
static um_status look_at(protect_run *r, size_t k, um_shard_job **out)
{
    um_status rc = UM_OK;
    visit *v = NULL;
    UM_TRY(UM_NEW(v));
    *v = (visit){.k = k, .begun = um_now()};
    UM_TRY(um_archive_paths_of(&v->paths, r->job->released, r->job->private_dir, (int)k, (int)r->plan.n_files));
    if (!um_file_exists(v->paths.item)) {
        UM_TRY(um_lease_take(&v->claim, v->paths.claim, r->o->lease_s));
        if (!v->claim)
            goto done;
    }
    if (um_file_exists(v->paths.item)) {
        set_state(r, k, DONE, 0);
        __atomic_add_fetch(&r->shop.images_before, r->plan.images[k], __ATOMIC_RELAXED);
        goto done;
    }
    rc = um_shard_job_open(&v->job, &r->shop, r->plan.files[k], &v->paths, v);
    UM_TRY(outcome(r, v, rc));
    if (!v->job)
        goto done;
    *out = v->job;
    pthread_mutex_lock(&r->lock);
    v->next = r->visits;
    r->visits = v;
    pthread_mutex_unlock(&r->lock);
    v = NULL;
done:
    if (v)
        visit_end(r, v);
    return rc;
}

static shard_state state_of(protect_run *r, size_t k)
{
    pthread_mutex_lock(&r->lock);
    shard_state state = r->states[k];
    pthread_mutex_unlock(&r->lock);
    return state;
}

static um_status commit_failure(protect_run *r)
{
    pthread_mutex_lock(&r->lock);
    um_status rc = r->failed == UM_OK ? UM_OK : um_fail(r->failed, "%s", um_text_get(&r->why));
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static um_status next_shard(void *payload, um_shard_job **out)
{
    um_status rc = UM_OK;
    protect_run *r = payload;
    size_t n = r->plan.n_files;
    *out = NULL;
    while (r->at < n && !*out) {
        size_t k = (r->from + r->at++) % n;
        if (state_of(r, k) != OPEN)
            continue;
        UM_TRY(commit_failure(r));
        if (um_comm_given_up(r->job->comm))
            UM_TRY(um_fail(UM_E_STOPPED, "stopped between shards, since another rank gave up; the same command goes on from here"));
        UM_TRY(um_stop_check("the same command goes on from here"));
        UM_TRY(look_at(r, k, out));
    }
done:
    return rc;
}

/* Once over the shards that are open. What was ready is committed, whatever happens. */
static um_status pass(protect_run *r)
{
    um_status rc = UM_OK;
    const um_shard_traffic traffic = {next_shard, shard_done, r};
    r->at = 0;
    r->moved = false;
    UM_TRY(um_backlog_open(&r->commits, COMMITTERS, UNCOMMITTED, commit, r));
    rc = um_workshop_run(&r->shop, &traffic);
done:
    um_backlog_close(r->commits);
    r->commits = NULL;
    while (r->visits)
        visit_end(r, r->visits);
    return rc == UM_OK ? commit_failure(r) : rc;
}

static size_t n_open(const protect_run *r)
{
    size_t n = 0;
    for (size_t k = 0; k < r->plan.n_files; k++)
        n += r->states[k] == OPEN;
    return n;
}

/* Passes over the shards until all are done or failed here; what others hold is waited for. Ranks begin at different places, so that
 * they seldom ask for the same claim. */
static um_status passes(protect_run *r)
{
    um_status rc = UM_OK;
    bool told = false;
    r->from = r->plan.n_files * (size_t)um_comm_rank(r->job->comm) / (size_t)um_comm_size(r->job->comm);
    while (n_open(r) > 0) {
        UM_TRY(pass(r));
        if (r->moved || n_open(r) == 0)
            continue;
        if (!told)
            um_log(UM_LOG_INFO, "waiting for %zu shards that others hold", n_open(r));
        told = true;
        usleep(WAIT_MS * 1000);
    }
done:
    return rc;
}

/* ---- the end ---- */

/* Busy seconds of every stage over all ranks, and which one bounds. Ranks without a device have no stages to and from one: times are
 * summed by the names of all stages that there may be. */
static um_status tell_times(protect_run *r)
{
    um_status rc = UM_OK;
    um_text line = {0};
    um_conveyor_stage every[UM_ARCHIVE_STAGES];
    int n = um_shard_job_stages(every, r->o, true);
    double sums[UM_ARCHIVE_STAGES + 2] = {0};
    for (int k = 0; k < n; k++)
        for (int i = 0; i < r->shop.n_stages; i++)
            if (strcmp(every[k].name, r->shop.stages[i].name) == 0)
                sums[k] = r->shop.times.busy_s[i], every[k].workers = r->shop.stages[i].workers;
    sums[n] = (double)r->own;
    sums[n + 1] = r->shop.times.wall_s;
    double took = um_now() - r->begun, peak = memory_peak();
    UM_TRY(um_comm_sum(r->job->comm, sums, UM_F64, n + 2, "times of the stages"));
    um_conveyor_times all = {.wall_s = sums[n + 1]};
    memcpy(all.busy_s, sums, (size_t)n * sizeof *sums);
    for (int k = 0; k < n; k++)
        if (sums[k] > 0)
            UM_TRY(um_text_add(&line, "%s%s %.1f", line.n ? ", " : "", every[k].name, sums[k]));
    um_log(UM_LOG_INFO, "stages, busy seconds over all ranks: %s; at work %.1f; bound by: %s", um_text_get(&line), all.wall_s,
           every[um_conveyor_bounding(every, n, &all)].name);
    um_log(UM_LOG_INFO, "%.0f images in %.1f s, %.1f images/s; memory peak of rank 0: %.0f MB of %.0f", sums[n], took,
           sums[n] / (took > 0 ? took : 1), peak / 1e6, r->shop.memory_bound / 1e6);
done:
    um_text_free(&line);
    return rc;
}

static um_status count(const protect_run *r, um_archive_tally *out)
{
    um_status rc = UM_OK;
    um_archive_tally t = {.shards = (int64_t)r->plan.n_files};
    um_archive_paths p = {0};
    um_text line = {0};
    for (size_t k = 0; k < r->plan.n_files; k++) {
        int64_t images = 0, copied = 0, refused = 0;
        bool found = false;
        um_archive_paths_clear(&p);
        um_text_free(&line);
        line = (um_text){0};
        UM_TRY(um_archive_paths_of(&p, r->job->released, r->job->private_dir, (int)k, (int)r->plan.n_files));
        UM_TRY(um_archive_line_read(&line, p.item, &found));
        t.done += found;
        t.failed += !found && um_file_exists(p.failed);
        if (!found)
            continue;
        if (!um_json_get_int(um_text_get(&line), "images", &images) || !um_json_get_int(um_text_get(&line), "copied", &copied) ||
            !um_json_get_int(um_text_get(&line), "left_out", &refused))
            UM_TRY(um_fail(UM_E_DATA, "%s: lacks \"images\", \"copied\" or \"left_out\": the file was changed", p.item));
        t.images += images, t.copied += copied, t.refused += refused;
    }
    *out = t;
done:
    um_text_free(&line);
    um_archive_paths_clear(&p);
    return rc;
}

/* Who died between a shard's item and its claim leaves the claim behind; taking and releasing it removes it. */
static um_status clear_claims(const protect_run *r)
{
    um_status rc = UM_OK;
    char **names = NULL, *dir = NULL;
    size_t n = 0;
    um_archive_paths p = {0};
    um_lease *claim = NULL;
    UM_TRY(um_path_join(&dir, r->job->private_dir, "items"));
    UM_TRY(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        int k = -1;
        if (!strstr(names[i], ".lease.") || sscanf(names[i], "shard-%d-", &k) != 1 || k < 0 || (size_t)k >= r->plan.n_files)
            continue;
        um_archive_paths_clear(&p);
        UM_TRY(um_archive_paths_of(&p, r->job->released, r->job->private_dir, k, (int)r->plan.n_files));
        if (!um_file_exists(p.item))
            continue;
        UM_TRY(um_lease_take(&claim, p.claim, r->o->lease_s));
        um_lease_release(claim);
        claim = NULL;
    }
done:
    um_archive_paths_clear(&p);
    um_names_free(names, n);
    um_free(dir);
    return rc;
}

/* One run at a time writes the manifests; the last to come writes what is true then. */
static um_status write_manifests(const protect_run *r)
{
    um_status rc = UM_OK;
    char *prefix = NULL;
    um_lease *claim = NULL;
    UM_TRY(um_path_join(&prefix, r->job->private_dir, "items/manifest.lease"));
    for (;;) {
        UM_TRY(um_lease_take(&claim, prefix, r->o->lease_s));
        if (claim)
            break;
        UM_TRY(um_stop_check("the same command writes the manifests"));
        usleep(WAIT_MS * 1000);
    }
    UM_TRY(clear_claims(r));
    UM_TRY(um_archive_manifests_write(r->job->released, r->job->private_dir, (int)r->plan.n_files));
done:
    um_lease_release(claim);
    um_free(prefix);
    return rc;
}

static um_status conclude(const protect_run *r, um_archive_tally *tally)
{
    um_status rc = UM_OK;
    UM_TRY(count(r, tally));
    if (tally->done == tally->shards)
        UM_TRY(write_manifests(r));
done:
    return rc;
}

static um_status open_all(protect_run *r)
{
    um_status rc = UM_OK;
    const um_archive_job *job = r->job;
    UM_TRY(um_archive_plan_make(&r->plan, job));
    rc = um_perturber_open(&r->perturber, job, r->plan.c);
    if (rc == UM_OK && um_comm_leads(job->comm))
        rc = um_archive_plan_settle(&r->plan, job);
    if (rc == UM_OK && um_comm_leads(job->comm))
        rc = um_archive_plan_check_room(&r->plan, job);
    UM_TRY(um_comm_agree(job->comm, rc));
    UM_TRY(um_comm_bcast(job->comm, r->plan.settings_sha256, sizeof r->plan.settings_sha256, "settings of the job"));
    rc = um_workshop_open(&r->shop, job, &r->perturber, &r->plan.room);
    if (rc == UM_OK)
        rc = UM_NEW_ARRAY(r->states, r->plan.n_files);
    if (rc == UM_OK)
        rc = announce(r);
    UM_TRY(um_comm_agree(job->comm, rc));
    r->begun = r->shop.begun = um_now();
    r->shop.images_total = r->plan.n_images;
done:
    return rc;
}

um_status um_archive_protect(const um_archive_job *job, um_archive_tally *tally)
{
    um_status rc = UM_OK;
    protect_run r = {.job = job, .o = um_settings_get(job->settings, "archive"), .lock = PTHREAD_MUTEX_INITIALIZER};
    *tally = (um_archive_tally){0};
    UM_TRY(open_all(&r));
    um_comm_set_deadline(job->comm, 0); /* ranks come to their ends at very different times */
    rc = passes(&r);
    UM_TRY(um_comm_agree(job->comm, rc));
    UM_TRY(tell_times(&r));
    if (um_comm_leads(job->comm))
        rc = conclude(&r, tally);
    UM_TRY(um_comm_agree(job->comm, rc));
    UM_TRY(um_comm_bcast(job->comm, tally, sizeof *tally, "what is done"));
    if (tally->failed || tally->refused)
        rc = um_fail(UM_E_PARTIAL, "%lld of %lld shards failed, %lld images were left out; reasons: %s/items; the same command tries failed "
                     "shards again", (long long)tally->failed, (long long)tally->shards, (long long)tally->refused, job->private_dir);
done:
    um_workshop_close(&r.shop);
    um_perturber_close(&r.perturber);
    um_archive_plan_clear(&r.plan);
    um_free(r.states);
    um_text_free(&r.why);
    return rc;
}
