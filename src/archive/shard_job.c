#include "archive/shard_job.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/round.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "base/threads.h"
#include "image/metric.h"

typedef enum fate { PROTECT, COPY, REFUSE } fate;

struct um_shard_job {
    um_workshop *w;
    const um_archive_paths *paths; /* borrowed, like w */
    void *owner;
    const char *clean_path;
    double begun;
    um_status failed; /* this and its text: under the workshop's lock */
    um_text why;
    um_shard *clean;
    const um_shard_index *in;
    um_shard_index out;      /* what is released */
    uint8_t *fates;          /* [in->n] */
    um_archive_refusals refused;
    int64_t *starts, n_units, next_unit, n_copied;
    um_shard_writer writer;
    um_delta_writer delta;
    int64_t limit, next_out; /* row of the release that the finish stage comes to */
    um_sha256 sum_clean, sum_released;
    um_archive_spread psnr, ssim;
    char sha256_clean[UM_SHA256_HEX], sha256_released[UM_SHA256_HEX];
    bool parts; /* both files are complete, and not committed */
};

/* ---- what becomes of each image ---- */

static bool any(const uint8_t *mask, int64_t n)
{
    return memchr(mask, 1, (size_t)n) != NULL;
}

/* Why an image cannot be protected; "" when it can. bare: for want of a mask. */
static void judge(const um_shard_job *j, int64_t row, const uint8_t *mask, char why[160], bool *bare)
{
    const um_shard_row *r = &j->in->rows[row];
    int64_t c = j->w->perturber->c;
    why[0] = 0;
    *bare = r->mask_at < 0 || !any(mask, r->h * r->w);
    if (*bare)
        snprintf(why, 160, "%s", r->mask_at < 0 ? "it has no mask" : "its mask is empty");
    else if (r->c != c)
        snprintf(why, 160, "it has %lld channel%s, the archive's first image with a mask has %lld", (long long)r->c, r->c == 1 ? "" : "s",
                 (long long)c);
    else if (!j->w->perturber->resampled && (r->h < 16 || r->w < 16))
        snprintf(why, 160, "it has %lldx%lld pixels, networks need 16x16", (long long)r->h, (long long)r->w);
}

static um_status decide(um_shard_job *j, int64_t first, int64_t n, const uint8_t *masks)
{
    um_status rc = UM_OK;
    const um_shard_index *x = j->in;
    for (int64_t i = first; i < first + n; i++) {
        char why[160];
        bool bare;
        const um_shard_row *r = &x->rows[i];
        judge(j, i, masks, why, &bare);
        masks += um_shard_mask_pixels(r);
        j->fates[i] = !why[0] ? PROTECT : bare && j->w->job->copy_unmasked ? COPY : REFUSE;
        j->n_copied += j->fates[i] == COPY;
        if (j->fates[i] == REFUSE)
            UM_TRY(um_archive_refusals_add(&j->refused, x->ids[i], why));
        else
            UM_TRY(um_shard_index_add(&j->out, x->ids[i], r->h, r->w, r->c, r->mask_at >= 0, x->split[i]));
    }
done:
    return rc;
}

/* Before anything is written: the masks alone, a unit at a time. */
static um_status decide_all(um_shard_job *j)
{
    um_status rc = UM_OK;
    uint8_t *masks = j->w->masks;
    UM_TRY(UM_NEW_ARRAY(j->fates, j->in->n));
    for (int64_t u = 0; u < j->n_units; u++) {
        int64_t first = j->starts[u], n = j->starts[u + 1] - first;
        UM_TRY(um_stop_check("the same command goes on from here"));
        pthread_mutex_lock(&j->w->h5);
        rc = um_shard_read(j->clean, first, n, NULL, masks);
        pthread_mutex_unlock(&j->w->h5);
        UM_TRY(rc);
        UM_TRY(decide(j, first, n, masks));
    }
    if (j->out.n == 0)
        rc = um_fail(UM_E_DATA, "%s: none of its %lld images can be released; the first: '%s': %s", um_h5_path(um_shard_file(j->clean)),
                     (long long)j->in->n, j->refused.n ? j->refused.list[0].id : "", j->refused.n ? j->refused.list[0].reason : "");
done:
    return rc;
}

/* ---- stages ---- */

bool um_shard_job_is_own(um_status rc)
{
    return rc != UM_OK && rc != UM_E_STOPPED && rc != UM_E_IO && rc != UM_E_MEMORY && rc != UM_E_COMM && rc != UM_E_BUG &&
           rc != UM_E_UNSUPPORTED;
}

