#include "archive/perturb.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/enlarge.h"
#include "image/resize.h"
#include "train/checkpoint.h"

enum { SMALLEST = 16 }; /* side that every network takes */

/* The side at which resampled images are perturbed. Networks that see lesions at another scale than in their fit protect little. */
static um_status choose_side(um_perturber *p, const um_archive_options *o, const char *state)
{
    um_status rc = UM_OK;
    int64_t h, w;
    p->side = o->size;
    if (!p->resampled)
        return UM_OK;
    if (o->size > 0 && o->size < SMALLEST)
        return um_fail(UM_E_CONFIG, "archive.size = %ld: networks need %d pixels", (long)o->size, SMALLEST);
    UM_TRY(um_training_extent(state, &h, &w));
    if (o->size == 0 && (h == 0 || h != w)) {
        rc = um_fail(UM_E_CONFIG, "archive.size = 0: %s does not say one size that it was fitted at; set archive.size", state);
        goto done;
    }
    if (o->size > 0 && h > 0 && o->size != h)
        um_log(UM_LOG_WARN, "archive.size is %ld, and %s was fitted on images of %ldx%ld: lesions of another size protect little", (long)o->size, state,
               (long)h, (long)w);
    p->side = o->size > 0 ? o->size : h;
done:
    return rc;
}

um_status um_perturber_open(um_perturber *out, const um_archive_job *job, int64_t c)
{
    um_status rc = UM_OK;
    const um_archive_options *o = um_settings_get(job->settings, "archive");
    const um_export_options *e = um_settings_get(job->settings, "export");
    um_perturber p = {.settings = job->settings, .c = c, .resampled = o->apply == UM_ARCHIVE_RESAMPLED,
                      .scale = e->eps_scale};
    um_rows none = {0};
    UM_TRY(um_protector_find(&p.def, job->protector));
    if (!p.def->load) {
        rc = um_fail(UM_E_UNSUPPORTED, "protector '%s' cannot be applied to images that its fit never saw, and so not to an archive; "
                     "umed, tap, sep, lsp and ar can", p.def->name);
        goto done;
    }
    if (e->dtype != 0) {
        rc = um_fail(UM_E_UNSUPPORTED, "export.dtype = f32: released files hold integers; use \"u8\"");
        goto done;
    }
    UM_TRY(choose_side(&p, o, job->state));
    um_dataset like = {.h = p.resampled ? p.side : SMALLEST, .w = p.resampled ? p.side : SMALLEST, .c = c, .bits = 8};
    um_protect_job fit = {.settings = job->settings, .backend = job->backend, .data = &like, .rows = &none, .label = p.def->name};
    UM_TRY(p.def->load(&fit, job->state, &p.state));
    p.carries = p.def->carries && p.def->carries(p.state);
    *out = p;
done:
    return rc;
}

void um_perturber_close(um_perturber *p)
{
    if (p->state)
        p->def->free(p->state);
    *p = (um_perturber){0};
}

int64_t um_perturber_limit(const um_perturber *p, int bits)
{
    return um_protect_limit(p->def, p->settings, bits == 8 ? 255 : 65535);
}

um_status um_perturber_bytes(const um_perturber *p, int64_t h, int64_t w, double *out)
{
    *out = 0;
    um_status rc = UM_OK;
    if (p->def->apply_bytes)
        UM_TRY(p->def->apply_bytes(p->state, p->resampled ? p->side : h, p->resampled ? p->side : w, p->c, out));
    if (p->resampled)
        *out += um_enlarge_bytes(h, w, p->side, p->side, p->c) + (double)(h * w * p->c) * sizeof(float);
done:
    return rc;
}

/* A lesion that falls between the pixels that were chosen: all that hold some of it. */
static void keep_lesion(uint8_t *small, int64_t side, const uint8_t *mask, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < side * side; i++)
        if (small[i])
            return;
    for (int64_t i = 0; i < h * w; i++)
        if (mask[i])
            small[i / w * side / h * side + i % w * side / w] = mask[i];
}

