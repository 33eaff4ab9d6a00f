/* The UMed protector: what the rest of the program sees of it. */
#include "protect/umed.h"

#include "base/mem.h"
#include "train/options.h"

void um_umed_free(um_umed *u)
{
    if (!u)
        return;
    um_umed_graph_free(&u->apply);
    um_params_free(u->contour);
    um_params_free(u->texture);
    um_params_free(u->surrogate);
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
    u->lanes = (int)run->lanes;
    u->h = job->data->h, u->w = job->data->w, u->c = job->data->c;
    if (u->o.lbp.interp == UM_LBP_SQUARE && u->o.lbp.p != 8) {
        rc = um_fail(UM_E_CONFIG, "umed.lbp.P = %ld: the square neighbourhood has 8 neighbours; use umed.lbp.interp = circular_bilinear",
                     (long)u->o.lbp.p);
        goto done;
    }
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

static um_status ready_to_apply(um_umed *u)
{
    um_status rc = UM_OK;
    if (u->apply.exec)
        return UM_OK;
    UM_TRY(um_umed_graph_build(&u->apply, u, UM_UMED_EXPORT, u->o.batch));
    UM_TRY(um_umed_graph_ready(&u->apply, u));
done:
    return rc;
}

static um_status apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    um_umed *u = state;
    um_umed_feed *feed = NULL;
    if (d->h != u->h || d->w != u->w || d->c != u->c)
        return um_fail(UM_E_DATA, "the generators were fitted to %ldx%ldx%ld images; these are %ldx%ldx%ld", (long)u->h, (long)u->w, (long)u->c,
                       (long)d->h, (long)d->w, (long)d->c);
    UM_TRY(ready_to_apply(u));
    for (int64_t first = 0; first < n; first += u->o.batch) {
        int64_t m = n - first < u->o.batch ? n - first : u->o.batch;
        UM_TRY(um_umed_feed_create(&feed, u, d, rows + first, m, m));
        um_batch batch;
        um_batch_set(&batch, m, 1);
        UM_TRY(um_umed_feed_upload(feed, u, &u->apply, NULL, m));
        UM_TRY(um_exec_run(u->apply.exec, &batch, 0, -1));
        UM_TRY(fetch(u, m, delta + first * u->h * u->w * u->c));
        um_umed_feed_free(feed);
        feed = NULL;
    }
done:
    um_umed_feed_free(feed);
    return rc;
}

static double bound(const um_settings *settings)
{
    const um_umed_options *o = um_settings_get(settings, "umed");
    return o->eps;
}

static um_training_state networks(um_umed *u, um_curves *curves)
{
    return (um_training_state){.fingerprint = "umed-state-1", .n_nets = 2, .net_name = {"contour", "texture"},
                               .net = {u->contour, u->texture}, .curves = curves};
}

static um_status save(void *state, const char *path)
{
    um_curves none = {0};
    um_training_state s = networks(state, &none);
    return um_training_save(&s, path);
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    um_status rc = UM_OK;
    um_umed *u = NULL;
    um_curves none = {0};
    bool found = false;
    UM_TRY(um_umed_create(&u, job));
    UM_TRY(ready_to_apply(u));
    um_training_state s = networks(u, &none);
    UM_TRY(um_training_load(&s, path, &found));
    if (!found) {
        rc = um_fail(UM_E_DATA, "%s is not a state of the protector umed", path);
        goto done;
    }
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

/* FLOPs of one image through a phase's graph. */
static double phase_flops(um_umed *u, um_umed_phase phase)
{
    um_umed_graph g = {0};
    if (um_umed_graph_build(&g, u, phase, 1) != UM_OK)
        return 0;
    double f = um_graph_flops(g.graph, 0, g.graph->n_nodes);
    um_umed_graph_free(&g);
    return f;
}

static double flops(const um_protect_job *job)
{
    um_umed *u = NULL;
    if (um_umed_create(&u, job) != UM_OK)
        return 0;
    double s = phase_flops(u, UM_UMED_SURROGATE), g = phase_flops(u, UM_UMED_GENERATORS), e = phase_flops(u, UM_UMED_EXPORT);
    double turns = (double)u->o.cycles * (s + (double)u->o.g_per_s * g) + 2 * e;
    um_umed_free(u);
    return turns * (double)job->rows->n;
}

const um_protector_def um_protector_umed = {
    .name = "umed", .summary = "UMed (IJCAI 2024): contour- and texture-aware generators against a U-Net surrogate",
    .table = &um_umed_table, .groups = "umed model loss run conv", .unseen = true,
    .fit = fit, .apply = apply, .bound = bound, .save = save, .load = load, .free = release, .flops = flops,
};
