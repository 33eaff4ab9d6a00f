/* LSP: linearly separable perturbations (Yu et al., KDD 2022; protectors.md 2.4). Inside and outside of the mask are two classes;
 * each has a cluster in R^d, d = channels * patches: a vertex v of the hypercube {-sep, +sep}^d and a mixing matrix A of U(-1, 1).
 * An image's point is z A + v with z ~ N(0, I) of its own; every coordinate fills one patch; the mask composes both. */
#include "protect/lsp.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"

#define S um_lsp_options
static const um_opt rows[] = {
    UM_OPT_INT_ROW(S, patch, "patch", "8", 1, 1024, "pixels", "side of the constant patches"),
    UM_OPT_REAL_ROW(S, class_sep, "class_sep", "10", 0, 1e6, "", "distance of the cluster centres from 0 along every axis"),
    UM_OPT_ENUM_ROW(S, mix, "mix", "literal", "literal cifar_equiv",
                    "mixing matrix: U(-1,1), or scaled by sqrt(48/d) as its spread is at 32 pixels"),
    UM_OPT_ENUM_ROW(S, scale_scope, "scale_scope", "composite", "composite per_region",
                    "what is scaled: the whole noise, or each region"),
    UM_NOISE_ROWS(S, bound),
};
#undef S
static const um_opt_table table = UM_OPT_TABLE("lsp", um_lsp_options, rows);

enum { MOST_PATCHES = 16384 }; /* 2 GiB of mixing matrices */

void um_lsp_free(void *maker)
{
    um_lsp *l = maker;
    if (!l)
        return;
    um_free(l->vertex);
    um_free(l->mix);
    um_free(l->z);
    um_free(l->sample);
    um_free(l);
}

/* Vertex of a cluster; attempt: so that both can differ. */
static void draw_vertex(um_lsp *l, int cluster, uint32_t attempt)
{
    float *v = l->vertex + cluster * l->d;
    um_rng_fill_uniform(v, l->d, -1, 1, l->seed, UM_RNG_LSP_VERTEX, (uint64_t)cluster, attempt);
    for (int64_t i = 0; i < l->d; i++)
        v[i] = (float)(v[i] < 0 ? -l->o.class_sep : l->o.class_sep);
}

um_status um_lsp_create(um_lsp **out, const um_lsp_options *o, uint64_t seed, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    um_lsp *l = NULL;
    double patches = ceil((double)h / (double)o->patch) * ceil((double)w / (double)o->patch) * (double)c;
    if (patches > MOST_PATCHES)
        return um_fail(UM_E_DATA, "lsp: %ldx%ldx%ld images have %.0f patches of side %ld, whose mixing matrices would take %.0f GB; use a "
                       "larger lsp.patch, or for archives archive.apply = resampled", (long)h, (long)w, (long)c, patches, (long)o->patch,
                       8e-9 * patches * patches);
    UM_TRY(UM_NEW(l));
    *l = (um_lsp){.o = *o, .seed = seed, .gh = (h + o->patch - 1) / o->patch, .gw = (w + o->patch - 1) / o->patch, .c = c};
    l->d = l->gh * l->gw * c;
    UM_TRY(UM_NEW_ARRAY(l->vertex, 2 * l->d));
    UM_TRY(UM_NEW_ARRAY(l->mix, 2 * l->d * l->d));
    UM_TRY(UM_NEW_ARRAY(l->z, l->d));
    UM_TRY(UM_NEW_ARRAY(l->sample, 2 * l->d));
    float spread = o->mix == UM_LSP_CIFAR_EQUIV ? (float)sqrt(48.0 / (double)l->d) : 1;
    for (int k = 0; k < 2; k++) {
        draw_vertex(l, k, 0);
        um_rng_fill_uniform(l->mix + k * l->d * l->d, l->d * l->d, -spread, spread, seed, UM_RNG_LSP_MIX, (uint64_t)k, 0);
    }
    for (uint32_t attempt = 1; o->class_sep > 0 && !memcmp(l->vertex, l->vertex + l->d, (size_t)l->d * sizeof *l->vertex);
         attempt++)
        draw_vertex(l, 1, attempt);
    *out = l;
    l = NULL;
done:
    um_lsp_free(l);
    return rc;
}

