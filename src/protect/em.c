/* EM: error-minimising noise (Huang et al., ICLR 2021; protectors.md 2.1). In rounds: the surrogate learns from M batches of the
 * images as they are perturbed now, then every image's perturbation takes T descent steps on the loss of the frozen surrogate,
 *     v <- v - alpha sign(dL/dv),  delta = clip(v - x, +-eps),  v = clip(x + delta, 0, 1),
 * until the surrogate segments the perturbed training images. Restricted to a region, delta is 0 elsewhere (Table 5, D and G). */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/metric.h"
#include "protect/attack.h"
#include "protect/contour_rows.h"
#include "train/predict.h"
#include "train/steps.h"

typedef enum em_mask { EM_ALL, EM_CONTOUR, EM_ROI, EM_ROI_MINUS_CONTOUR } em_mask;

typedef struct um_em_options {
    um_attack_options common;
    int64_t m, t, max_rounds;
    double alpha, stop_dsc;
    int mask;          /* em_mask */
    int surrogate_opt; /* 0 adam, 1 sgd */
    double sgd_lr, sgd_momentum, sgd_wd;
    um_contour_options contour;
} um_em_options;

#define S um_em_options
static const um_opt rows[] = {
    UM_ATTACK_ROWS(S, common),
    UM_OPT_INT_ROW(S, m, "M", "10", 1, 1000000, "batches", "surrogate steps of a round"),
    UM_OPT_INT_ROW(S, t, "T", "20", 1, 1000000, "", "descent steps of every image in a round"),
    UM_OPT_REAL_ROW(S, alpha, "alpha", "0.4/255", 0, 1, "[0,1]", "length of a descent step"),
    UM_OPT_REAL_ROW(S, stop_dsc, "stop_dsc", "0.99", 0, 2, "",
                    "mean DSC on the perturbed training images at which it ends; above 1: never"),
    UM_OPT_INT_ROW(S, max_rounds, "max_rounds", "60", 1, 1000000, "", "rounds at most"),
    UM_OPT_ENUM_ROW(S, mask, "mask", "all", "all contour roi roi_minus_contour", "where pixels may change"),
    UM_OPT_ENUM_ROW(S, surrogate_opt, "surrogate_opt", "adam", "adam sgd", "optimiser of the surrogate; the original: SGD"),
    UM_OPT_REAL_ROW(S, sgd_lr, "sgd.lr", "0.1", 0, 100, "", "learning rate under sgd, constant"),
    UM_OPT_REAL_ROW(S, sgd_momentum, "sgd.momentum", "0.9", 0, 0.999999, "", "momentum under sgd"),
    UM_OPT_REAL_ROW(S, sgd_wd, "sgd.wd", "5e-4", 0, 1, "", "L2 weight decay under sgd"),
    UM_CONTOUR_ROWS(S, contour),
};
#undef S
static const um_opt_table table = UM_OPT_TABLE("em", um_em_options, rows);

enum { SUM_SURROGATE, SUM_STEPS, SUM_DONE }; /* progress.sums */

typedef struct em {
    um_attack a;
    const um_em_options *o;
    int64_t *order, *pick;
    int64_t order_epoch;
    um_inlet inlet; /* of the surrogate's batches */
    int64_t n_made; /* images of the last of them, of all ranks */
    float *margin;
    um_confusion *counts;
} em;

static um_status load_batch(em *e, const int64_t *pick, int64_t n)
{
    um_status rc = UM_OK;
    const um_protect_job *job = e->a.job;
    um_attack_load(&e->a, pick, n);
    for (int64_t i = 0; e->o->mask != EM_ALL && i < n; i++) {
        uint8_t *keep = e->a.keep + i * e->a.pixels;
        const uint8_t *mask = um_dataset_mask(job->data, job->rows->index[pick[i]]);
        if (e->o->mask != EM_ROI)
            UM_TRY(um_contour_map(keep, mask, job->data->h, job->data->w, &e->o->contour));
        for (int64_t k = 0; e->o->mask != EM_CONTOUR && k < e->a.pixels; k++)
            keep[k] = mask[k] && !(e->o->mask == EM_ROI_MINUS_CONTOUR && keep[k]);
    }
done:
    return rc;
}

/* Batch number b of the surrogate's training: batches run through epochs without end. pick: its positions in the fitted rows. */
static um_status surrogate_batch(em *e, int64_t b, const int64_t **pick, int64_t *n)
{
    um_status rc = UM_OK;
    const um_rows *r = e->a.job->rows;
    int64_t per_epoch = (r->n + e->a.o.batch - 1) / e->a.o.batch, first = b % per_epoch * e->a.o.batch;
    if (e->order_epoch != b / per_epoch) {
        e->order_epoch = b / per_epoch;
        UM_TRY(um_rows_order(e->order, r, e->a.job->seed, UM_RNG_SURROGATE_ORDER, e->order_epoch));
    }
    *n = r->n - first < e->a.o.batch ? r->n - first : e->a.o.batch;
    *pick = e->order + first;
done:
    return rc;
}

