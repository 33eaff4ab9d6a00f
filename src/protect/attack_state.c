/* Fits of TAP and SEP as states: for the images of the fit, and in files for images that no fit saw. */
#include <string.h>

#include "base/mem.h"
#include "io/checkpoint.h"
#include "models/model.h"
#include "protect/attack.h"
#include "train/options.h"

/* "tap-state-1 channels=1 tap.steps=3 ...": a state fits only settings that give the same text. */
static um_status describe(um_text *out, const char *name, const char *groups, const um_settings *settings, int64_t c)
{
    um_status rc = UM_OK;
    um_text changes = {0};
    UM_TRY(um_settings_changes(settings, groups, &changes));
    for (size_t i = 0; i < changes.n; i++)
        if (changes.data[i] == '\n')
            changes.data[i] = i + 1 < changes.n ? ' ' : 0;
    UM_TRY(um_text_add(out, "%s-state-1 channels=%ld %s", name, (long)c, um_text_get(&changes)));
done:
    um_text_free(&changes);
    return rc;
}

void um_attack_state_free(void *state)
{
    um_attack_state *s = state;
    if (!s)
        return;
    um_delta_table_free(s->table);
    um_segmenter_free(s->surrogate);
    um_input_grad_free(s->grad);
    um_params_free(s->params);
    for (int i = 0; i < s->n_arrays; i++)
        um_free(s->array[i].data);
    um_text_free(&s->fingerprint);
    um_free(s);
}

um_status um_attack_state_of_fit(um_attack_state **out, const char *name, const char *groups, um_attack_fn *attack, um_attack *a,
                                 const um_training_array *arrays, int n_arrays)
{
    um_status rc = UM_OK;
    um_attack_state *s = NULL;
    UM_TRY(UM_NEW(s));
    s->name = name;
    s->attack = attack;
    s->job = (um_protect_job){.settings = a->job->settings, .backend = a->job->backend, .seed = a->job->seed};
    UM_TRY(describe(&s->fingerprint, name, groups, a->job->settings, a->job->data->c));
    for (; s->n_arrays < n_arrays; s->n_arrays++) {
        um_training_array *to = &s->array[s->n_arrays];
        size_t bytes = um_dtype_bytes(arrays[s->n_arrays].dtype);
        *to = arrays[s->n_arrays];
        to->data = NULL;
        UM_TRY(um_alloc(&to->data, (size_t)to->n, bytes));
        memcpy(to->data, arrays[s->n_arrays].data, (size_t)to->n * bytes);
    }
    s->table = a->table;
    s->surrogate = a->surrogate;
    a->table = NULL;
    a->surrogate = NULL;
    *out = s;
    s = NULL;
done:
    um_attack_state_free(s);
    return rc;
}

/* The surrogate, the seed in two halves, which a double holds exactly, and the method's own arrays. */
static um_training_state stored(um_attack_state *s, um_params *params, double seed[2], um_curves *curves)
{
    um_training_state t = {.fingerprint = um_text_get(&s->fingerprint), .keep = true, .n_nets = 1, .net_name = {"surrogate"},
                           .net = {params}, .curves = curves, .n_arrays = 1 + s->n_arrays,
                           .array = {{.name = "seed", .dtype = UM_F64, .data = seed, .n = 2}, s->array[0], s->array[1]}};
    return t;
}

um_status um_attack_state_save(void *state, const um_dataset *fitted, const char *path)
{
    um_attack_state *s = state;
    um_curves none = {0};
    double seed[2] = {(double)(s->job.seed >> 32), (double)(s->job.seed & 0xffffffff)};
    um_training_state t = stored(s, s->surrogate ? s->surrogate->params : s->params, seed, &none);
    t.h = fitted->h, t.w = fitted->w;
    return um_training_save(&t, path);
}

/* Images per batch: fewer of larger ones, so that memory does not grow with the area. */
static int64_t batch_of(const um_attack_state *s, int64_t h, int64_t w)
{
    int64_t n = s->o.batch * 224 * 224 / (h * w);
    return n < 1 ? 1 : n > s->o.batch ? s->o.batch : n;
}

static um_status grad_config(um_input_grad_config *out, const um_attack_state *s, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    um_input_grad_config c = {.net = um_model_configure(um_settings_get(s->job.settings, "model"), s->c), .params = s->params, .h = h,
                              .w = w, .max_batch = batch_of(s, h, w), .kind = s->kind, .balance = s->balance,
                              .loss = um_loss_attr(um_settings_get(s->job.settings, "loss"))};
    UM_TRY(um_model_find(&c.model, "unet"));
    *out = c;
done:
    return rc;
}