static bool has_failed(const um_shard_job *j)
{
    pthread_mutex_lock(&j->w->lock);
    bool failed = j->failed != UM_OK;
    pthread_mutex_unlock(&j->w->lock);
    return failed;
}

/* The first error of a shard stays with it, and its other units pass through untouched. What is left to return ends the run. */
static um_status keep_failure(um_shard_job *j, um_status rc)
{
    if (!um_shard_job_is_own(rc))
        return rc;
    pthread_mutex_lock(&j->w->lock);
    if (j->failed == UM_OK) {
        j->failed = rc;
        rc = um_text_add(&j->why, "%s", um_error_text());
    } else {
        rc = UM_OK;
    }
    pthread_mutex_unlock(&j->w->lock);
    return rc;
}

um_status um_shard_job_outcome(const um_shard_job *j)
{
    return j->failed == UM_OK ? UM_OK : um_fail(j->failed, "%s", um_text_get(&j->why));
}

static um_status step(const um_conveyor_turn *t, um_status (*run)(um_shard_job *j, um_unit *u, int worker))
{
    um_unit *u = t->slot;
    return has_failed(u->job) ? UM_OK : keep_failure(u->job, run(u->job, u, t->worker));
}

static um_status read_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    int64_t k = j->next_unit++;
    (void)worker;
    u->first = j->starts[k];
    u->n = j->starts[k + 1] - u->first;
    u->last = j->next_unit == j->n_units;
    pthread_mutex_lock(&j->w->h5);
    rc = um_shard_read(j->clean, u->first, u->n, u->clean, u->masks);
    pthread_mutex_unlock(&j->w->h5);
    return rc;
}

static um_status stage_read(const um_conveyor_turn *t)
{
    um_status rc = UM_OK;
    um_workshop *w = t->job;
    um_unit *u = t->slot;
    um_unit_reset(u, w->perturber);
    UM_TRY(um_stop_check("the same command goes on from here"));
    if (!w->at)
        UM_TRY(w->traffic.next(w->traffic.payload, &w->at));
    *t->no_more = !w->at;
    if (!w->at)
        goto done;
    u->job = w->at;
    UM_TRY(step(t, read_unit));
    u->last = u->last || has_failed(u->job);
    if (u->last)
        w->at = NULL;
done:
    return rc;
}

static um_status prepare_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    um_unit_find_runs(u, j->in, j->fates, PROTECT);
    for (int i = 0; i < u->n_runs; i++) {
        UM_TRY(um_unit_show_run(u, j->in, i));
        UM_TRY(um_perturbation_prepare(&u->runs[i], j->w->perturber, &u->views[i]));
    }
done:
    return rc;
}

static um_status perturb_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    for (int i = 0; i < u->n_runs; i++) {
        UM_TRY(um_stop_check("the same command goes on with this shard"));
        UM_TRY(um_perturbation_run(&u->runs[i], j->w->perturber, &u->views[i], um_unit_change(u, i)));
        um_unit_drop_run(u, i, j->w->perturber);
    }
    u->n_runs = 0;
done:
    return rc;
}

/* Where networks run on a device, three stages take the place of one: while a unit is computed, the next one is on its way there, and the
 * last one on its way back. */
static um_status carry_unit_in(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    for (int i = 0; i < u->n_runs; i++)
        UM_TRY(um_perturbation_in(&u->runs[i], j->w->perturber));
done:
    return rc;
}

static um_status compute_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    for (int i = 0; i < u->n_runs; i++) {
        UM_TRY(um_stop_check("the same command goes on with this shard"));
        UM_TRY(um_perturbation_compute(&u->runs[i], j->w->perturber));
    }
done:
    return rc;
}

static um_status carry_unit_out(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    for (int i = 0; i < u->n_runs; i++) {
        UM_TRY(um_perturbation_out(&u->runs[i], j->w->perturber, &u->views[i], um_unit_change(u, i)));
        um_unit_drop_run(u, i, j->w->perturber);
    }
    u->n_runs = 0;
done:
    return rc;
}

static um_status measure(um_shard_job *j, const um_shard_row *r, const char *id, const void *clean, const void *released, double squares)
{
    um_status rc = UM_OK;
    const um_metric_options *o = um_settings_get(j->w->job->settings, "metrics");
    int64_t every = j->w->o->ssim_every;
    um_ssim_result ssim;
    um_pixels a = {clean, r->h, r->w, r->c, j->in->bits}, b = {released, r->h, r->w, r->c, j->in->bits};
    if (squares > 0) /* the others have no PSNR */
        UM_TRY(um_archive_spread_add(&j->psnr, -10 * log10(squares / (double)um_shard_values(r))));
    if (every == 0 || um_text_hash(id) % (uint64_t)every != 0 || r->h < 11 || r->w < 11)
        goto done;
    UM_TRY(um_metric_ssim(&ssim, &a, &b, NULL, &o->ssim));
    UM_TRY(um_archive_spread_add(&j->ssim, ssim.frame));
done:
    return rc;
}