/* The images and masks of a view at the size of the fit. */
static um_status shrink(um_dataset **out, const um_perturber *p, const um_dataset *view)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    size_t bytes = (size_t)(p->side * p->side * view->c) * (size_t)(view->bits / 8);
    UM_TRY(um_dataset_create(&d, view->n, p->side, p->side, view->c, view->bits));
    for (int64_t i = 0; i < view->n; i++) {
        UM_TRY(um_strdup(&d->ids[i], view->ids[i]));
        UM_TRY(um_resize((char *)d->images + (size_t)i * bytes, p->side, p->side, um_dataset_image(view, i), view->h, view->w, view->c,
                         view->bits, UM_RESIZE_BILINEAR));
        UM_TRY(um_resize(d->masks + i * p->side * p->side, p->side, p->side, um_dataset_mask(view, i), view->h, view->w, 1, 8,
                         UM_RESIZE_NEAREST));
        keep_lesion(d->masks + i * p->side * p->side, p->side, um_dataset_mask(view, i), view->h, view->w);
    }
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

um_status um_perturbation_prepare(um_perturbation *out, const um_perturber *p, const um_dataset *view)
{
    um_status rc = UM_OK;
    um_perturbation x = {0};
    UM_TRY(UM_NEW_ARRAY(x.rows, view->n));
    for (int64_t i = 0; i < view->n; i++)
        x.rows[i] = i;
    if (p->resampled && (view->h != p->side || view->w != p->side))
        UM_TRY(shrink(&x.small, p, view));
    if (p->def->prepare)
        UM_TRY(p->def->prepare(p->state, x.small ? x.small : view, x.rows, view->n, &x.prepared));
    *out = x;
    x = (um_perturbation){0};
done:
    um_perturbation_clear(&x, p);
    return rc;
}

/* How the last step of a perturbation gives its result, for the images as they were prepared. */
typedef um_status deliver(um_perturbation *x, um_perturber *p, const um_dataset *d, float *to);

static um_status apply_all(um_perturbation *x, um_perturber *p, const um_dataset *d, float *to)
{
    void *prepared = x->prepared;
    x->prepared = NULL;
    return p->def->prepare ? p->def->apply_prepared(p->state, prepared, to) : p->def->apply(p->state, d, x->rows, d->n, to);
}

static um_status bring_back(um_perturbation *x, um_perturber *p, const um_dataset *d, float *to)
{
    void *carried = x->carried;
    (void)d;
    x->carried = NULL;
    return p->def->carry_out(p->state, carried, to);
}

/* Image i in [0,1]. */
static void to_unit(float *to, const um_dataset *view, int64_t i)
{
    const void *from = um_dataset_image(view, i);
    for (int64_t k = 0; k < view->h * view->w * view->c; k++)
        to[k] = view->bits == 8 ? (float)((const uint8_t *)from)[k] / 255 : (float)((const uint16_t *)from)[k] / 65535;
}

/* To the images' own size, where the networks saw them at another. */
static um_status at_own_size(um_perturbation *x, um_perturber *p, const um_dataset *view, float *delta, deliver *give)
{
    um_status rc = UM_OK;
    const um_dataset *d = x->small ? x->small : view;
    int64_t small = d->h * d->w * d->c, large = view->h * view->w * view->c;
    float *own = NULL, *image = NULL;
    if (x->small) {
        UM_TRY(UM_NEW_ARRAY(own, view->n * small));
        UM_TRY(UM_NEW_ARRAY(image, large));
    }
    UM_TRY(give(x, p, d, own ? own : delta));
    for (int64_t i = 0; own && i < view->n; i++) {
        to_unit(image, view, i);
        UM_TRY(um_enlarge(delta + i * large, view->h, view->w, own + i * small, d->h, d->w, d->c, image));
    }
done:
    um_free(image);
    um_free(own);
    return rc;
}

um_status um_perturbation_run(um_perturbation *x, um_perturber *p, const um_dataset *view, float *delta)
{
    return at_own_size(x, p, view, delta, apply_all);
}

um_status um_perturbation_in(um_perturbation *x, um_perturber *p)
{
    void *prepared = x->prepared;
    x->prepared = NULL;
    return p->def->carry_in(p->state, prepared, &x->carried);
}

um_status um_perturbation_compute(um_perturbation *x, um_perturber *p)
{
    return p->def->compute(p->state, x->carried);
}

um_status um_perturbation_out(um_perturbation *x, um_perturber *p, const um_dataset *view, float *delta)
{
    return at_own_size(x, p, view, delta, bring_back);
}

void um_perturbation_clear(um_perturbation *x, const um_perturber *p)
{
    if (x->prepared)
        p->def->drop_prepared(x->prepared);
    if (x->carried)
        p->def->drop_carried(p->state, x->carried);
    um_dataset_free(x->small);
    um_free(x->rows);
    *x = (um_perturbation){0};
}
