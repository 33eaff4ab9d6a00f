/* SEP: self-ensemble protection (Chen et al., ICLR 2023; protectors.md 2.3). n checkpoints of one clean training take the place
 * of an
 * ensemble. Feature alignment: under checkpoint k every pixel's feature is drawn to mu_k of the other class,
 *     loss_k = mean over pixels and channels of (h_k(p) - mu_k[1 - y(p)])^2,
 * mu_k being the mean feature of a class under the same checkpoint k. Variance-reduced outer step t from v:
 *     g_k = d loss_k(v), gm = mean_k g_k;  w = v, S = 0;  M times: draw k, S += d loss_k(w) - (g_k - gm), w <- proj(w - alpha
 * sign S);
 *     v <- proj(v - alpha sign S)
 * S is kept over the inner steps. The published script takes the last checkpoint's means in the inner loop; here k's own are
 * used. */
#include "protect/sep.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"

#define S um_sep_options
static const um_opt rows[] = {
    UM_ATTACK_ROWS(S, common),
    UM_OPT_INT_ROW(S, n, "n", "15", 1, 1000, "", "checkpoints of the clean training, equally spaced"),
    UM_OPT_INT_ROW(S, t, "T", "30", 1, 1000000, "", "outer steps of every image"),
    UM_OPT_INT_ROW(S, m, "M", "15", 1, 1000000, "", "inner steps of variance reduction"),
    UM_OPT_REAL_ROW(S, alpha, "alpha", "1/255", 0, 1, "[0,1]", "length of a step"),
    UM_OPT_BOOL_ROW(S, fa, "fa", "true", "feature alignment; false: segmentation loss against the inverted mask"),
    UM_OPT_BOOL_ROW(S, fa_class_balance, "fa_class_balance", "false", "inside and outside count alike in feature alignment"),
    UM_OPT_BOOL_ROW(S, vr, "vr", "true", "variance reduction; false: steps along the mean gradient"),
    UM_OPT_INT_ROW(S, clean_epochs, "clean_epochs", "150", 1, 1000000, "epochs", "training of the surrogate on clean images"),
};
#undef S
static const um_opt_table table = UM_OPT_TABLE("sep", um_sep_options, rows);

/* ---- checkpoints ---- */

static um_status keep_checkpoint(void *payload, um_segmenter *surrogate, int64_t epoch, um_curves *curves)
{
    um_sep *s = payload;
    (void)curves;
    for (int64_t k = 0; k < s->o->n; k++)
        if (epoch == (k + 1) * s->o->clean_epochs / s->o->n)
            return um_params_snapshot(surrogate->params, s->snapshots + (size_t)k * s->snapshot_bytes);
    return UM_OK;
}

/* As um_params_restore: values, then buffers. */
static um_status use_checkpoint(um_sep *s, int64_t k)
{
    um_status rc = UM_OK;
    um_params *p = s->a.params;
    um_backend *b = p->backend;
    size_t at = (size_t)k * s->snapshot_bytes, values = (size_t)p->n_values * um_dtype_bytes(b->real);
    if (!s->members)
        return um_params_restore(p, s->snapshots + at);
    UM_TRY(b->queues->copy(b, NULL, p->block[UM_BLOCK_VALUE], s->members + at, values));
    UM_TRY(b->queues->copy(b, NULL, p->buffers, s->members + at + values, s->snapshot_bytes - values));
done:
    return rc;
}

/* All checkpoints to the device, if it has room for them: every gradient takes another one. */
static um_status keep_members(um_sep *s)
{
    um_status rc = UM_OK;
    um_backend *b = s->a.params->backend;
    size_t bytes = (size_t)s->o->n * s->snapshot_bytes;
    if (!b->queues)
        return UM_OK;
    rc = b->iface->alloc(b, (void **)&s->members, bytes);
    if (rc == UM_E_MEMORY) {
        um_log(UM_LOG_INFO, "sep: checkpoints come from the host: %s", um_error_text());
        um_error_clear();
        return UM_OK;
    }
    UM_TRY(rc);
    UM_TRY(b->iface->upload(b, s->members, s->snapshots, bytes));
done:
    return rc;
}

static um_training_array snapshot_array(const um_sep *s)
{
    return (um_training_array){.name = "checkpoints",
                               .dtype = s->a.real,
                               .data = s->snapshots,
                               .n = s->o->n * (int64_t)(s->snapshot_bytes / um_dtype_bytes(s->a.real))};
}