void um_lsp_sample(um_lsp *l, uint64_t id, int cluster, float *out)
{
    const float *a = l->mix + cluster * l->d * l->d;
    um_rng_fill_normal(l->z, l->d, 0, 1, l->seed, UM_RNG_LSP_SAMPLE, id, (uint32_t)cluster);
    memcpy(out, l->vertex + cluster * l->d, (size_t)l->d * sizeof *out);
    for (int64_t i = 0; i < l->d; i++)
        for (int64_t k = 0; k < l->d; k++)
            out[k] += l->z[i] * a[i * l->d + k];
}

static um_status pattern(void *maker, const um_dataset *d, int64_t row, float *out)
{
    um_lsp *l = maker;
    const uint8_t *mask = um_dataset_mask(d, row);
    uint64_t id = um_text_hash(d->ids[row]);
    for (int k = 0; k < 2; k++)
        um_lsp_sample(l, id, k, l->sample + k * l->d);
    for (int64_t i = 0; i < d->h; i++) {
        const float *from = l->sample + i / l->o.patch * l->gw * l->c;
        for (int64_t j = 0, end = l->o.patch; j < d->w; j++) {
            if (j == end)
                from += l->c, end += l->o.patch;
            const float *patch = from + (mask[i * d->w + j] ? l->d : 0);
            for (int64_t k = 0; k < l->c; k++)
                *out++ = patch[k];
        }
    }
    return UM_OK;
}

/* ---- the protector ---- */

static um_status make(const um_protect_job *job, uint64_t seed, const double *numbers, void **maker)
{
    (void)numbers;
    return um_lsp_create((um_lsp **)maker, um_settings_get(job->settings, "lsp"), seed, job->data->h, job->data->w, job->data->c);
}

static um_status resize(void *maker, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    um_lsp *l = maker, *other = NULL, was = *l;
    UM_TRY(um_lsp_create(&other, &was.o, was.seed, h, w, c));
    *l = *other;
    *other = was;
done:
    um_lsp_free(other);
    return rc;
}

static const um_noise_kind kind = {.name = "lsp", .pattern = pattern, .make = make, .resize = resize, .free = um_lsp_free};

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    const um_lsp_options *o = um_settings_get(job->settings, "lsp");
    (void)curves;
    return um_noise_fit(job, &kind, &o->bound, o->scale_scope == 1, state);
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    const um_lsp_options *o = um_settings_get(job->settings, "lsp");
    return um_noise_load(job, &kind, &o->bound, o->scale_scope == 1, path, state);
}

static um_status apply_bytes(void *state, int64_t h, int64_t w, int64_t c, double *out)
{
    const um_lsp *l = ((const um_noise *)state)->maker;
    double d = (double)(((h + l->o.patch - 1) / l->o.patch) * ((w + l->o.patch - 1) / l->o.patch) * c);
    *out = (2 * d * d + 5 * d) * sizeof(float);
    return UM_OK;
}

static double bound(const um_settings *settings)
{
    const um_lsp_options *o = um_settings_get(settings, "lsp");
    return um_noise_declared(&o->bound);
}

static const char *bound_name(const um_settings *settings)
{
    const um_lsp_options *o = um_settings_get(settings, "lsp");
    return um_noise_bound_name(&o->bound);
}

const um_protector_def um_protector_lsp = {
    .name = "lsp",
    .summary = "linearly separable perturbations (Yu et al., KDD 2022): patch noise, one cluster inside, one outside",
    .table = &table,
    .groups = "lsp",
    .unseen = true,
    .fit = fit,
    .apply = um_noise_apply,
    .bound = bound,
    .apply_bytes = apply_bytes,
    .bound_name = bound_name,
    .save = um_noise_save,
    .load = load,
    .free = um_noise_free,
};