/* This rank's share of a batch as it is perturbed now, on its way. */
static um_status make_batch(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    em *e = payload;
    const um_protect_job *job = e->a.job;
    const int64_t *pick = NULL;
    size_t plane = (size_t)e->a.pixels * um_dtype_bytes(e->a.real);
    um_share share;
    void *to[UM_INLET_PARTS];
    UM_TRY(surrogate_batch(e, e->a.state.progress.epoch * e->o->m + step, &pick, &e->n_made));
    um_segmenter_share(e->a.surrogate, e->n_made, &share);
    UM_TRY(um_inlet_room(&e->inlet, to));
    um_attack_perturbed(&e->a, pick + share.first, share.n, to[0]);
    for (int64_t i = 0; i < share.n; i++)
        um_row_mask(job->data, job->rows->index[pick[share.first + i]], e->a.real, (char *)to[1] + (size_t)i * plane);
    UM_TRY(um_inlet_send(&e->inlet, share.n));
done:
    return rc;
}

static um_status begin_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    em *e = payload;
    um_segmenter *s = e->a.surrogate;
    um_share share;
    (void)step;
    um_segmenter_share(s, e->n_made, &share);
    UM_TRY(um_segmenter_feed(s, &e->inlet, share.n));
    UM_TRY(um_segmenter_begin(s, NULL, NULL, e->n_made));
done:
    return rc;
}

static um_status end_step(void *payload, int64_t step)
{
    um_status rc = UM_OK;
    em *e = payload;
    um_progress_state *p = &e->a.state.progress;
    double loss[3];
    (void)step;
    UM_TRY(um_segmenter_end(e->a.surrogate, loss));
    p->sums[SUM_SURROGATE] += loss[0];
    p->sums[SUM_STEPS] += 1;
    p->step++;
done:
    return rc;
}

static um_status noise_step(em *e, int64_t first)
{
    um_status rc = UM_OK;
    um_ball ball = {.eps = e->a.o.eps, .step = -e->o->alpha};
    int64_t n = um_attack_pick(&e->a, first, e->pick);
    UM_TRY(load_batch(e, e->pick, n));
    rc = um_pgd_run(e->a.grad, &ball, e->o->t, e->a.v, e->a.x, e->a.y, e->o->mask == EM_ALL ? NULL : e->a.keep, n, true);
    UM_TRY(um_attack_save_stopped(&e->a, rc));
    for (int64_t i = 0; i < n; i++)
        um_attack_store(&e->a, i, first + i);
done:
    return rc;
}

/* Predictions on this rank's rows [begin, ..) of those that were fitted. */
typedef struct counting {
    em *e;
    int64_t begin;
} counting;

static um_status make_perturbed(void *payload, int64_t first, int64_t n, void *x)
{
    const counting *c = payload;
    for (int64_t i = 0; i < n; i++)
        c->e->pick[i] = c->begin + first + i;
    um_attack_perturbed(&c->e->a, c->e->pick, n, x);
    return UM_OK;
}

static um_status count_rows(void *payload, int64_t first, int64_t n, const void *logits)
{
    const counting *c = payload;
    em *e = c->e;
    const um_protect_job *job = e->a.job;
    um_segmenter_margin_of(e->a.surrogate, logits, n, e->margin);
    for (int64_t i = 0; i < n; i++)
        e->counts[c->begin + first + i] = um_confusion_of_logits(
            e->margin + i * e->a.pixels, um_dataset_mask(job->data, job->rows->index[c->begin + first + i]), e->a.pixels);
    return UM_OK;
}

/* Mean DSC of the surrogate on the perturbed training images. */
static um_status train_dsc(em *e, double *dsc)
{
    um_status rc = UM_OK;
    const um_protect_job *job = e->a.job;
    counting c = {.e = e};
    int64_t own;
    um_ranks_slice(job->comm, job->rows->n, &c.begin, &own);
    UM_TRY(um_predict_run(e->a.surrogate, &(um_predict_job){own, make_perturbed, count_rows, &c}));
    UM_TRY(um_ranks_collect(job->comm, e->counts, job->rows->n, sizeof *e->counts, "collection of scores"));
    *dsc = um_overlap_of(e->counts, job->rows->n, UM_AGGREGATE_IMAGE, 1).dsc;
done:
    return rc;
}

static um_status close_round(em *e)
{
    um_status rc = UM_OK;
    um_progress_state *p = &e->a.state.progress;
    double dsc = 0, loss = p->sums[SUM_SURROGATE] / p->sums[SUM_STEPS];
    char note[64];
    UM_TRY(train_dsc(e, &dsc));
    UM_TRY(um_curves_add(e->a.state.curves, "surrogate_loss", (double)p->epoch + 1, loss));
    UM_TRY(um_curves_add(e->a.state.curves, "surrogate_dsc", (double)p->epoch + 1, dsc));
    *p = (um_progress_state){.epoch = p->epoch + 1};
    p->sums[SUM_DONE] = dsc >= e->o->stop_dsc;
    snprintf(note, sizeof note, "loss %.4f, DSC on perturbed images %.4f", loss, dsc);
    um_progress(e->a.job->label, (long)p->epoch, (long)e->o->max_rounds, note);
done:
    return rc;
}