/* The gradient graph for images of this size. The surrogate is convolutional: its weights serve every size. */
static um_status ready(um_attack_state *s, int64_t h, int64_t w)
{
    um_status rc = UM_OK;
    um_input_grad_config c;
    if (s->grad && s->h == h && s->w == w)
        return UM_OK;
    um_input_grad_free(s->grad);
    s->grad = NULL;
    UM_TRY(grad_config(&c, s, h, w));
    UM_TRY(um_input_grad_create(&s->grad, s->job.backend, &c));
    s->h = h, s->w = w;
done:
    return rc;
}

um_status um_attack_state_bytes(void *state, int64_t h, int64_t w, int64_t c, double *out)
{
    um_status rc = UM_OK;
    const um_attack_state *s = state;
    um_input_grad_config config;
    um_cost cost;
    UM_TRY(grad_config(&config, s, h, w));
    UM_TRY(um_input_grad_cost(&cost, s->job.backend, &config));
    double held = 0; /* what the method keeps is copied while it attacks */
    for (int i = 0; i < s->n_arrays; i++)
        held += (double)s->array[i].n * (double)um_dtype_bytes(s->array[i].dtype);
    *out = cost.bytes + 40.0 * (double)(config.max_batch * h * w * c) * (double)um_dtype_bytes(s->job.backend->real) + held;
done:
    return rc;
}

um_status um_attack_state_load(um_attack_state **out, const char *name, const char *groups, um_attack_fn *attack,
                               const um_protect_job *job, const um_attack_options *o, um_input_loss kind, bool balance, const char *path,
                               int (*lengths)(const um_attack_state *s, um_training_array array[2]))
{
    um_status rc = UM_OK;
    um_attack_state *s = NULL;
    um_curves none = {0};
    um_text was = {0};
    double seed[2] = {0};
    bool found = false;
    UM_TRY(UM_NEW(s));
    s->name = name;
    s->attack = attack;
    s->job = (um_protect_job){.settings = job->settings, .backend = job->backend};
    s->o = *o, s->kind = kind, s->balance = balance, s->c = job->data->c;
    UM_TRY(describe(&s->fingerprint, name, groups, job->settings, s->c));
    UM_TRY(um_params_create(&s->params, job->backend));
    UM_TRY(ready(s, job->data->h, job->data->w));
    int n = lengths ? lengths(s, s->array) : 0;
    for (; s->n_arrays < n; s->n_arrays++)
        UM_TRY(um_alloc(&s->array[s->n_arrays].data, (size_t)s->array[s->n_arrays].n, um_dtype_bytes(s->array[s->n_arrays].dtype)));
    um_training_state t = stored(s, s->params, seed, &none);
    UM_TRY(um_training_load(&t, path, &found));
    if (!found) {
        UM_TRY(um_checkpoint_text(path, "fingerprint", &was));
        rc = um_fail(UM_E_DATA, "%s is the state \"%s\", these settings need \"%s\"; use the protector and settings of the fit", path,
                     um_text_get(&was), um_text_get(&s->fingerprint));
        goto done;
    }
    s->job.seed = (uint64_t)seed[0] << 32 | (uint64_t)seed[1];
    *out = s;
    s = NULL;
done:
    um_text_free(&was);
    um_curves_free(&none);
    um_attack_state_free(s);
    return rc;
}

static um_status attack_some(um_attack_state *s, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    um_delta_table *table = NULL;
    um_rows own = {.n = n, .index = (int64_t *)(uintptr_t)rows}; /* only read */
    um_protect_job job = {.settings = s->job.settings, .backend = s->job.backend, .data = d, .rows = &own, .seed = s->job.seed};
    UM_TRY(UM_NEW_ARRAY(own.key, n));
    for (int64_t i = 0; i < n; i++)
        own.key[i] = um_text_hash(d->ids[rows[i]]);
    UM_TRY(s->attack(s, &job, &table));
    UM_TRY(um_delta_table_apply(table, s->name, d, rows, n, delta));
done:
    um_delta_table_free(table);
    um_free(own.key);
    return rc;
}

um_status um_attack_state_apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    um_attack_state *s = state;
    if (s->table)
        return um_delta_table_apply(s->table, s->name, d, rows, n, delta);
    if (d->c != s->c)
        return um_fail(UM_E_DATA, "%s was fitted to images of %ld channels; these have %ld", s->name, (long)s->c, (long)d->c);
    UM_TRY(ready(s, d->h, d->w));
    int64_t batch = batch_of(s, d->h, d->w), values = d->h * d->w * d->c;
    for (int64_t first = 0; first < n; first += batch)
        UM_TRY(attack_some(s, d, rows + first, n - first < batch ? n - first : batch, delta + first * values));
done:
    return rc;
}