static um_training_array means_array(const um_sep *s)
{
    return (um_training_array){.name = "means", .dtype = UM_F64, .data = s->means,
                               .n = s->o->n * 2 * (um_input_grad_channels(s->a.grad) + 1)};
}

/* Adds the features of n images to the sums [2][channels] and the pixel counts of both classes. */
static void add_features(const um_sep *s, const char *h, int64_t n, int64_t channels, double *sums, double counts[2])
{
    for (int64_t p = 0; p < n * s->a.pixels; p++) {
        int inside = um_attack_get(&s->a, s->a.y, p) > 0.5;
        for (int64_t c = 0; c < channels; c++)
            sums[inside * channels + c] += um_attack_get(&s->a, h, p * channels + c);
        counts[inside]++;
    }
}

/* Mean features of both classes over all training pixels under checkpoint k. */
static um_status class_means(um_sep *s, int64_t k, char *h)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    int64_t channels = um_input_grad_channels(a->grad), batches = (a->job->rows->n + a->o.batch - 1) / a->o.batch;
    double *sums = s->means + k * 2 * channels, counts[2] = {0, 0};
    memset(sums, 0, (size_t)(2 * channels) * sizeof *sums);
    UM_TRY(use_checkpoint(s, k));
    for (int64_t b = 0; b < batches; b++) {
        UM_TRY(um_ranks_stop_check(a->job->comm, "between gradients"));
        int64_t n = um_sep_take_batch(s, b);
        UM_TRY(um_input_grad_run(a->grad, a->x, a->y, n, NULL, NULL));
        UM_TRY(um_input_grad_features(a->grad, n, h));
        add_features(s, h, n, channels, sums, counts);
    }
    for (int64_t i = 0; i < 2 * channels; i++)
        sums[i] /= counts[i / channels] > 0 ? counts[i / channels] : 1;
done:
    return rc;
}

um_status um_sep_learn(um_sep *s, um_curves *curves)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    char *h = NULL;
    um_fit_options hooks = {.after_epoch = keep_checkpoint, .payload = s, .n_arrays = 1, .array = {snapshot_array(s)}};
    UM_TRY(um_attack_surrogate(a, s->o->clean_epochs, "sep surrogate", "sep model loss run conv", hooks, curves));
    UM_TRY(keep_members(s));
    if (!s->o->fa)
        goto done;
    UM_TRY(um_alloc((void **)&h, (size_t)(a->o.batch * a->pixels * um_input_grad_channels(a->grad)), um_dtype_bytes(a->real)));
    for (int64_t k = 0; k < s->o->n; k++)
        UM_TRY(class_means(s, k, h));
done:
    um_free(h);
    return rc;
}

/* ---- steps ---- */

int64_t um_sep_take_batch(um_sep *s, int64_t batch)
{
    um_attack *a = &s->a;
    int64_t n = um_attack_pick(a, batch * a->o.batch, s->picked);
    um_attack_load_clean(a, s->picked, n);
    for (int64_t p = 0; p < n * a->pixels; p++)
        um_attack_put(a, s->target, p, 1 - um_attack_get(a, a->y, p));
    return n;
}

int64_t um_sep_draw(const um_sep *s, int64_t t, int64_t m)
{
    uint32_t word[4];
    um_rng_words(s->a.job->seed, UM_RNG_SEP_DRAW, (uint32_t)m, 0, (uint32_t)t, word);
    return (int64_t)(word[0] % (uint32_t)s->o->n);
}

um_status um_sep_place(um_sep *s, int64_t n)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    um_backend *b = a->job->backend;
    um_view *const views[] = {&s->x, &s->v, &s->w, &s->s, &s->g, &s->mean_g};
    int64_t first, own;
    um_ranks_slice(a->job->comm, n, &first, &own);
    for (size_t i = 0; i < UM_COUNT(views); i++)
        views[i]->n = own;
    if (own > 0) {
        UM_TRY(b->iface->upload(b, s->x.data, um_attack_image(a, a->x, first), (size_t)own * a->image_bytes));
        UM_TRY(b->iface->upload(b, s->v.data, um_attack_image(a, a->v, first), (size_t)own * a->image_bytes));
    }
    UM_TRY(um_input_grad_aim(a->grad, s->o->fa ? a->y : s->target, n));