static um_status run_round(em *e)
{
    um_status rc = UM_OK;
    um_progress_state *p = &e->a.state.progress;
    int64_t batches = (e->a.job->rows->n + e->a.o.batch - 1) / e->a.o.batch;
    um_steps steps = {.saver = &e->a.saver, .backend = e->a.job->backend, .first = p->step, .n = e->o->m,
                      .make = make_batch, .begin = begin_step, .end = end_step, .payload = e};
    UM_TRY(um_steps_run(&steps));
    for (; p->step < e->o->m + batches; p->step++) {
        UM_TRY(um_saver_pause(&e->a.saver));
        UM_TRY(noise_step(e, (p->step - e->o->m) * e->a.o.batch));
    }
    UM_TRY(close_round(e));
done:
    return rc;
}

static um_attack_options attack_options(const um_em_options *o)
{
    um_attack_options a = o->common;
    if (o->surrogate_opt == 1)
        a.adam = (um_adam_attr){.lr = o->sgd_lr, .b1 = o->sgd_momentum, .weight_decay = o->sgd_wd, .sgd = true};
    return a;
}

static um_status prepare(em *e, const um_protect_job *job, um_curves *curves)
{
    um_status rc = UM_OK;
    um_attack_options options = attack_options(e->o);
    const um_run_options *run = um_settings_get(job->settings, "run");
    bool found = false;
    UM_TRY(um_attack_open(&e->a, job, &options, UM_INPUT_SEG, false));
    UM_TRY(UM_NEW_ARRAY(e->order, job->rows->n));
    UM_TRY(UM_NEW_ARRAY(e->pick, e->a.o.batch));
    size_t plane = (size_t)e->a.pixels * um_dtype_bytes(e->a.real);
    int64_t most = um_share_most(&e->a.surrogate->config.spread, e->a.o.batch);
    UM_TRY(um_inlet_open(&e->inlet, job->backend, (const size_t[]){e->a.image_bytes, plane}, 2, most));
    UM_TRY(UM_NEW_ARRAY(e->margin, e->a.o.batch * e->a.pixels));
    UM_TRY(UM_NEW_ARRAY(e->counts, job->rows->n));
    UM_TRY(um_protect_fingerprint(job, "em", "em model loss run conv", e->a.fingerprint));
    e->a.state = (um_training_state){.fingerprint = e->a.fingerprint,
                                     .n_nets = 1,
                                     .net_name = {"surrogate"},
                                     .net = {e->a.surrogate->params},
                                     .n_arrays = 1,
                                     .array = {um_attack_table_array(&e->a)},
                                     .curves = curves};
    um_saver_set(&e->a.saver, &e->a.state, job->comm, job->checkpoint, run->checkpoint_s, job->label);
    UM_TRY(um_saver_resume(&e->a.saver, job->earlier_s, &found));
done:
    return rc;
}

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    um_status rc = UM_OK;
    em e = {.o = um_settings_get(job->settings, "em"), .order_epoch = -1};
    UM_TRY(prepare(&e, job, curves));
    const um_progress_state *p = &e.a.state.progress;
    while (p->epoch < e.o->max_rounds && p->sums[SUM_DONE] == 0)
        UM_TRY(run_round(&e));
    UM_TRY(um_saver_save(&e.a.saver));
    *state = e.a.table;
    e.a.table = NULL;
done:
    um_inlet_close(&e.inlet);
    um_free(e.counts);
    um_free(e.margin);
    um_free(e.pick);
    um_free(e.order);
    um_attack_clear(&e.a);
    return rc;
}

static um_status apply(void *state, const um_dataset *d, const int64_t *index, int64_t n, float *delta)
{
    return um_delta_table_apply(state, "em", d, index, n, delta);
}

static double bound(const um_settings *settings)
{
    const um_em_options *o = um_settings_get(settings, "em");
    return o->common.eps;
}

static um_status cost(const um_protect_job *job, um_cost *out)
{
    um_status rc = UM_OK;
    const um_em_options *o = um_settings_get(job->settings, "em");
    um_attack_cost c;
    UM_TRY(um_attack_cost_of(&c, job, &o->common, UM_INPUT_SEG));
    double n = (double)job->rows->n, seen = (double)(o->m * o->common.batch);
    *out = (um_cost){(double)o->max_rounds * (seen * c.train + n * ((double)o->t * c.gradient + c.predict)), c.bytes};
done:
    return rc;
}

const um_protector_def um_protector_em = {
    .name = "em",
    .summary = "error-minimising noise (Huang et al., ICLR 2021) against a U-Net surrogate",
    .table = &table,
    .groups = "em model loss run conv",
    .fit = fit,
    .apply = apply,
    .bound = bound,
    .free = um_delta_table_free,
    .cost = cost,
};
