/* What bounds a machine, each alone: the protector, and compressing and writing. */
#include <stdio.h>

#include "archive/plan.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/signal.h"

/* The first unit of the archive's first shard, and its perturbation. */
typedef struct sample {
    um_shard *shard;
    um_perturber perturber;
    um_dataset view;
    float *change;
    uint8_t *pixels, *masks;
    int64_t bytes, n_masks;
} sample;

static um_status sample_open(sample *s, const um_archive_job *job, const um_archive_plan *plan)
{
    um_status rc = UM_OK;
    int64_t *starts = NULL, n = 0, values = 0;
    UM_TRY(um_shard_open(&s->shard, plan->files[0]));
    const um_shard_index *x = um_shard_get_index(s->shard);
    const um_shard_row *r = &x->rows[0];
    UM_TRY(um_unit_starts(x, um_unit_bytes(job->backend), &starts, &n));
    n = 1;
    while (n < starts[1] && x->rows[n].h == r->h && x->rows[n].w == r->w && x->rows[n].c == r->c && x->rows[n].mask_at >= 0)
        n++;
    if (r->mask_at < 0)
        UM_TRY(um_fail(UM_E_DATA, "%s: its first image has no mask", plan->files[0]));
    um_shard_extent(x, 0, n, &values, &s->n_masks);
    s->bytes = values * (x->bits / 8);
    UM_TRY(UM_NEW_ARRAY(s->pixels, s->bytes));
    UM_TRY(UM_NEW_ARRAY(s->masks, s->n_masks));
    UM_TRY(UM_NEW_ARRAY(s->change, values));
    UM_TRY(um_shard_read(s->shard, 0, n, s->pixels, s->masks));
    s->view = (um_dataset){.n = n, .h = r->h, .w = r->w, .c = r->c, .bits = x->bits, .images = s->pixels, .masks = s->masks,
                           .ids = x->ids, .split = x->split};
    UM_TRY(um_perturber_open(&s->perturber, job, r->c));
done:
    um_free(starts);
    return rc;
}

static void sample_close(sample *s)
{
    um_perturber_close(&s->perturber);
    um_shard_close(s->shard);
    um_free(s->pixels);
    um_free(s->masks);
    um_free(s->change);
}

/* On a device: the images are there, and what counts is the networks. */
static um_status compute_once(sample *s, um_perturbation *x)
{
    um_status rc = UM_OK;
    if (!x->carried) {
        UM_TRY(um_perturbation_prepare(x, &s->perturber, &s->view));
        UM_TRY(um_perturbation_in(x, &s->perturber));
    }
    UM_TRY(um_perturbation_compute(x, &s->perturber));
done:
    return rc;
}

static um_status perturb_once(sample *s)
{
    um_status rc = UM_OK;
    um_perturbation x = {0};
    UM_TRY(um_perturbation_prepare(&x, &s->perturber, &s->view));
    UM_TRY(um_perturbation_run(&x, &s->perturber, &s->view, s->change));
done:
    um_perturbation_clear(&x, &s->perturber);
    return rc;
}

/* Images per second of the protector; the first time, which plans and allocates, does not count. */
static um_status measure_perturb(sample *s, double seconds, double *rate)
{
    um_status rc = UM_OK;
    int64_t n = 0;
    um_perturbation x = {0};
    bool carries = s->perturber.carries;
    UM_TRY(perturb_once(s)); /* and leaves what the writer needs */
    for (int i = 0; carries && i < 2; i++)
        UM_TRY(compute_once(s, &x));
    double begun = um_now();
    while (n == 0 || um_now() - begun < seconds) {
        UM_TRY(um_stop_check("nothing was measured"));
        UM_TRY(carries ? compute_once(s, &x) : perturb_once(s));
        n += s->view.n;
    }
    *rate = (double)n / (um_now() - begun);
done:
    um_perturbation_clear(&x, &s->perturber);
    return rc;
}

/* The same bytes that a job writes per image: pixels, mask, the way back (here: what the perturbation rounds to). */
static um_status measure_write(sample *s, const char *scratch, int rank, double seconds, double *rate)
{
    um_status rc = UM_OK;
    const um_shard_index *x = um_shard_get_index(s->shard);
    um_shard_index mixed = {.bits = x->bits};
    um_shard_writer w = {0};
    um_delta_writer d = {0};
    um_deflate *deflate = NULL;
    int8_t *way_back = NULL;
    char *pixels = NULL, *delta = NULL, name[48];
    int64_t n = 0, values = s->bytes / (x->bits / 8);
    snprintf(name, sizeof name, "rates-pixels-%d.h5", rank);
    UM_TRY(um_path_join(&pixels, scratch, name));
    snprintf(name, sizeof name, "rates-delta-%d.h5", rank);
    UM_TRY(um_path_join(&delta, scratch, name));
    UM_TRY(UM_NEW_ARRAY(way_back, s->bytes));
    for (int64_t i = 0; i < values; i++)
        way_back[i] = (int8_t)(255 * s->change[i]);
    UM_TRY(um_deflate_create(&deflate, 1));
    UM_TRY(um_shard_writer_open(&w, pixels, &mixed));
    UM_TRY(um_delta_writer_open(&d, delta, x->bits, -1));
    double begun = um_now();
    while (n == 0 || um_now() - begun < seconds) {
        UM_TRY(um_stop_check("nothing was measured"));
        UM_TRY(um_h5_stream_put(w.pixels, s->pixels, (size_t)s->bytes, deflate));
        UM_TRY(um_h5_stream_put(w.masks, s->masks, (size_t)s->n_masks, deflate));
        UM_TRY(um_h5_stream_put(d.delta, way_back, (size_t)s->bytes, deflate));
        n += s->view.n;
    }
    *rate = (double)n / (um_now() - begun);
done:
    um_shard_writer_abandon(&w);
    um_delta_writer_abandon(&d);
    um_deflate_free(deflate);
    um_free(way_back);
    um_free(pixels);
    um_free(delta);
    return rc;
}

um_status um_archive_measure(const um_archive_job *job, const char *scratch, double seconds, um_archive_rates *out)
{
    um_status rc = UM_OK;
    um_archive_plan plan = {0};
    sample s = {0};
    um_archive_rates r = {0};
    UM_TRY(um_shard_files(job->source, &plan.files, &plan.n_files));
    UM_TRY(sample_open(&s, job, &plan));
    r.images = s.view.n;
    UM_TRY(measure_perturb(&s, seconds, &r.perturb));
    UM_TRY(measure_write(&s, scratch, um_comm_rank(job->comm), seconds, &r.write));
    *out = r;
done:
    sample_close(&s);
    um_archive_plan_clear(&plan);
    return rc;
}