done:
    return rc;
}

um_status um_sep_gradient(um_sep *s, int64_t k, const um_view *v, um_view *dx)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    UM_TRY(um_ranks_stop_check(a->job->comm, "between gradients"));
    UM_TRY(use_checkpoint(s, k));
    if (s->o->fa)
        um_input_grad_set_means(a->grad, s->means + k * 2 * um_input_grad_channels(a->grad));
    if (v->n > 0)
        UM_TRY(um_input_grad_there(a->grad, v, dx));
done:
    return rc;
}

static um_status run_op(const um_sep *s, um_op op, um_op_call call)
{
    um_backend *b = s->a.job->backend;
    return s->v.n > 0 ? b->iface->run(b, op, &call) : UM_OK;
}

/* The gradients of checkpoint k in g. */
static um_view member_of(const um_sep *s, int64_t k)
{
    um_view v = s->g;
    v.c = s->v.c;
    v.data = (char *)v.data + (size_t)(k * v.c) * um_dtype_bytes(v.dtype);
    return v;
}

static um_status move(const um_sep *s, const um_view *v, const um_view *along)
{
    return run_op(s, UM_OP_BALL_STEP, (um_op_call){.in = {s->x, *along, {0}, s->reach}, .out = {*v}});
}

/* g and its mean at the outer iterate. */
static um_status look_around(um_sep *s)
{
    um_status rc = UM_OK;
    um_view dx = {0};
    for (int64_t k = 0; k < s->o->n; k++) {
        UM_TRY(um_sep_gradient(s, k, &s->v, &dx));
        UM_TRY(run_op(s, UM_OP_COPY, (um_op_call){.in = {dx}, .out = {member_of(s, k)}}));
    }
    UM_TRY(run_op(s, UM_OP_GROUP_MEAN, (um_op_call){.in = {s->g}, .out = {s->mean_g}}));
done:
    return rc;
}

/* Outer step t of v, which UM_E_STOPPED leaves as it was. */
static um_status step(um_sep *s, int64_t t)
{
    um_status rc = UM_OK;
    um_view dx = {0};
    UM_TRY(look_around(s));
    if (!s->o->vr)
        return move(s, &s->v, &s->mean_g);
    UM_TRY(run_op(s, UM_OP_COPY, (um_op_call){.in = {s->v}, .out = {s->w}}));
    UM_TRY(run_op(s, UM_OP_FILL, (um_op_call){.out = {s->s}}));
    for (int64_t m = 0; m < s->o->m; m++) {
        int64_t k = um_sep_draw(s, t, m);
        UM_TRY(um_sep_gradient(s, k, &s->w, &dx));
        UM_TRY(run_op(s, UM_OP_VR_ADD, (um_op_call){.in = {dx, member_of(s, k), s->mean_g}, .out = {s->s}}));
        UM_TRY(move(s, &s->w, &s->s));
    }
    UM_TRY(move(s, &s->v, &s->s));
done:
    return rc;
}

/* a.v as the outer steps so far leave it. */
static um_status fetch_images(um_sep *s, int64_t n)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    um_backend *b = a->job->backend;
    int64_t first, own;
    um_ranks_slice(a->job->comm, n, &first, &own);
    if (own > 0)
        UM_TRY(b->iface->download(b, um_attack_image(a, a->v, first), s->v.data, (size_t)own * a->image_bytes));
    UM_TRY(um_ranks_collect(a->job->comm, a->v, n, a->image_bytes, "collection of images"));
done:
    return rc;
}

static um_status settle(void *sep)
{
    um_sep *s = sep;
    return fetch_images(s, s->a.n_picked);
}

/* Of a step that was stopped, the state before it is saved. */
static um_status save_stopped(um_sep *s, int64_t n, um_status outcome)
{
    um_status rc = UM_OK;
    if (outcome == UM_E_STOPPED)
        UM_TRY(fetch_images(s, n));
    UM_TRY(um_attack_save_stopped(&s->a, outcome));
done:
    return rc;
}

