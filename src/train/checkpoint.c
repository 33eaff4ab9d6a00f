#include "train/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/signal.h"
#include "io/checkpoint.h"
#include "train/net_tensors.h"

/* Counters of a training: epoch, step, four sums as bits, then Adam steps and BatchNorm batches of each network. */
enum { N_COUNTERS = 6 + 2 * 4 };

static um_status gather(um_net_tensors *t, const um_training_state *s, bool filled)
{
    um_status rc = UM_OK;
    for (int i = 0; i < s->n_nets; i++)
        UM_TRY(um_net_tensors_add(t, s->net[i], s->net_name[i], UM_NET_TENSORS_STATE, filled));
done:
    return rc;
}

static void counters_out(const um_training_state *s, int64_t c[N_COUNTERS])
{
    memset(c, 0, N_COUNTERS * sizeof *c);
    c[0] = s->progress.epoch;
    c[1] = s->progress.step;
    memcpy(&c[2], s->progress.sums, sizeof s->progress.sums);
    for (int i = 0; i < s->n_nets; i++) {
        c[6 + 2 * i] = s->net[i]->adam_step;
        c[7 + 2 * i] = s->net[i]->bn_batches;
    }
}

static void counters_in(um_training_state *s, const int64_t c[N_COUNTERS])
{
    s->progress.epoch = c[0];
    s->progress.step = c[1];
    memcpy(s->progress.sums, &c[2], sizeof s->progress.sums);
    for (int i = 0; i < s->n_nets; i++) {
        s->net[i]->adam_step = c[6 + 2 * i];
        s->net[i]->bn_batches = c[7 + 2 * i];
    }
}

/* All curves as one array [points][2] and a text "name:points,name:points". */
static um_status flatten_curves(const um_curves *c, double **out, int64_t *n, um_text *names)
{
    um_status rc = UM_OK;
    *n = 0;
    for (int i = 0; i < c->n; i++)
        *n += c->list[i].n;
    UM_TRY(UM_NEW_ARRAY(*out, *n * 2 + 2));
    int64_t at = 0;
    for (int i = 0; i < c->n; i++) {
        UM_TRY(um_text_add(names, "%s%s:%d", i ? "," : "", c->list[i].name, c->list[i].n));
        for (int k = 0; k < c->list[i].n; k++, at++) {
            (*out)[2 * at] = c->list[i].x[k];
            (*out)[2 * at + 1] = c->list[i].y[k];
        }
    }
done:
    return rc;
}

