#include "protect/attack.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "train/options.h"

static um_segmenter_config surrogate_config(const um_protect_job *job, const um_attack_options *o)
{
    const um_run_options *run = um_settings_get(job->settings, "run");
    return (um_segmenter_config){.net = um_model_configure(um_settings_get(job->settings, "model"), job->data->c),
                                 .h = job->data->h,
                                 .w = job->data->w,
                                 .max_batch = o->batch,
                                 .spread = um_spread_of(run, job->comm),
                                 .loss = um_loss_attr(um_settings_get(job->settings, "loss")),
                                 .adam = o->adam};
}

static um_input_grad_config grad_config(const um_segmenter_config *s, um_params *params, um_input_loss kind, bool balance)
{
    return (um_input_grad_config){.model = s->model,
                                  .net = s->net,
                                  .params = params,
                                  .comm = s->spread.comm,
                                  .h = s->h,
                                  .w = s->w,
                                  .max_batch = s->max_batch,
                                  .kind = kind,
                                  .loss = s->loss,
                                  .balance = balance};
}

static um_status open_networks(um_attack *a, um_input_loss kind, bool balance)
{
    um_status rc = UM_OK;
    um_segmenter_config config = surrogate_config(a->job, &a->o);
    UM_TRY(um_model_find(&config.model, "unet"));
    UM_TRY(um_spread_check(&config.spread));
    UM_TRY(um_segmenter_create(&a->surrogate, a->job->backend, &config));
    UM_TRY(um_params_init(a->surrogate->params, a->job->seed, UM_RNG_SURROGATE_INIT));
    um_input_grad_config grad = grad_config(&config, a->surrogate->params, kind, balance);
    UM_TRY(um_input_grad_create(&a->grad, a->job->backend, &grad));
    a->params = a->surrogate->params;
done:
    return rc;
}

static um_attack attack_of(const um_protect_job *job, const um_attack_options *o)
{
    const um_dataset *d = job->data;
    um_attack a = {.job = job, .o = *o, .real = job->backend->real, .pixels = d->h * d->w, .values = d->h * d->w * d->c};
    a.image_bytes = (size_t)a.values * um_dtype_bytes(a.real);
    return a;
}

static um_status open_batch(um_attack *a)
{
    um_status rc = UM_OK;
    size_t batch = (size_t)a->o.batch, plane = (size_t)a->pixels * um_dtype_bytes(a->real);
    UM_TRY(um_delta_table_create(&a->table, a->real, a->job->data, a->job->rows));
    UM_TRY(um_alloc((void **)&a->x, batch, a->image_bytes));
    UM_TRY(um_alloc((void **)&a->y, batch, plane));
    UM_TRY(um_alloc((void **)&a->v, batch, a->image_bytes));
    UM_TRY(um_alloc((void **)&a->dx, batch, a->image_bytes));
    UM_TRY(um_alloc((void **)&a->keep, batch, (size_t)a->pixels));
done:
    return rc;
}

um_status um_attack_open(um_attack *out, const um_protect_job *job, const um_attack_options *o, um_input_loss kind, bool balance)
{
    um_status rc = UM_OK;
    um_attack a = attack_of(job, o);
    if (job->rows->n == 0)
        return um_fail(UM_E_DATA, "%s: there are no images to protect", job->label);
    UM_TRY(open_networks(&a, kind, balance));
    UM_TRY(open_batch(&a));
    *out = a;
    a = (um_attack){0};
done:
    um_attack_clear(&a);
    return rc;
}

um_status um_attack_open_lent(um_attack *out, const um_protect_job *job, um_attack_state *s)
{
    um_status rc = UM_OK;
    um_attack a = attack_of(job, &s->o);
    a.o.batch = job->rows->n;
    a.params = s->params;
    a.grad = s->grad;
    a.lent = true;
    UM_TRY(open_batch(&a));
    *out = a;
    a = (um_attack){0};
done:
    um_attack_clear(&a);
    return rc;
}

void um_attack_clear(um_attack *a)
{
    um_segmenter_free(a->surrogate);
    if (!a->lent)
        um_input_grad_free(a->grad);
    um_delta_table_free(a->table);
    um_free(a->x);
    um_free(a->y);
    um_free(a->v);
    um_free(a->dx);
    um_free(a->keep);
    *a = (um_attack){0};
}