/* progress: epoch = batch, step = outer step. */
static um_status attack_batch(um_sep *s)
{
    um_status rc = UM_OK;
    um_attack *a = &s->a;
    um_progress_state *p = &a->state.progress;
    int64_t n = um_sep_take_batch(s, p->epoch);
    if (p->step == 0)
        memcpy(a->v, a->x, (size_t)n * a->image_bytes);
    UM_TRY(um_sep_place(s, n));
    for (; p->step < s->o->t; p->step++) {
        UM_TRY(um_saver_pause_after(&a->saver, settle, s));
        UM_TRY(save_stopped(s, n, step(s, p->step)));
    }
    UM_TRY(fetch_images(s, n));
    for (int64_t i = 0; i < n; i++)
        um_attack_store(a, i, s->picked[i]);
    *p = (um_progress_state){.epoch = p->epoch + 1};
    if (a->job->label)
        um_progress(a->job->label, (long)p->epoch, (long)((a->job->rows->n + a->o.batch - 1) / a->o.batch), "batches perturbed");
done:
    return rc;
}

/* ---- the protector ---- */

/* Room for this rank's part of a batch. */
static um_status make_view(const um_sep *s, um_view *out, um_dtype type, int64_t n, int64_t h, int64_t w, int64_t c)
{
    um_backend *b = s->a.job->backend;
    *out = (um_view){NULL, type, n, h, w, c, c};
    return b->iface->alloc(b, &out->data, (size_t)(n * h * w * c) * um_dtype_bytes(type));
}

static um_status allocate(um_sep *s)
{
    um_status rc = UM_OK;
    const um_attack *a = &s->a;
    const um_dataset *d = a->job->data;
    um_backend *b = a->job->backend;
    um_view *const views[] = {&s->x, &s->v, &s->w, &s->s, &s->mean_g};
    const double reach[] = {s->ball.eps, s->ball.step};
    int64_t size = um_comm_size(a->job->comm), most = (a->o.batch + size - 1) / size;
    s->snapshot_bytes = um_params_snapshot_bytes(a->params);
    UM_TRY(UM_NEW_ARRAY(s->picked, a->o.batch));
    UM_TRY(um_alloc((void **)&s->snapshots, (size_t)s->o->n, s->snapshot_bytes));
    UM_TRY(UM_NEW_ARRAY(s->means, s->o->n * 2 * (um_input_grad_channels(a->grad) + 1)));
    UM_TRY(um_alloc((void **)&s->target, (size_t)(a->o.batch * a->pixels), um_dtype_bytes(a->real)));
    for (size_t i = 0; i < UM_COUNT(views); i++)
        UM_TRY(make_view(s, views[i], a->real, most, d->h, d->w, d->c));
    UM_TRY(make_view(s, &s->g, a->real, most, d->h, d->w, s->o->n * d->c));
    UM_TRY(make_view(s, &s->reach, UM_F64, 1, 1, 1, 2));
    UM_TRY(b->iface->upload(b, s->reach.data, reach, sizeof reach));
done:
    return rc;
}

um_status um_sep_open(um_sep *out, const um_protect_job *job, um_curves *curves)
{
    um_status rc = UM_OK;
    um_sep s = {.o = um_settings_get(job->settings, "sep")};
    if (s.o->n > s.o->clean_epochs)
        return um_fail(UM_E_CONFIG, "sep.n = %ld checkpoints do not fit into sep.clean_epochs = %ld", (long)s.o->n,
                       (long)s.o->clean_epochs);
    UM_TRY(um_attack_open(&s.a, job, &s.o->common, s.o->fa ? UM_INPUT_ALIGN : UM_INPUT_SEG, s.o->fa_class_balance));
    s.ball = (um_ball){.eps = s.a.o.eps, .step = -s.o->alpha};
    UM_TRY(allocate(&s));
    UM_TRY(um_protect_fingerprint(job, "sep attack", "sep model loss run conv", s.a.fingerprint));
    s.a.state = (um_training_state){.n_nets = 1,
                                    .net_name = {"surrogate"},
                                    .net = {s.a.surrogate->params},
                                    .n_arrays = 3,
                                    .curves = curves,
                                    .array = {um_attack_table_array(&s.a),
                                              snapshot_array(&s),
                                              {.name = "images", .dtype = s.a.real, .data = s.a.v, .n = s.a.o.batch * s.a.values}}};
    *out = s;
    out->a.state.fingerprint = out->a.fingerprint;
    s = (um_sep){0};
done:
    um_sep_clear(&s);
    return rc;
}

