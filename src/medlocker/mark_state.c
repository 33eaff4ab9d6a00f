#include "medlocker/mark_state.h"

#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/h5.h"
#include "train/checkpoint.h"

#define STATE_FORMAT "umed-marks"
#define STATE_VERSION "1.0"

/* Everything that a mark depends on. */
static um_status fingerprint(const um_mark_job *job, char out[UM_SHA256_HEX])
{
    um_status rc = UM_OK;
    um_text text = {0};
    char hex[UM_SHA256_HEX];
    um_dataset_sha256(job->data, hex);
    UM_TRY(um_text_add(&text, "data %s rows", hex));
    for (int64_t i = 0; i < job->rows->n; i++)
        UM_TRY(um_text_add(&text, " %lld", (long long)job->rows->index[i]));
    for (int i = 0; i < job->targets->n; i++) {
        UM_TRY(um_params_sha256(job->targets->net[i]->params, hex));
        UM_TRY(um_text_add(&text, "\ntarget %s", hex));
    }
    if (job->cam) {
        UM_TRY(um_params_sha256(job->cam->params, hex));
        UM_TRY(um_text_add(&text, "\ncam %s", hex));
    }
    if (job->lesions) {
        UM_TRY(um_params_sha256(job->lesions->params, hex));
        UM_TRY(um_text_add(&text, "lesions %s\n", hex));
    }
    um_logo_sha256(job->logo, hex);
    UM_TRY(um_text_add(&text, "\nlogo %s seed %llu\n", hex, (unsigned long long)job->seed));
    UM_TRY(um_settings_changes(job->settings, "medlocker conv", &text));
    um_sha256_of(um_text_get(&text), text.n, out);
done:
    um_text_free(&text);
    return rc;
}

void um_mark_pack(double row[UM_MARK_COLUMNS], const um_mark *m)
{
    const double v[UM_MARK_COLUMNS] = {
        m->theta.alpha, (double)m->theta.y, (double)m->theta.x,  m->ratio,        m->state, m->source,
        m->before,      m->after,           (double)m->forwards, m->lesion_change};
    for (int k = 0; k < UM_MARK_COLUMNS; k++)
        row[k] = v[k];
}

um_mark um_mark_unpack(const double v[UM_MARK_COLUMNS])
{
    return (um_mark){.theta = {(int)v[0], (int64_t)v[1], (int64_t)v[2]},
                     .ratio = v[3],
                     .state = (int)v[4],
                     .source = (int)v[5],
                     .before = v[6],
                     .after = v[7],
                     .forwards = (int64_t)v[8],
                     .lesion_change = v[9]};
}

um_status um_mark_state_save(um_mark_state *s, int64_t done)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    double *rows = NULL;
    s->saved_at = um_now();
    if (!s->job->checkpoint || !um_comm_leads(s->job->comm))
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(rows, (done + 1) * UM_MARK_COLUMNS));
    for (int64_t i = 0; i < done; i++)
        um_mark_pack(rows + i * UM_MARK_COLUMNS, &s->marks[i]);
    UM_TRY(um_h5_create(&f, s->job->checkpoint, STATE_FORMAT, STATE_VERSION));
    UM_TRY(um_h5_set_text(f, "/", "fingerprint", s->fingerprint));
    UM_TRY(um_h5_set_int(f, "/", "done", done));
    UM_TRY(um_h5_write_array(
        f,
        &(um_h5_array){
            .name = "/marks",
            .type = UM_H5_F64,
            .ndim = 2,
            .shape = {done + 1, UM_MARK_COLUMNS},
            .axes = "image,column",
            .unit = "",
            .description =
                "alpha, y, x, ratio, state, source, margin before and after, forward passes, change inside lesions; a last row of zeros"},
        rows));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    um_free(rows);
    return rc;
}

/* *done stays 0 when the file is of another run. */
static um_status load(um_mark_state *s, int64_t *done)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_text print = {0};
    double *rows = NULL;
    int64_t n = 0;
    if (!s->job->checkpoint || !um_file_exists(s->job->checkpoint))
        return UM_OK;
    UM_TRY(um_h5_open(&f, s->job->checkpoint, STATE_FORMAT, STATE_VERSION));
    UM_TRY(um_h5_get_text(f, "/", "fingerprint", &print));
    UM_TRY(um_h5_get_int(f, "/", "done", &n));
    if (strcmp(um_text_get(&print), s->fingerprint) != 0) {
        um_log(UM_LOG_WARN, "%s is of another run; marking starts anew", s->job->checkpoint);
        goto done;
    }
    if (n < 0 || n > s->job->rows->n)
        UM_TRY(um_fail(UM_E_DATA, "%s: %lld of %lld images done", s->job->checkpoint, (long long)n, (long long)s->job->rows->n));
    UM_TRY(um_h5_read_array(f, "/marks", UM_H5_F64, 2, (int64_t[]){n + 1, UM_MARK_COLUMNS}, (void **)&rows, NULL));
    for (int64_t i = 0; i < n; i++)
        s->marks[i] = um_mark_unpack(rows + i * UM_MARK_COLUMNS);
    *done = n;
    um_log(UM_LOG_INFO, "%s: goes on after %lld images", s->job->label, (long long)n);
done:
    um_free(rows);
    um_text_free(&print);
    um_h5_free(f);
    return rc;
}

um_status um_mark_state_open(um_mark_state *s, const um_mark_job *job, um_mark *marks, int64_t *done)
{
    um_status rc = UM_OK;
    const um_run_options *run = um_settings_get(job->settings, "run");
    *s = (um_mark_state){.job = job, .marks = marks, .every_s = run->checkpoint_s, .saved_at = um_now()};
    *done = 0;
    UM_TRY(fingerprint(job, s->fingerprint));
    if (um_comm_leads(job->comm))
        rc = load(s, done);
    UM_TRY(um_comm_agree(job->comm, rc));
    UM_TRY(um_comm_bcast(job->comm, done, sizeof *done, "state of a marking"));
    if (*done > 0)
        UM_TRY(um_comm_bcast(job->comm, marks, (size_t)*done * sizeof *marks, "state of a marking"));
done:
    return rc;
}

um_status um_mark_state_pause(um_mark_state *s, int64_t done)
{
    um_status rc = um_ranks_stop_check(s->job->comm, "between images; the same command goes on");
    if (rc == UM_E_STOPPED || um_now() - s->saved_at > s->every_s) {
        um_status saved = um_mark_state_save(s, done);
        return saved != UM_OK ? saved : rc;
    }
    return rc;
}

void um_mark_state_close(um_mark_state *s)
{
    *s = (um_mark_state){0};
}
