/* The alternating optimisation of UMed (algorithm 1 of the paper; protectors.md 1.2), resumable at every step. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "protect/umed.h"
#include "train/options.h"
#include "train/steps.h"

enum { LOSS_BYTES = 3 * sizeof(double) };

/* How far the starts have come: how many are done; of the best one the surrogate's loss on protected and on clean images. */
enum { STARTS_DONE, STARTS_PROTECTED, STARTS_CLEAN, N_STARTS };

typedef struct fit {
    um_umed *u;
    const um_protect_job *job;
    um_umed_graph surrogate, generators[2]; /* joint: generators[0] only */
    int n_generators;
    um_outlet losses[3]; /* of these graphs */
    um_umed_feed *feed;
    int64_t *order;
    int64_t n_epochs;   /* of one start; progress.epoch counts those of all starts */
    uint64_t seed;      /* of this start */
    double starts[N_STARTS];
    char *best;         /* snapshots of the three networks after the best start; NULL when there is one start only */
    um_training_state state; /* progress.sums: surrogate loss and images, generator loss and images */
    char fingerprint[UM_SHA256_HEX];
    um_saver saver;
} fit;

/* Whether the best surrogate fails without the perturbation: a Dice term near 1 is what failing looks like. */
static bool relies(const fit *f)
{
    return f->starts[STARTS_CLEAN] >= 1 && f->starts[STARTS_PROTECTED] <= f->starts[STARTS_CLEAN] / 2;
}

static bool is_over(const fit *f)
{
    double done = f->starts[STARTS_DONE];
    return done > 0 && (relies(f) || done >= (double)f->u->o.starts);
}

/* Who learns in turn t (an epoch or a batch, from 0). */
static bool surrogates_turn(const um_umed_options *o, int64_t t)
{
    int64_t period = o->g_per_s + 1;
    return o->order == 0 ? t % period == 0 : (t + 1) % period == 0;
}

/* A graph that learns and whom it teaches, b may be NULL; its losses on their way back. */
typedef struct lesson {
    const um_umed_graph *g;
    um_params *a, *b;
    um_outlet *losses;
} lesson;

static um_status begin_lesson(fit *f, const lesson *l, const int64_t *pick, int64_t n)
{
    um_status rc = UM_OK;
    um_params *const nets[] = {l->a, l->b};
    um_reducer *r = um_comm_reducer(f->u->spread.comm, f->u->backend);
    um_share share;
    if (r && !f->feed->resident) /* an upload of a batch may wait for the steps under way */
        UM_TRY(um_reducer_settle(r));
    for (int k = 0; k < 2; k++)
        if (nets[k])
            UM_TRY(um_params_next(nets[k], f->u->o.adam.lr));
    um_share_set(&share, &f->u->spread, n);
    UM_TRY(um_umed_feed_upload(f->feed, f->u, l->g, pick + share.first, share.n));
    UM_TRY(um_share_begin(l->g->exec, l->g->graph, &share, f->u->spread.comm));
    UM_TRY(um_outlet_send(l->losses, l->g->exec, l->g->loss, 1));
done:
    return rc;
}

/* loss: total over the batch. */
static um_status end_lesson(fit *f, const lesson *l, double *loss)
{
    um_status rc = UM_OK;
    um_params *const nets[] = {l->a, l->b};
    const void *all = NULL;
    UM_TRY(um_outlet_take(l->losses, um_comm_reducer(f->u->spread.comm, f->u->backend), &all));
    *loss = *(const double *)all;
    if (!isfinite(*loss))
        UM_TRY(um_fail(UM_E_NUMERIC, "UMed's loss is not a number in epoch %ld; lower umed.adam.lr",
                       (long)f->state.progress.epoch + 1));
    for (int k = 0; k < 2; k++)
        if (nets[k])
            nets[k]->bn_batches++;
done:
    return rc;
}