static double clip01(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

int64_t um_attack_pick(um_attack *a, int64_t first, int64_t *pick)
{
    a->n_picked = um_rows_in_batch(a->job->rows, first, a->o.batch);
    for (int64_t i = 0; i < a->n_picked; i++)
        pick[i] = first + i;
    return a->n_picked;
}

void um_attack_load_clean(um_attack *a, const int64_t *pick, int64_t n)
{
    const um_protect_job *job = a->job;
    size_t plane = (size_t)a->pixels * um_dtype_bytes(a->real);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = job->rows->index[pick[i]];
        um_row_image(job->data, row, a->real, a->x + (size_t)i * a->image_bytes);
        um_row_mask(job->data, row, a->real, a->y + (size_t)i * plane);
    }
}

/* x + delta of image `at` of the fit, in [0,1]. v may be x. */
static void perturb(const um_attack *a, const void *x, int64_t at, void *v)
{
    for (int64_t k = 0; k < a->values; k++)
        um_attack_put(a, v, k, clip01(um_attack_get(a, x, k) + um_attack_get(a, a->table->delta, at * a->values + k)));
}

void um_attack_load(um_attack *a, const int64_t *pick, int64_t n)
{
    um_attack_load_clean(a, pick, n);
    for (int64_t i = 0; i < n; i++)
        perturb(a, um_attack_image(a, a->x, i), pick[i], um_attack_image(a, a->v, i));
}

void um_attack_perturbed(const um_attack *a, const int64_t *pick, int64_t n, void *v)
{
    for (int64_t i = 0; i < n; i++) {
        char *image = um_attack_image(a, v, i);
        um_row_image(a->job->data, a->job->rows->index[pick[i]], a->real, image);
        perturb(a, image, pick[i], image);
    }
}

void um_attack_store(um_attack *a, int64_t i, int64_t at)
{
    for (int64_t k = 0; k < a->values; k++) {
        int64_t from = i * a->values + k;
        um_attack_put(a, a->table->delta, at * a->values + k, um_attack_get(a, a->v, from) - um_attack_get(a, a->x, from));
    }
}

um_training_array um_attack_table_array(const um_attack *a)
{
    return (um_training_array){.name = "delta", .dtype = a->real, .data = a->table->delta, .n = a->table->n * a->values};
}

um_status um_attack_surrogate(um_attack *a, int64_t epochs, const char *kind, const char *groups, um_fit_options hooks,
                              um_curves *curves)
{
    um_status rc = UM_OK;
    const um_protect_job *job = a->job;
    const um_run_options *run = um_settings_get(job->settings, "run");
    char print[UM_SHA256_HEX];
    bool found = false;
    um_saver_set(&a->saver, &a->state, job->comm, job->checkpoint, run->checkpoint_s, job->label);
    UM_TRY(um_saver_resume(&a->saver, job->earlier_s, &found));
    if (found)
        goto done;
    UM_TRY(um_protect_fingerprint(job, kind, groups, print));
    hooks.epochs = epochs;
    hooks.batch = a->o.batch;
    hooks.seed = job->seed;
    hooks.order = UM_RNG_SURROGATE_ORDER;
    hooks.checkpoint = job->checkpoint;
    hooks.fingerprint = print;
    hooks.checkpoint_s = run->checkpoint_s;
    hooks.label = job->label;
    UM_TRY(um_fit_run(a->surrogate, job->data, job->rows, &hooks, curves));
done:
    return rc;
}

um_status um_attack_save_stopped(um_attack *a, um_status outcome)
{
    um_status saved = outcome == UM_E_STOPPED ? um_saver_save(&a->saver) : UM_OK;
    return saved == UM_OK ? outcome : saved;
}

um_status um_attack_cost_of(um_attack_cost *out, const um_protect_job *job, const um_attack_options *o, um_input_loss kind)
{
    um_status rc = UM_OK;
    um_segmenter_config config = surrogate_config(job, o);
    um_segmenter_costs s;
    um_cost g;
    UM_TRY(um_model_find(&config.model, "unet"));
    um_input_grad_config grad = grad_config(&config, NULL, kind, false);
    UM_TRY(um_segmenter_cost(&s, job->backend, &config));
    UM_TRY(um_input_grad_cost(&g, job->backend, &grad));
    *out = (um_attack_cost){s.train, g.flops, s.predict, s.bytes + g.bytes};
done:
    return rc;
}
