/* The UMed protector: what the rest of the program sees of it. */
#include "protect/umed_flow.h"

#include <string.h>

#include "base/mem.h"
#include "io/checkpoint.h"
#include "train/options.h"

/* What the generators' output depends on besides their weights. */
static const char *const applied_keys[] = {
    "umed.eps", "umed.parts", "umed.contour.mode", "umed.contour.radius", "umed.contour.se", "umed.contour.border", "umed.lbp.map",
    "umed.lbp.P", "umed.lbp.R", "umed.lbp.interp", "umed.lbp.norm", "umed.lbp.gray", "umed.gen.output", "umed.gen.gain",
    "umed.gen.input", "umed.gen.base_width", "umed.cdc.mode", "umed.cdc.theta", "umed.cdc.bottleneck", "model.up", "model.bias",
};

/* "umed-state-2 channels=1 umed.eps=4/255 ...": a state fits only settings that give the same text. */
static um_status describe(const um_protect_job *job, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "umed-state-2 channels=%ld", (long)job->data->c));
    for (size_t i = 0; i < UM_COUNT(applied_keys); i++) {
        UM_TRY(um_text_add(out, " %s=", applied_keys[i]));
        UM_TRY(um_settings_value(job->settings, applied_keys[i], out));
    }
done:
    return rc;
}

void um_umed_free(um_umed *u)
{
    if (!u)
        return;
    um_umed_flow_free(u);
    um_umed_graph_free(&u->apply);
    um_params_free(u->contour);
    um_params_free(u->texture);
    um_params_free(u->surrogate);
    um_text_free(&u->applied);
    um_free(u);
}

um_status um_umed_create(um_umed **out, const um_protect_job *job)
{
    um_status rc = UM_OK;
    um_umed *u = NULL;
    const um_model_options *model = um_settings_get(job->settings, "model");
    const um_run_options *run = um_settings_get(job->settings, "run");
    UM_TRY(UM_NEW(u));
    u->o = *(const um_umed_options *)um_settings_get(job->settings, "umed");
    u->loss = um_loss_attr(um_settings_get(job->settings, "loss"));
    u->surrogate_config = um_model_configure(model, job->data->c);
    u->backend = job->backend;
    u->recompute = job->backend->on_host;
    u->spread = um_spread_of(run, job->comm);
    u->h = job->data->h, u->w = job->data->w, u->c = job->data->c;
    if (u->o.lbp.interp == UM_LBP_SQUARE && u->o.lbp.p != 8) {
        rc = um_fail(UM_E_CONFIG, "umed.lbp.P = %ld: the square neighbourhood has 8 neighbours; use umed.lbp.interp = circular_bilinear",
                     (long)u->o.lbp.p);
        goto done;
    }
    UM_TRY(um_spread_check(&u->spread));
    UM_TRY(describe(job, &u->applied));
    UM_TRY(um_params_create(&u->contour, job->backend));
    UM_TRY(um_params_create(&u->texture, job->backend));
    UM_TRY(um_params_create(&u->surrogate, job->backend));
    *out = u;
    u = NULL;
done:
    um_umed_free(u);
    return rc;
}

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    um_status rc = UM_OK;
    um_umed *u = NULL;
    UM_TRY(um_umed_create(&u, job));
    UM_TRY(um_umed_fit(u, job, curves));
    *state = u;
    u = NULL;
done:
    um_umed_free(u);
    return rc;
}

/* Copies the graph's perturbation into float, whatever the backend's real type. */
static um_status fetch(um_umed *u, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    int64_t count = n * u->h * u->w * u->c;
    double *wide = NULL;
    if (u->backend->real == UM_F32)
        return um_exec_download(u->apply.exec, u->apply.delta, delta, n);
    UM_TRY(UM_NEW_ARRAY(wide, count));
    UM_TRY(um_exec_download(u->apply.exec, u->apply.delta, wide, n));
    for (int64_t i = 0; i < count; i++)
        delta[i] = (float)wide[i];
done:
    um_free(wide);
    return rc;
}

/* Images per run of the export graph: fewer of larger ones, so that memory does not grow with the area. */
static int64_t apply_batch(const um_umed *u, int64_t h, int64_t w)
{
    if (u->backend->queues)
        return um_umed_flow_batch(h, w);
    int64_t n = u->o.batch * 224 * 224 / (h * w);
    return n < 1 ? 1 : n > u->o.batch ? u->o.batch : n;
}