/* What a step is made of: up to two lessons, one after the other. */
static int lessons_of(fit *f, bool surrogate, lesson out[2])
{
    um_umed *u = f->u;
    um_params *contour = u->o.parts == UM_UMED_TEXTURE ? NULL : u->contour;
    um_params *texture = u->o.parts == UM_UMED_CONTOUR ? NULL : u->texture;
    if (surrogate)
        out[0] = (lesson){&f->surrogate, u->surrogate, NULL, &f->losses[0]};
    else if (f->n_generators == 1)
        out[0] = (lesson){&f->generators[0], contour, texture, &f->losses[1]};
    else
        for (int k = 0; k < 2; k++)
            out[k] = (lesson){&f->generators[k], k ? texture : contour, NULL, &f->losses[1 + k]};
    return surrogate ? 1 : f->n_generators;
}

static int64_t steps_of_epoch(const fit *f)
{
    return (f->job->rows->n + f->u->o.batch - 1) / f->u->o.batch;
}

/* Whether the surrogate learns in this step of the present epoch. */
static bool surrogate_learns(const fit *f, int64_t step)
{
    int64_t epoch = f->state.progress.epoch % f->n_epochs;
    return surrogates_turn(&f->u->o, f->u->o.unit == 1 ? epoch * steps_of_epoch(f) + step : epoch);
}

static int64_t batch_size(const fit *f, int64_t step)
{
    return um_rows_in_batch(f->job->rows, step * f->u->o.batch, f->u->o.batch);
}

static um_status begin_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    fit *f = payload;
    lesson l[2];
    int n = lessons_of(f, surrogate_learns(f, step), l);
    for (int k = 0; k < n; k++)
        UM_TRY(begin_lesson(f, &l[k], f->order + step * f->u->o.batch, batch_size(f, step)));
done:
    return rc;
}

static um_status end_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    fit *f = payload;
    um_progress_state *p = &f->state.progress;
    bool surrogate = surrogate_learns(f, step);
    lesson l[2];
    double loss = 0;
    int n = lessons_of(f, surrogate, l);
    for (int k = 0; k < n; k++)
        UM_TRY(end_lesson(f, &l[k], &loss));
    if (!surrogate && f->u->o.surrogate_bn_in_g == 2)
        f->u->surrogate->bn_batches++;
    p->sums[surrogate ? 0 : 2] += loss * (double)batch_size(f, step);
    p->sums[surrogate ? 1 : 3] += (double)batch_size(f, step);
    p->step++;
done:
    return rc;
}

static um_status close_epoch(fit *f)
{
    um_status rc = UM_OK;
    um_progress_state *p = &f->state.progress;
    static const char *const names[] = {"surrogate_loss", "generator_loss"};
    char note[96];
    double loss = 0;
    for (int k = 0; k < 2; k++) {
        if (p->sums[2 * k + 1] <= 0)
            continue;
        loss = p->sums[2 * k] / p->sums[2 * k + 1];
        UM_TRY(um_curves_add(f->state.curves, names[k], (double)p->epoch + 1, loss));
        snprintf(note, sizeof note, "%s %.4f", names[k], loss);
    }
    *p = (um_progress_state){.epoch = p->epoch + 1};
    um_progress(f->job->label, (long)((p->epoch - 1) % f->n_epochs + 1), (long)f->n_epochs, note);
done:
    return rc;
}

static um_status run_epoch(fit *f)
{
    um_status rc = UM_OK;
    const um_umed_options *o = &f->u->o;
    um_progress_state *p = &f->state.progress;
    int64_t epoch = p->epoch % f->n_epochs;
    um_rng_purpose order = surrogates_turn(o, epoch) && o->unit != 1 ? UM_RNG_SURROGATE_ORDER : UM_RNG_GENERATOR_ORDER;
    um_steps steps = {.saver = &f->saver, .backend = f->u->backend, .first = p->step, .n = steps_of_epoch(f),
                      .begin = begin_step, .end = end_step, .payload = f};
    UM_TRY(um_rows_order(f->order, f->job->rows, f->seed, order, epoch));
    UM_TRY(um_steps_run(&steps));
    UM_TRY(close_epoch(f));
done:
    return rc;
}