/* One row of the unit: bytes and masks of the release move to the front, over those of images that are left out. */
typedef struct place {
    int64_t from, to, mask_from, mask_to; /* values and mask pixels within the unit */
} place;

static um_status finish_row(um_shard_job *j, um_unit *u, int64_t row, place *p)
{
    um_status rc = UM_OK;
    const um_shard_row *r = &j->in->rows[row];
    int64_t values = um_shard_values(r), masks = um_shard_mask_pixels(r), wide = j->in->bits / 8;
    if (j->fates[row] != REFUSE) {
        uint8_t *clean = u->clean + p->from * wide, *released = u->released + p->to * wide, *mask = u->masks + p->mask_to;
        const um_rounding rounding = {j->in->bits, j->limit, j->w->perturber->scale};
        const float *change = j->fates[row] == PROTECT ? u->change + u->change_at[row - u->first] : NULL;
        double squares = um_round_image(&rounding, clean, change, values, released,
                                        u->delta + p->to * wide);
        memmove(mask, u->masks + p->mask_from, (size_t)masks);
        um_shard_hash_add(&j->sum_clean, &j->out, j->next_out, clean, mask);
        um_shard_hash_add(&j->sum_released, &j->out, j->next_out, released, mask);
        if (j->fates[row] == PROTECT)
            UM_TRY(measure(j, r, j->in->ids[row], clean, released, squares));
        j->next_out++;
        p->to += values;
        p->mask_to += masks;
    }
    p->from += values;
    p->mask_from += masks;
done:
    return rc;
}

static um_status finish_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    place p = {0};
    for (int64_t i = u->first; i < u->first + u->n; i++)
        UM_TRY(finish_row(j, u, i, &p));
    size_t bytes = (size_t)p.to * (size_t)(j->in->bits / 8);
    UM_TRY(um_unit_cut(u, j->writer.pixels, u->released, bytes));
    UM_TRY(um_unit_cut(u, j->delta.delta, u->delta, bytes));
    UM_TRY(um_unit_cut(u, j->writer.masks, u->masks, (size_t)p.mask_to));
    if (!u->last)
        goto done;
    UM_TRY(um_unit_cut_rest(u, j->writer.pixels));
    UM_TRY(um_unit_cut_rest(u, j->delta.delta));
    UM_TRY(um_unit_cut_rest(u, j->writer.masks));
done:
    return rc;
}

static um_status pack_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    for (int64_t i = 0; i < u->n_chunks; i++)
        UM_TRY(um_h5_chunk_pack(&u->chunks[i], j->w->deflate[worker]));
done:
    return rc;
}

static um_status write_chunks(um_unit *u)
{
    um_status rc = UM_OK;
    for (int64_t i = 0; i < u->n_chunks; i++)
        UM_TRY(um_h5_stream_write(u->chunks[i].stream, &u->chunks[i]));
done:
    return rc;
}

/* The parts are complete: nothing of HDF5 is left to do. */
static um_status close_files(um_shard_job *j)
{
    um_status rc = UM_OK;
    um_sha256_hex(&j->sum_clean, j->sha256_clean);
    um_sha256_hex(&j->sum_released, j->sha256_released);
    UM_TRY(um_delta_writer_end(&j->delta, &j->out, j->limit, j->sha256_clean, j->sha256_released));
    j->parts = true;
    UM_TRY(um_shard_writer_end(&j->writer, &j->out, NULL, NULL));
    um_shard_close(j->clean);
    j->clean = NULL;
done:
    return rc;
}

static um_status write_unit(um_shard_job *j, um_unit *u, int worker)
{
    um_status rc = UM_OK;
    (void)worker;
    pthread_mutex_lock(&j->w->h5);
    rc = write_chunks(u);
    if (rc == UM_OK && u->last)
        rc = close_files(j);
    pthread_mutex_unlock(&j->w->h5);
    if (rc == UM_OK)
        um_workshop_tell(j->w, u->n);
    return rc;
}

static um_status stage_write(const um_conveyor_turn *t)
{
    um_status rc = UM_OK;
    um_workshop *w = t->job;
    um_unit *u = t->slot;
    rc = step(t, write_unit);
    um_unit_reset(u, w->perturber);
    if (rc == UM_OK && u->last)
        rc = w->traffic.done(w->traffic.payload, u->job);
    return rc;
}