static um_status unflatten_curves(um_curves *c, char *names, const double *data, int64_t n, const char *path)
{
    um_status rc = UM_OK;
    int64_t at = 0;
    char *rest = NULL;
    um_curves_free(c);
    for (char *item = strtok_r(names, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(item, ':');
        int64_t points = 0;
        if (!colon || !um_text_parse_int(colon + 1, &points) || points < 0 || at + points > n)
            return um_fail(UM_E_DATA, "%s: the list of curves \"%s\" does not fit its data", path, item);
        *colon = 0;
        for (int64_t k = 0; k < points; k++, at++)
            UM_TRY(um_curves_add(c, item, data[2 * at], data[2 * at + 1]));
    }
done:
    return rc;
}

static um_h5_type type_of(const um_training_array *a)
{
    return a->dtype == UM_F64 ? UM_H5_F64 : UM_H5_F32;
}

enum { N_FIXED = 3, N_HISTORY = N_FIXED + 4 }; /* counters, seconds, curves, and the arrays */

um_status um_training_save(const um_training_state *s, const char *path)
{
    um_status rc = UM_OK;
    um_net_tensors t = {0};
    um_text names = {0};
    double *points = NULL, seconds = s->seconds;
    int64_t counters[N_COUNTERS], n_points = 0;
    counters_out(s, counters);
    UM_TRY(gather(&t, s, true));
    UM_TRY(flatten_curves(s->curves, &points, &n_points, &names));
    um_named_tensor history[N_HISTORY] = {
        {.name = "counters", .dtype = UM_H5_I64, .ndim = 1, .shape = {N_COUNTERS}, .data = counters},
        {.name = "seconds", .dtype = UM_H5_F64, .ndim = 1, .shape = {1}, .data = &seconds},
        {.name = "curves", .dtype = UM_H5_F64, .ndim = 2, .shape = {n_points + 1, 2}, .data = points},
    };
    for (int i = 0; i < s->n_arrays; i++)
        history[N_FIXED + i] = (um_named_tensor){.name = s->array[i].name, .dtype = type_of(&s->array[i]), .ndim = 1,
                                                 .shape = {s->array[i].n}, .data = s->array[i].data};
    um_checkpoint_attr attrs[] = {{"arch", "training", 0}, {"fingerprint", s->fingerprint, 0}, {"curves", um_text_get(&names), 0},
                                  {"fit_h", NULL, s->h}, {"fit_w", NULL, s->w}};
    um_checkpoint c = {.state = t.list, .n_state = t.n, .adam_m = t.m, .adam_v = t.v, .n_adam = t.n_adam, .history = history,
                       .n_history = (size_t)(N_FIXED + s->n_arrays), .keep = s->keep, .attrs = attrs, .n_attrs = UM_COUNT(attrs) - (s->h > 0 ? 0 : 2)};
    UM_TRY(um_checkpoint_save(path, &c));
done:
    um_free(points);
    um_text_free(&names);
    um_net_tensors_free(&t);
    return rc;
}

um_status um_training_extent(const char *path, int64_t *h, int64_t *w)
{
    um_status rc = UM_OK;
    bool said = false;
    *h = *w = 0;
    UM_TRY(um_checkpoint_has_attr(path, "fit_h", &said));
    if (!said)
        return UM_OK;
    UM_TRY(um_checkpoint_int(path, "fit_h", h));
    UM_TRY(um_checkpoint_int(path, "fit_w", w));
done:
    return rc;
}

static um_status same_run(const um_training_state *s, const char *path, bool *same)
{
    um_status rc = UM_OK;
    um_text fingerprint = {0};
    *same = false;
    if (um_file_exists(path)) {
        UM_TRY(um_checkpoint_text(path, "fingerprint", &fingerprint));
        *same = !strcmp(um_text_get(&fingerprint), s->fingerprint);
    }
done:
    um_text_free(&fingerprint);
    return rc;
}

/* All or nothing: read first, copied when all of them fit. */
static um_status read_arrays(const um_training_state *s, const char *path, void *read[])
{
    um_status rc = UM_OK;
    for (int i = 0; i < s->n_arrays; i++) {
        int64_t n = 0;
        UM_TRY(um_checkpoint_history(path, s->array[i].name, type_of(&s->array[i]), 1, &read[i], &n));
        if (n != s->array[i].n) {
            rc = um_fail(UM_E_DATA, "%s: /history/%s has %ld entries instead of %ld", path, s->array[i].name, (long)n,
                         (long)s->array[i].n);
            goto done;
        }
    }
done:
    return rc;
}

um_status um_training_load(um_training_state *s, const char *path, bool *found)
{
    um_status rc = UM_OK;
    um_net_tensors t = {0};
    um_text names = {0};
    char *list = NULL;
    int64_t *counters = NULL, n_counters = 0, shape[UM_H5_DIMS] = {0}, adam_step; /* the nets' own steps are counters */
    double *points = NULL, *seconds = NULL;
    void *arrays[UM_COUNT(s->array)] = {NULL};
    UM_TRY(same_run(s, path, found));
    if (!*found)
        return UM_OK;
    UM_TRY(gather(&t, s, false));
    um_checkpoint c = {.state = t.list, .n_state = t.n, .adam_m = t.m, .adam_v = t.v, .n_adam = t.n_adam};
    UM_TRY(um_checkpoint_load(path, &c, &adam_step));
    UM_TRY(um_checkpoint_history(path, "counters", UM_H5_I64, 1, (void **)&counters, &n_counters));
    if (n_counters != N_COUNTERS) {
        rc = um_fail(UM_E_DATA, "%s: /history/counters has %ld entries instead of %d", path, (long)n_counters, N_COUNTERS);
        goto done;
    }
    UM_TRY(um_checkpoint_history(path, "seconds", UM_H5_F64, 1, (void **)&seconds, shape));
    if (shape[0] != 1) {
        rc = um_fail(UM_E_DATA, "%s: /history/seconds has %ld entries instead of 1", path, (long)shape[0]);
        goto done;
    }
    UM_TRY(um_checkpoint_history(path, "curves", UM_H5_F64, 2, (void **)&points, shape));
    UM_TRY(um_checkpoint_text(path, "curves", &names));
    UM_TRY(read_arrays(s, path, arrays));
    UM_TRY(um_strdup(&list, um_text_get(&names)));
    UM_TRY(unflatten_curves(s->curves, list, points, shape[0], path));
    size_t at = 0, at_adam = 0;
    for (int i = 0; i < s->n_nets; i++)
        UM_TRY(um_net_tensors_store(&t, &at, &at_adam, s->net[i]));
    for (int i = 0; i < s->n_arrays; i++)
        memcpy(s->array[i].data, arrays[i], (size_t)s->array[i].n * um_dtype_bytes(s->array[i].dtype));
    counters_in(s, counters);
    s->seconds = seconds[0];
done:
    for (int i = 0; i < s->n_arrays; i++)
        um_free(arrays[i]);
    um_free(list);
    um_free(seconds);
    um_free(points);
    um_free(counters);
    um_text_free(&names);
    um_net_tensors_free(&t);
    return rc;
}

/* ---- when to save ---- */

static const double LARGEST_SHARE = 0.02; /* of the time that goes into checkpoints */

void um_saver_set(um_saver *s, um_training_state *state, um_comm *comm, const char *path, double every_s, const char *label)
{
    *s = (um_saver){.state = state, .comm = comm, .path = path, .label = label, .every_s = every_s, .saved_at = um_now(),
                      .begun_at = um_now()};
}

static um_status older(char **out, const char *path)
{
    um_status rc = UM_OK;
    um_text t = {0};
    UM_TRY(um_text_add(&t, "%s.old", path));
    UM_TRY(um_strdup(out, um_text_get(&t)));
done:
    um_text_free(&t);
    return rc;
}

/* The newest checkpoint that can be read, by rank 0: 0 none, 1 PATH, 2 PATH.old. */
static um_status choose(um_saver *s, const char *old, unsigned *which)
{
    um_status rc = UM_OK;
    bool found = false;
    *which = 0;
    rc = um_training_load(s->state, s->path, &found);
    if (rc == UM_OK && found)
        *which = 1;
    if (*which || !um_file_exists(old))
        return rc;
    if (rc == UM_E_DATA)
        um_log(UM_LOG_WARN, "%s: %s; going on from the checkpoint before it", s->label, um_error_text());
    else if (rc != UM_OK)
        return rc;
    UM_TRY(um_training_load(s->state, old, &found));
    *which = found ? 2 : 0;
done:
    return rc;
}

/* The same state on every rank. */
static um_status load_together(um_saver *s, bool *found)
{
    um_status rc = UM_OK;
    char *old = NULL;
    unsigned which = 0;
    *found = false;
    if (!s->path)
        return UM_OK;
    UM_TRY(older(&old, s->path));
    if (um_comm_leads(s->comm))
        rc = choose(s, old, &which);
    UM_TRY(um_comm_agree(s->comm, rc));
    UM_TRY(um_comm_bcast(s->comm, &which, sizeof which, "choice of a checkpoint"));
    if (which && !um_comm_leads(s->comm)) {
        rc = um_training_load(s->state, which == 1 ? s->path : old, found);
        if (rc == UM_OK && !*found)
            rc = um_fail(UM_E_IO, "%s: not seen by %s; is the folder shared by all nodes?", s->path,
                         um_comm_peer(s->comm, um_comm_rank(s->comm)));
    }
    UM_TRY(um_comm_agree(s->comm, rc));
    *found = which != 0;
done:
    um_free(old);
    return rc;
}

/* Ranks that begin with anything else than each other would train different networks without a word. */
static um_status check_start(const um_saver *s)
{
    um_status rc = UM_OK;
    um_text start = {0};
    char sha256[65];
    if (um_comm_size(s->comm) == 1)
        return UM_OK;
    for (int i = 0; i < s->state->n_nets; i++) {
        UM_TRY(um_params_sha256(s->state->net[i], sha256));
        UM_TRY(um_text_add(&start, "%s", sha256));
    }
    um_sha256_of(s->state->fingerprint, strlen(s->state->fingerprint), sha256);
    UM_TRY(um_text_add(&start, "%s %lld %lld", sha256, (long long)s->state->progress.epoch, (long long)s->state->progress.step));
    um_sha256_of(um_text_get(&start), start.n, sha256);
    UM_TRY(um_comm_same(s->comm, sha256, sizeof sha256, "weights, settings and data at the start"));
done:
    um_text_free(&start);
    return rc;
}

um_status um_saver_resume(um_saver *s, double *earlier_s, bool *found)
{
    um_status rc = UM_OK;
    UM_TRY(load_together(s, found));
    UM_TRY(check_start(s));
    if (*found)
        um_log(UM_LOG_INFO, "%s: resumed after %ld epochs and %ld steps", s->label, (long)s->state->progress.epoch,
               (long)s->state->progress.step);
    s->begun_at = um_now() - s->state->seconds;
    if (earlier_s)
        *earlier_s = s->state->seconds;
done:
    return rc;
}

/* The present checkpoint becomes the older one when the new one stands beside it. */
static um_status write_generation(const um_saver *s)
{
    um_status rc = UM_OK;
    char *old = NULL;
    if (um_file_exists(s->path)) {
        UM_TRY(older(&old, s->path));
        if (rename(s->path, old) != 0)
            UM_TRY(um_fail(UM_E_IO, "%s: cannot be renamed to %s: %s", s->path, old, strerror(errno)));
    }
    UM_TRY(um_training_save(s->state, s->path));
done:
    um_free(old);
    return rc;
}

um_status um_saver_save(um_saver *s)
{
    um_status rc = UM_OK;
    double start = um_now();
    s->state->seconds = start - s->begun_at;
    if (s->path && um_comm_leads(s->comm))
        rc = write_generation(s);
    if (s->path)
        UM_TRY(um_comm_agree(s->comm, rc));
    s->saved_at = um_now();
    s->cost_s = s->saved_at - start;
done:
    return rc;
}

static const char *stop_cause(void)
{
    return um_stop_requested() ? um_stop_reason() : "another rank";
}

enum { STOP = 1, SAVE = 2 }; /* what is wanted of a saver */

um_status um_saver_pause_after(um_saver *s, um_status (*settle)(void *payload), void *payload)
{
    um_status rc = UM_OK;
    double wait = fmax(s->every_s, s->cost_s / LARGEST_SHARE);
    bool due = s->path && um_comm_leads(s->comm) && um_now() - s->saved_at >= wait;
    unsigned wanted = (um_stop_requested() || um_comm_run_ends(s->comm) ? STOP : 0) | (due ? SAVE : 0);
    UM_TRY(um_comm_any(s->comm, &wanted));
    if (wanted && settle)
        UM_TRY(settle(payload));
    if (wanted)
        UM_TRY(um_saver_save(s));
    if (wanted & STOP)
        rc = um_fail(UM_E_STOPPED, "stopped by %s in epoch %ld of %s; the same command goes on from here", stop_cause(),
                     (long)s->state->progress.epoch + 1, s->label);
done:
    return rc;
}

um_status um_saver_pause(um_saver *s)
{
    return um_saver_pause_after(s, NULL, NULL);
}

um_status um_ranks_stop_check(um_comm *comm, const char *where)
{
    um_status rc = UM_OK;
    unsigned stop = um_stop_requested();
    UM_TRY(um_comm_any(comm, &stop));
    if (stop)
        rc = um_fail(UM_E_STOPPED, "stopped by %s %s; the same command goes on", stop_cause(), where);
done:
    return rc;
}

void um_saver_remove(const char *path)
{
    char *old = NULL;
    unlink(path);
    if (older(&old, path) == UM_OK)
        unlink(old);
    um_free(old);
}