/* Share of the perturbable pixels where |delta| is within 1 % of its bound. */
static void count_saturated(const fit *f, const float *delta, const int64_t *pick, int64_t n, double counts[2])
{
    const um_umed *u = f->u;
    int64_t hw = u->h * u->w;
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < hw; p++) {
            float b = f->feed->contour[pick[i] * hw + p] + f->feed->texture[pick[i] * hw + p];
            for (int64_t k = 0; b > 0 && k < u->c; k++) {
                counts[0] += fabsf(delta[(i * hw + p) * u->c + k]) >= 0.99f * b;
                counts[1]++;
            }
        }
}

/* The generators' running statistics under their final weights: the mean over one pass of the training images. */
static um_status recalibrate(fit *f)
{
    um_status rc = UM_OK;
    um_umed *u = f->u;
    um_umed_graph g = {0};
    double counts[2] = {0, 0};
    float *delta = NULL;
    bool narrow = u->backend->real == UM_F32;
    UM_TRY(um_umed_graph_build(&g, u, UM_UMED_RECALIBRATE, um_share_most(&u->spread, u->o.batch)));
    UM_TRY(um_umed_graph_ready(&g, u));
    UM_TRY(UM_NEW_ARRAY(delta, u->o.batch * u->h * u->w * u->c));
    UM_TRY(um_rows_order(f->order, f->job->rows, f->job->seed, UM_RNG_GENERATOR_ORDER, f->n_epochs));
    for (int64_t first = 0, k = 1; first < f->job->rows->n; first += u->o.batch, k++) {
        int64_t n = f->job->rows->n - first < u->o.batch ? f->job->rows->n - first : u->o.batch;
        um_share share;
        um_share_set(&share, &u->spread, n);
        const int64_t *pick = f->order + first + share.first;
        um_exec_set_bn_momentum(g.exec, 1.0 / (double)k); /* the k-th batch of a running mean */
        UM_TRY(um_umed_feed_upload(f->feed, u, &g, pick, share.n));
        UM_TRY(um_share_run(g.exec, g.graph, &share, u->spread.comm));
        if (narrow) {
            UM_TRY(um_exec_download(g.exec, g.delta, delta, share.n));
            count_saturated(f, delta, pick, share.n, counts);
        }
    }
    UM_TRY(um_comm_sum(u->spread.comm, counts, UM_F64, 2, "count of pixels at their bound"));
    if (counts[1] > 0)
        um_log(UM_LOG_INFO, "%s: %.1f %% of the perturbable pixels are at their bound", f->job->label, 100 * counts[0] / counts[1]);
done:
    um_free(delta);
    um_umed_graph_free(&g);
    return rc;
}

/* Mean loss of the surrogate over the training images, with the perturbation or with none. */
static um_status mean_loss(fit *f, bool perturbed, double *out)
{
    um_status rc = UM_OK;
    um_umed *u = f->u;
    const um_umed_graph *g = &f->surrogate;
    const um_tid bounds[] = {g->contour, g->texture};
    size_t image = (size_t)(u->h * u->w) * um_dtype_bytes(u->backend->real);
    void *zero = NULL;
    double sum = 0, loss[3];
    UM_TRY(um_alloc(&zero, (size_t)u->o.batch, image));
    um_exec_set_bn_momentum(g->exec, 0); /* the running statistics stay */
    for (int64_t first = 0; first < f->job->rows->n; first += u->o.batch) {
        int64_t n = f->job->rows->n - first < u->o.batch ? f->job->rows->n - first : u->o.batch;
        um_share share;
        um_share_set(&share, &u->spread, n);
        UM_TRY(um_umed_feed_upload(f->feed, u, g, f->order + first + share.first, share.n));
        for (int k = 0; !perturbed && k < 2; k++)
            if (bounds[k] >= 0)
                UM_TRY(um_exec_upload(g->exec, bounds[k], zero, share.n));
        UM_TRY(um_exec_run(g->exec, &share.batch, 0, g->graph->n_forward));
        UM_TRY(um_exec_download(g->exec, g->loss, loss, 1));
        sum += loss[0] * (double)n;
    }
    *out = sum / (double)f->job->rows->n;
done:
    um_free(zero);
    return rc;
}