static um_status stage_maps(const um_conveyor_turn *t) { return step(t, prepare_unit); }
static um_status stage_perturb(const um_conveyor_turn *t) { return step(t, perturb_unit); }
static um_status stage_finish(const um_conveyor_turn *t) { return step(t, finish_unit); }
static um_status stage_pack(const um_conveyor_turn *t) { return step(t, pack_unit); }

static um_status stage_carry_in(const um_conveyor_turn *t) { return step(t, carry_unit_in); }
static um_status stage_compute(const um_conveyor_turn *t) { return step(t, compute_unit); }
static um_status stage_carry_out(const um_conveyor_turn *t) { return step(t, carry_unit_out); }

/* Threads for the maps: one keeps up with networks on CPUs. */
static int map_workers(const um_archive_options *o, bool carries)
{
    int free_cores = um_threads() / 2;
    return o->map_workers > 0 ? (int)o->map_workers : !carries || free_cores < 1 ? 1 : free_cores > 8 ? 8 : free_cores;
}

int um_shard_job_stages(um_conveyor_stage stages[UM_ARCHIVE_STAGES], const um_archive_options *o, bool carries)
{
    const um_conveyor_stage perturb[] = {{"perturb", 0, stage_perturb}};
    const um_conveyor_stage parts[] = {{"to device", 1, stage_carry_in}, {"perturb", 0, stage_compute}, {"from device", 1, stage_carry_out}};
    const um_conveyor_stage before[] = {{"read", 1, stage_read}, {"maps", map_workers(o, carries), stage_maps}};
    const um_conveyor_stage behind[] = {{"round", 1, stage_finish}, {"pack", (int)o->pack_workers, stage_pack}, {"write", 1, stage_write}};
    int n = 0;
    for (size_t i = 0; i < UM_COUNT(before); i++)
        stages[n++] = before[i];
    for (size_t i = 0; i < (carries ? UM_COUNT(parts) : UM_COUNT(perturb)); i++)
        stages[n++] = carries ? parts[i] : perturb[i];
    for (size_t i = 0; i < UM_COUNT(behind); i++)
        stages[n++] = behind[i];
    return n;
}

/* ---- the shard ---- */

static um_status file_facts(const char *path, int64_t *bytes, char sha256[UM_SHA256_HEX])
{
    struct stat info;
    *bytes = stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
    return um_sha256_of_file(path, sha256);
}

static um_status print_refused(const um_shard_job *j, um_text *line)
{
    um_status rc = UM_OK;
    UM_TRY(um_json_open(line, "refused", '['));
    for (int64_t i = 0; i < j->refused.n; i++)
        UM_TRY(um_archive_refusal_print(line, j->refused.list[i].id, j->refused.list[i].reason));
    UM_TRY(um_json_close(line, ']'));
done:
    return rc;
}

static um_status print_item(um_shard_job *j, const char *settings_sha256, um_text *line)
{
    um_status rc = UM_OK;
    const um_archive_paths *p = j->paths;
    char hash[UM_SHA256_HEX], host[UM_HOST_TEXT];
    int64_t bytes = 0;
    struct stat info;
    um_host_name(host);
    UM_TRY(um_text_add(line, "{"));
    UM_TRY(um_json_text(line, "shard", p->shard_name));
    UM_TRY(um_json_int(line, "images", j->out.n));
    UM_TRY(um_json_int(line, "protected", j->out.n - j->n_copied));
    UM_TRY(um_json_int(line, "copied", j->n_copied));
    UM_TRY(um_json_int(line, "left_out", j->refused.n));
    UM_TRY(file_facts(p->released, &bytes, hash));
    UM_TRY(um_json_int(line, "bytes", bytes));
    UM_TRY(um_json_text(line, "sha256_file", hash));
    UM_TRY(file_facts(p->delta, &bytes, hash));
    UM_TRY(um_json_int(line, "bytes_delta", bytes));
    UM_TRY(um_json_text(line, "sha256_delta", hash));
    UM_TRY(um_json_int(line, "bytes_in", stat(j->clean_path, &info) == 0 ? (int64_t)info.st_size : 0));
    UM_TRY(um_json_text(line, "sha256_clean", j->sha256_clean));
    UM_TRY(um_json_text(line, "sha256_released", j->sha256_released));
    UM_TRY(um_json_text(line, "settings_sha256", settings_sha256));
    UM_TRY(um_json_int(line, "bound_levels", j->limit));
    UM_TRY(um_archive_spread_print(&j->psnr, "psnr", line));
    UM_TRY(um_archive_spread_print(&j->ssim, "ssim", line));
    UM_TRY(um_json_real(line, "seconds", um_now() - j->begun));
    UM_TRY(um_json_text(line, "host", host));
    UM_TRY(print_refused(j, line));
    UM_TRY(um_json_open(line, "ids", '['));
    for (int64_t i = 0; i < j->out.n; i++)
        UM_TRY(um_json_element(line, j->out.ids[i]));
    UM_TRY(um_json_close(line, ']'));
    UM_TRY(um_json_seal(line));
done:
    return rc;
}