/* The export graph for images of this size. The networks are convolutional: their weights serve every size. */
static um_status ready_to_apply(um_umed *u, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    if (u->apply.exec && u->h == h && u->w == w)
        return UM_OK;
    um_umed_graph_free(&u->apply);
    u->h = h, u->w = w;
    UM_TRY(um_umed_graph_build(&u->apply, u, UM_UMED_EXPORT, apply_batch(u, h, w)));
    UM_TRY(um_umed_graph_ready(&u->apply, u));
done:
    return rc;
}

static um_status apply_bytes(void *state, int64_t h, int64_t w, int64_t c, double *out)
{
    um_status rc = UM_OK;
    um_umed like = *(um_umed *)state; /* its networks, at another size */
    um_umed_graph g = {0};
    um_plan *plan = NULL;
    like.h = h, like.w = w;
    UM_TRY(um_umed_graph_build(&g, &like, UM_UMED_EXPORT, apply_batch(&like, h, w)));
    UM_TRY(um_plan_create(&plan, g.graph, like.backend));
    *out = (double)(plan->arena_bytes + plan->workspace_bytes) +
           (double)(apply_batch(&like, h, w) * h * w * (2 * c + 4)) * (double)um_dtype_bytes(like.backend->real);
done:
    um_plan_free(plan);
    um_umed_graph_free(&g);
    return rc;
}

static um_status prepare(void *state, const um_dataset *d, const int64_t *rows, int64_t n, void **prepared)
{
    um_status rc = UM_OK;
    const um_umed *u = state;
    um_umed_feed *feed = NULL;
    if (d->c != u->c)
        return um_fail(UM_E_DATA, "the generators were fitted to images of %ld channels; these have %ld", (long)u->c, (long)d->c);
    int64_t most = apply_batch(u, d->h, d->w), batch = u->backend->queues ? 0 : n < most ? n : most;
    UM_TRY(um_umed_feed_create(&feed, u, d, rows, n, batch));
    *prepared = feed;
done:
    return rc;
}

static void drop_prepared(void *prepared)
{
    um_umed_feed_free(prepared);
}

/* ---- on a device (protector.h) ---- */

static bool carries(const void *state)
{
    return ((const um_umed *)state)->backend->queues != NULL;
}

static um_status carry_in(void *state, void *prepared, void **carried)
{
    return um_umed_flow_in(state, prepared, (um_umed_cargo **)carried);
}

static um_status compute(void *state, void *carried)
{
    um_status rc = UM_OK;
    int64_t h, w;
    um_umed_cargo_size(carried, &h, &w);
    UM_TRY(ready_to_apply(state, h, w));
    UM_TRY(um_umed_flow_run(state, carried));
done:
    return rc;
}

static um_status carry_out(void *state, void *carried, float *delta)
{
    return um_umed_flow_out(state, carried, delta);
}

static void drop_carried(void *state, void *carried)
{
    um_umed_flow_drop(state, carried);
}

static um_status apply_by_flow(um_umed *u, um_umed_feed *feed, float *delta)
{
    um_status rc = UM_OK;
    void *cargo = NULL, *taken;
    UM_TRY(carry_in(u, feed, &cargo));
    UM_TRY(compute(u, cargo));
    taken = cargo;
    cargo = NULL;
    UM_TRY(carry_out(u, taken, delta));
done:
    drop_carried(u, cargo);
    return rc;
}

/* ---- apply ---- */

static um_status apply_prepared(void *state, void *prepared, float *delta)
{
    um_status rc = UM_OK;
    um_umed *u = state;
    um_umed_feed *feed = prepared;
    if (carries(u))
        return apply_by_flow(u, feed, delta);
    int64_t *pick = NULL, n = feed->n_rows;
    UM_TRY(UM_NEW_ARRAY(pick, n));
    for (int64_t i = 0; i < n; i++)
        pick[i] = i;
    UM_TRY(ready_to_apply(u, feed->data->h, feed->data->w));
    for (int64_t first = 0; first < n; first += feed->max_batch) {
        int64_t m = n - first < feed->max_batch ? n - first : feed->max_batch;
        um_batch batch;
        um_batch_set(&batch, m, 1);
        UM_TRY(um_umed_feed_upload(feed, u, &u->apply, pick + first, m));
        UM_TRY(um_exec_run(u->apply.exec, &batch, 0, -1));
        UM_TRY(fetch(u, m, delta + first * u->h * u->w * u->c));
    }
done:
    um_free(pick);
    um_umed_feed_free(feed);
    return rc;
}

static um_status apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    void *prepared = NULL;
    UM_TRY(prepare(state, d, rows, n, &prepared));
    UM_TRY(apply_prepared(state, prepared, delta));