/* The three networks, kept as the best so far or brought back. */
static um_status keep(fit *f, bool restore)
{
    um_status rc = UM_OK;
    char *at = f->best;
    for (int k = 0; k < 3; k++) {
        um_params *p = f->state.net[k];
        UM_TRY(restore ? um_params_restore(p, at) : um_params_snapshot(p, at));
        at += um_params_snapshot_bytes(p);
    }
done:
    return rc;
}

/* Whether the surrogate came to rely on the perturbation. Where it did not, exploiters do not either (docs/umed-small.md). */
static um_status judge(fit *f)
{
    um_status rc = UM_OK;
    double protected = 0, clean = 0, at = (double)f->state.progress.epoch;
    UM_TRY(um_rows_order(f->order, f->job->rows, f->seed, UM_RNG_GENERATOR_ORDER, f->n_epochs));
    UM_TRY(mean_loss(f, true, &protected));
    UM_TRY(mean_loss(f, false, &clean));
    UM_TRY(um_curves_add(f->state.curves, "reliance_protected_loss", at, protected));
    UM_TRY(um_curves_add(f->state.curves, "reliance_clean_loss", at, clean));
    um_log(UM_LOG_INFO, "%s: the surrogate's loss is %.3f on protected images and %.3f on clean ones", f->job->label, protected,
           clean);
    if (f->starts[STARTS_DONE] == 0 || clean - protected > f->starts[STARTS_CLEAN] - f->starts[STARTS_PROTECTED]) {
        f->starts[STARTS_PROTECTED] = protected;
        f->starts[STARTS_CLEAN] = clean;
        if (f->best)
            UM_TRY(keep(f, false));
    }
    f->starts[STARTS_DONE]++;
done:
    return rc;
}

/* The seed of the first start is that of the job. */
static uint64_t seed_of_start(uint64_t seed, int64_t start)
{
    uint32_t words[4];
    um_rng_words(seed, UM_RNG_UMED_START, (uint32_t)start, 0, 0, words);
    return start == 0 ? seed : (uint64_t)words[0] << 32 | words[1];
}

static um_status begin_start(fit *f)
{
    um_status rc = UM_OK;
    um_umed *u = f->u;
    f->seed = seed_of_start(f->job->seed, (int64_t)f->starts[STARTS_DONE]);
    UM_TRY(um_params_init(u->contour, f->seed, UM_RNG_CONTOUR_INIT));
    UM_TRY(um_params_init(u->texture, f->seed, UM_RNG_TEXTURE_INIT));
    UM_TRY(um_params_init(u->surrogate, f->seed, UM_RNG_SURROGATE_INIT));
done:
    return rc;
}

/* One start after the other, until the surrogate relies on the perturbation or no start is left; then the best one's networks. */
static um_status run_starts(fit *f)
{
    um_status rc = UM_OK;
    while (!is_over(f)) {
        int64_t end = ((int64_t)f->starts[STARTS_DONE] + 1) * f->n_epochs;
        while (f->state.progress.epoch < end)
            UM_TRY(run_epoch(f));
        UM_TRY(judge(f));
        if (!is_over(f))
            UM_TRY(begin_start(f));
    }
    if (f->best)
        UM_TRY(keep(f, true));
    if (f->starts[STARTS_CLEAN] < 1 && um_comm_leads(f->job->comm))
        um_log(UM_LOG_WARN,
               "%s: the surrogate segments clean images too, so this release may not protect; measure it (umed exploit), and "
               "try more umed.starts, more cycles or a larger umed.adam.lr",
               f->job->label);
done:
    return rc;
}

static um_status keep_room_for_best(fit *f)
{
    um_status rc = UM_OK;
    um_training_state *s = &f->state;
    size_t bytes = 0, size = um_dtype_bytes(f->u->backend->real);
    s->array[s->n_arrays++] = (um_training_array){.name = "starts", .dtype = UM_F64, .data = f->starts, .n = N_STARTS};
    if (f->u->o.starts == 1)
        return UM_OK;
    for (int k = 0; k < 3; k++)
        bytes += um_params_snapshot_bytes(s->net[k]);
    UM_TRY(um_alloc((void **)&f->best, 1, bytes));
    memset(f->best, 0, bytes);
    s->array[s->n_arrays++] = (um_training_array){.name = "best", .dtype = f->u->backend->real, .data = f->best,
                                                  .n = (int64_t)(bytes / size)};
done:
    return rc;
}