void um_sep_clear(um_sep *s)
{
    um_backend *b = s->a.job ? s->a.job->backend : NULL;
    void *const there[] = {s->x.data, s->v.data, s->w.data, s->s.data, s->g.data, s->mean_g.data, s->reach.data, s->members};
    for (size_t i = 0; b && i < UM_COUNT(there); i++)
        b->iface->free(b, there[i]);
    um_free(s->picked);
    um_free(s->snapshots);
    um_free(s->means);
    um_free(s->target);
    um_attack_clear(&s->a);
}

static um_attack_fn attack_unseen; /* below */

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    um_status rc = UM_OK;
    um_sep s = {0};
    UM_TRY(um_sep_open(&s, job, curves));
    UM_TRY(um_sep_learn(&s, curves));
    while (s.a.state.progress.epoch * s.a.o.batch < job->rows->n)
        UM_TRY(attack_batch(&s));
    UM_TRY(um_saver_save(&s.a.saver));
    UM_TRY(um_attack_state_of_fit((um_attack_state **)state, "sep", "sep model loss", attack_unseen, &s.a,
                                  (um_training_array[]){snapshot_array(&s), means_array(&s)}, 2));
done:
    um_sep_clear(&s);
    return rc;
}

/* ---- images that no fit saw ---- */

static int lengths(const um_attack_state *st, um_training_array array[2])
{
    const um_sep_options *o = um_settings_get(st->job.settings, "sep");
    um_dtype real = st->job.backend->real;
    array[0] = (um_training_array){.name = "checkpoints", .dtype = real,
                                   .n = o->n * (int64_t)(um_params_snapshot_bytes(st->params) / um_dtype_bytes(real))};
    array[1] = (um_training_array){.name = "means", .dtype = UM_F64, .n = o->n * 2 * (um_input_grad_channels(st->grad) + 1)};
    return 2;
}

static um_status attack_unseen(um_attack_state *st, const um_protect_job *job, um_delta_table **found)
{
    um_status rc = UM_OK;
    um_sep s = {.o = um_settings_get(job->settings, "sep")};
    UM_TRY(um_attack_open_lent(&s.a, job, st));
    s.ball = (um_ball){.eps = s.a.o.eps, .step = -s.o->alpha};
    UM_TRY(allocate(&s));
    memcpy(s.snapshots, st->array[0].data, (size_t)s.o->n * s.snapshot_bytes);
    memcpy(s.means, st->array[1].data, (size_t)st->array[1].n * sizeof *s.means);
    UM_TRY(keep_members(&s));
    um_saver_set(&s.a.saver, &s.a.state, NULL, NULL, 0, "sep");
    UM_TRY(attack_batch(&s));
    *found = s.a.table;
    s.a.table = NULL;
done:
    um_sep_clear(&s);
    return rc;
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    const um_sep_options *o = um_settings_get(job->settings, "sep");
    return um_attack_state_load((um_attack_state **)state, "sep", "sep model loss", attack_unseen, job, &o->common,
                                o->fa ? UM_INPUT_ALIGN : UM_INPUT_SEG, o->fa_class_balance, path, lengths);
}

static double bound(const um_settings *settings)
{
    const um_sep_options *o = um_settings_get(settings, "sep");
    return o->common.eps;
}

static um_status cost(const um_protect_job *job, um_cost *out)
{
    um_status rc = UM_OK;
    const um_sep_options *o = um_settings_get(job->settings, "sep");
    um_attack_cost c;
    UM_TRY(um_attack_cost_of(&c, job, &o->common, o->fa ? UM_INPUT_ALIGN : UM_INPUT_SEG));
    double steps = (double)(o->t * (o->n + (o->vr ? o->m : 0)));
    double image = (double)o->clean_epochs * c.train + steps * c.gradient + (o->fa ? (double)o->n * c.predict : 0);
    *out = (um_cost){image * (double)job->rows->n, c.bytes};
done:
    return rc;
}

const um_protector_def um_protector_sep = {
    .name = "sep",
    .summary = "self-ensemble protection (Chen et al., ICLR 2023) from checkpoints of a clean-trained U-Net",
    .table = &table,
    .groups = "sep model loss run conv",
    .fit = fit,
    .apply = um_attack_state_apply,
    .bound = bound,
    .apply_bytes = um_attack_state_bytes,
    .save = um_attack_state_save,
    .load = load,
    .free = um_attack_state_free,
    .cost = cost,
};