static um_status open_clean(um_shard_job *j)
{
    um_status rc = UM_OK;
    UM_TRY(um_shard_open(&j->clean, j->clean_path));
    j->in = um_shard_get_index(j->clean);
    j->out = (um_shard_index){.uniform = j->in->uniform, .bits = j->in->bits};
    j->limit = um_perturber_limit(j->w->perturber, j->in->bits);
    if (!um_shard_is_clean(j->clean))
        UM_TRY(um_fail(UM_E_DATA, "%s: says nothing of where it comes from, as released files do; protecting a release once more would "
                       "leave no way back to the clean images. Import or pack the originals", j->clean_path));
    UM_TRY(um_unit_starts(j->in, um_unit_bytes(j->w->job->backend), &j->starts, &j->n_units));
done:
    return rc;
}

static um_status begin_files(um_shard_job *j)
{
    um_status rc = UM_OK;
    int64_t values, masks;
    um_shard_extent(&j->out, 0, j->out.n, &values, &masks);
    UM_TRY(um_shard_writer_open(&j->writer, j->paths->released, &j->out));
    UM_TRY(um_delta_writer_open(&j->delta, j->paths->delta, j->in->bits, values));
done:
    return rc;
}

/* Calls of HDF5 under its lock. */
static um_status locked(um_shard_job *j, um_status (*run)(um_shard_job *j))
{
    pthread_mutex_lock(&j->w->h5);
    um_status rc = run(j);
    pthread_mutex_unlock(&j->w->h5);
    return rc;
}

um_status um_shard_job_open(um_shard_job **out, um_workshop *w, const char *clean_path, const um_archive_paths *paths, void *owner)
{
    um_status rc = UM_OK;
    um_shard_job *j = NULL;
    UM_TRY(UM_NEW(j));
    *j = (um_shard_job){.w = w, .clean_path = clean_path, .paths = paths, .owner = owner, .begun = um_now()};
    um_sha256_init(&j->sum_clean);
    um_sha256_init(&j->sum_released);
    UM_TRY(locked(j, open_clean));
    UM_TRY(decide_all(j));
    UM_TRY(locked(j, begin_files));
    *out = j;
    j = NULL;
done:
    pthread_mutex_lock(&w->h5);
    um_shard_job_free(j);
    pthread_mutex_unlock(&w->h5);
    return rc;
}

void *um_shard_job_owner(const um_shard_job *j)
{
    return j->owner;
}

um_status um_workshop_run(um_workshop *w, const um_shard_traffic *traffic)
{
    um_status rc = UM_OK;
    w->traffic = *traffic;
    rc = um_conveyor_run(w->stages, w->n_stages, UM_CONVEYOR_OPEN, (void *const *)w->units, w->n_slots, w, &w->times);
    w->at = NULL;
    for (int i = 0; i < w->n_slots; i++)
        um_unit_reset(w->units[i], w->perturber);
    return rc;
}

/* First the way back, then the release; the item says that both stand. */
um_status um_shard_job_commit(um_shard_job *j, bool (*still_ours)(const void *claim), const void *claim, const char *settings_sha256,
                              um_text *item)
{
    um_status rc = UM_OK;
    if (!still_ours(claim))
        return UM_OK;
    UM_TRY(um_file_commit(j->paths->delta));
    UM_TRY(um_file_commit(j->paths->released));
    j->parts = false;
    UM_TRY(print_item(j, settings_sha256, item));
    UM_TRY(um_file_write(j->paths->item, um_text_get(item), item->n));
done:
    return rc;
}

void um_shard_job_free(um_shard_job *j)
{
    if (!j)
        return;
    um_shard_writer_abandon(&j->writer);
    um_delta_writer_abandon(&j->delta);
    if (j->parts) {
        um_file_discard(j->paths->delta);
        um_file_discard(j->paths->released);
    }
    um_shard_close(j->clean);
    um_shard_index_clear(&j->out);
    um_archive_refusals_clear(&j->refused);
    um_free(j->fates);
    um_free(j->starts);
    um_free(j->psnr.values);
    um_free(j->ssim.values);
    um_text_free(&j->why);
    um_free(j);
}