static void free_graphs(fit *f)
{
    um_umed_graph_free(&f->surrogate);
    um_umed_graph_free(&f->generators[0]);
    um_umed_graph_free(&f->generators[1]);
}

static um_status make_graphs(fit *f)
{
    um_status rc = UM_OK;
    um_umed *u = f->u;
    bool joint = u->o.joint || u->o.parts != UM_UMED_BOTH;
    int64_t most = um_share_most(&u->spread, u->o.batch);
    f->n_generators = joint ? 1 : 2;
    UM_TRY(um_umed_graph_build(&f->surrogate, u, UM_UMED_SURROGATE, most));
    UM_TRY(um_umed_graph_build(&f->generators[0], u, joint ? UM_UMED_GENERATORS : UM_UMED_CONTOUR_ONLY, most));
    if (!joint)
        UM_TRY(um_umed_graph_build(&f->generators[1], u, UM_UMED_TEXTURE_ONLY, most));
    UM_TRY(um_umed_graph_ready(&f->surrogate, u));
    for (int k = 0; k < f->n_generators; k++)
        UM_TRY(um_umed_graph_ready(&f->generators[k], u));
done:
    return rc;
}

static um_status prepare(fit *f)
{
    um_status rc = UM_OK;
    um_umed *u = f->u;
    rc = make_graphs(f);
    if (rc == UM_E_MEMORY && !u->recompute) {
        um_log(UM_LOG_INFO, "%s: outputs of normalisations are made anew: %s", f->job->label, um_error_text());
        um_error_clear();
        free_graphs(f);
        u->recompute = true;
        rc = make_graphs(f);
    }
    UM_TRY(rc);
    for (int k = 0; k < 1 + f->n_generators; k++)
        UM_TRY(um_outlet_open(&f->losses[k], u->backend, LOSS_BYTES, 1));
    UM_TRY(um_umed_feed_create(&f->feed, u, f->job->data, f->job->rows->index, f->job->rows->n, u->o.batch));
    UM_TRY(um_umed_feed_keep(f->feed, u, f->job->label));
    UM_TRY(UM_NEW_ARRAY(f->order, f->job->rows->n));
    UM_TRY(begin_start(f));
    UM_TRY(um_protect_fingerprint(f->job, "umed", "umed model loss run conv", f->fingerprint));
done:
    return rc;
}

um_status um_umed_fit(um_umed *u, const um_protect_job *job, um_curves *curves)
{
    um_status rc = UM_OK;
    const um_run_options *run = um_settings_get(job->settings, "run");
    const um_export_options *export = um_settings_get(job->settings, "export");
    fit f = {.u = u, .job = job, .n_epochs = u->o.cycles * (u->o.g_per_s + 1)};
    bool found = false;
    if (job->rows->n == 0)
        return um_fail(UM_E_DATA, "%s: there are no images to learn from", job->label);
    UM_TRY(prepare(&f));
    f.state = (um_training_state){.fingerprint = f.fingerprint, .n_nets = 3, .net_name = {"contour", "texture", "surrogate"},
                                  .net = {u->contour, u->texture, u->surrogate}, .curves = curves};
    UM_TRY(keep_room_for_best(&f));
    um_saver_set(&f.saver, &f.state, job->comm, job->checkpoint, run->checkpoint_s, job->label);
    UM_TRY(um_saver_resume(&f.saver, job->earlier_s, &found));
    f.seed = seed_of_start(job->seed, (int64_t)f.starts[STARTS_DONE]);
    UM_TRY(run_starts(&f));
    UM_TRY(um_saver_save(&f.saver));
    if (export->bn_recalibrate)
        UM_TRY(recalibrate(&f));
done:
    um_free(f.best);
    um_free(f.order);
    for (int k = 0; k < 3; k++)
        um_outlet_close(&f.losses[k]);
    um_umed_feed_free(f.feed);
    free_graphs(&f);
    return rc;
}