done:
    return rc;
}

static double bound(const um_settings *settings)
{
    const um_umed_options *o = um_settings_get(settings, "umed");
    return o->eps;
}

static um_training_state networks(um_umed *u, um_curves *curves)
{
    return (um_training_state){.fingerprint = um_text_get(&u->applied), .n_nets = 2, .net_name = {"contour", "texture"},
                               .net = {u->contour, u->texture}, .curves = curves};
}

static um_status save(void *state, const um_dataset *fitted, const char *path)
{
    um_curves none = {0};
    um_training_state s = networks(state, &none);
    s.keep = true;
    s.h = fitted->h, s.w = fitted->w;
    return um_training_save(&s, path);
}

/* Names the first setting under which the state was fitted and which is another one now. */
static um_status refuse_state(const um_umed *u, const char *path)
{
    um_status rc = UM_OK;
    um_text was = {0};
    const char *a, *b = um_text_get(&u->applied);
    UM_TRY(um_checkpoint_text(path, "fingerprint", &was));
    a = um_text_get(&was);
    if (strncmp(a, b, strcspn(b, " ")) != 0) {
        rc = um_fail(UM_E_DATA, "%s is not a state of the protector umed", path);
        goto done;
    }
    while (*a && strcspn(a, " ") == strcspn(b, " ") && strncmp(a, b, strcspn(a, " ")) == 0) {
        a += strcspn(a, " ") + (a[strcspn(a, " ")] == ' ');
        b += strcspn(b, " ") + (b[strcspn(b, " ")] == ' ');
    }
    rc = um_fail(UM_E_DATA, "%s was fitted under %.*s, now it is %.*s; use the settings of the fit", path, (int)strcspn(a, " "), a,
                 (int)strcspn(b, " "), b);
done:
    um_text_free(&was);
    return rc;
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    um_status rc = UM_OK;
    um_umed *u = NULL;
    um_curves none = {0};
    bool found = false;
    UM_TRY(um_umed_create(&u, job));
    UM_TRY(ready_to_apply(u, u->h, u->w));
    um_training_state s = networks(u, &none);
    UM_TRY(um_training_load(&s, path, &found));
    if (!found)
        UM_TRY(refuse_state(u, path));
    *state = u;
    u = NULL;
done:
    um_curves_free(&none);
    um_umed_free(u);
    return rc;
}

static void release(void *state)
{
    um_umed_free(state);
}

/* FLOPs of one image through a phase's graph; its memory is added to *bytes. */
static um_status phase_cost(um_umed *u, um_umed_phase phase, double *flops, double *bytes)
{
    um_status rc = UM_OK;
    um_umed_graph g = {0};
    um_cost c;
    UM_TRY(um_umed_graph_build(&g, u, phase, u->o.batch));
    UM_TRY(um_cost_of_graph(&c, g.graph, u->backend));
    *flops = c.flops;
    *bytes += c.bytes;
done:
    um_umed_graph_free(&g);
    return rc;
}

static um_status cost(const um_protect_job *job, um_cost *out)
{
    um_status rc = UM_OK;
    um_umed *u = NULL;
    double s = 0, g = 0, e = 0, bytes = 0;
    UM_TRY(um_umed_create(&u, job));
    UM_TRY(phase_cost(u, UM_UMED_SURROGATE, &s, &bytes));
    UM_TRY(phase_cost(u, UM_UMED_GENERATORS, &g, &bytes));
    UM_TRY(phase_cost(u, UM_UMED_EXPORT, &e, &bytes));
    bytes += um_cost_of_params(u->contour) + um_cost_of_params(u->texture) + um_cost_of_params(u->surrogate);
    *out = (um_cost){((double)(u->o.starts * u->o.cycles) * (s + (double)u->o.g_per_s * g) + 2 * e) * (double)job->rows->n, bytes};
done:
    um_umed_free(u);
    return rc;
}

const um_protector_def um_protector_umed = {
    .name = "umed", .summary = "UMed (IJCAI 2024): contour- and texture-aware generators against a U-Net surrogate",
    .table = &um_umed_table, .groups = "umed model loss run conv", .unseen = true,
    .fit = fit, .apply = apply, .prepare = prepare, .apply_prepared = apply_prepared, .drop_prepared = drop_prepared,
    .carries = carries, .carry_in = carry_in, .compute = compute, .carry_out = carry_out, .drop_carried = drop_carried,
    .apply_bytes = apply_bytes, .bound = bound, .save = save, .load = load, .free = release, .cost = cost,
};
