#include "protect/noise.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "image/metric.h"
#include "io/checkpoint.h"
#include "train/checkpoint.h"

void um_noise_free(void *state)
{
    um_noise *s = state;
    if (!s)
        return;
    if (s->maker)
        s->kind->free(s->maker);
    um_text_free(&s->fingerprint);
    um_free(s);
}

double um_noise_declared(const um_noise_bound *b)
{
    return b->mode == UM_NOISE_LINF || b->mode == UM_NOISE_L2_LINF ? b->eps : INFINITY;
}

const char *um_noise_bound_name(const um_noise_bound *b)
{
    return b->mode == UM_NOISE_PSNR && b->psnr > 0 ? "psnr" : "l2";
}

/* Scales the values where mask == inside (inside < 0: everywhere) to root mean square 1. */
static um_status normalise(float *out, const uint8_t *mask, int inside, int64_t pixels, int64_t c)
{
    double squares = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < pixels * c; i++)
        if (inside < 0 || mask[i / c] == inside)
            squares += (double)out[i] * (double)out[i], n++;
    if (n == 0)
        return UM_OK;
    if (!(squares > 0) || !isfinite(squares))
        return um_fail(UM_E_NUMERIC, "a noise pattern is zero or not finite");
    float scale = (float)(1 / sqrt(squares / (double)n));
    for (int64_t i = 0; i < pixels * c; i++)
        if (inside < 0 || mask[i / c] == inside)
            out[i] *= scale;
    return UM_OK;
}

/* The pattern of one image with root mean square 1. */
static um_status unit_pattern(const um_noise *s, const um_dataset *d, int64_t row, float *out)
{
    um_status rc = UM_OK;
    const uint8_t *mask = um_dataset_mask(d, row);
    UM_TRY(s->kind->pattern(s->maker, d, row, out));
    if (!s->per_region) {
        UM_TRY(normalise(out, mask, -1, s->h * s->w, s->c));
        goto done;
    }
    for (int inside = 0; inside < 2; inside++)
        UM_TRY(normalise(out, mask, inside, s->h * s->w, s->c));
done:
    return rc;
}

static double scaled(const um_noise *s, double unit)
{
    double v = s->rms * unit, eps = um_noise_declared(&s->bound);
    return v > eps ? eps : v < -eps ? -eps : v;
}

um_status um_noise_apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    um_status rc = UM_OK;
    um_noise *s = state;
    int64_t values = d->h * d->w * d->c;
    if (d->h != s->h || d->w != s->w || d->c != s->c) {
        UM_TRY(s->kind->resize(s->maker, d->h, d->w, d->c));
        s->h = d->h, s->w = d->w, s->c = d->c;
    }
    for (int64_t i = 0; i < n; i++) {
        UM_TRY(unit_pattern(s, d, rows[i], delta + i * values));
        for (int64_t k = 0; k < values; k++)
            delta[i * values + k] = (float)scaled(s, (double)delta[i * values + k]);
    }
done:
    return rc;
}

/* PSNR of one released image under the present rms; unit: its pattern. */
static double released_psnr(const um_noise *s, const um_dataset *d, int64_t row, const float *unit, double *linf)
{
    int64_t max = um_dataset_max(d), values = s->h * s->w * s->c;
    const uint8_t *narrow = um_dataset_image(d, row);
    const uint16_t *wide = (const void *)narrow;
    double squares = 0;
    for (int64_t i = 0; i < values; i++) {
        int64_t was = d->bits == 8 ? narrow[i] : wide[i];
        double step = (double)(um_released_value(was, (double)(float)scaled(s, (double)unit[i]), max, max) - was) / (double)max;
        squares += step * step;
        *linf = fmax(*linf, fabs(step));
    }
    return squares > 0 ? -10 * log10(squares / (double)values) : INFINITY;
}

/* Mean PSNR over the rows; images that do not change at all are left out, as in the visibility of results. */
static double mean_psnr(const um_noise *s, const um_protect_job *job, const float *units, double *linf)
{
    int64_t values = s->h * s->w * s->c, n = 0;
    double sum = 0;
    *linf = 0;
    for (int64_t i = 0; i < job->rows->n; i++) {
        double psnr = released_psnr(s, job->data, job->rows->index[i], units + i * values, linf);
        if (isfinite(psnr))
            sum += psnr, n++;
    }
    return n ? sum / (double)n : INFINITY;
}

/* Bisects the rms: PSNR falls as it grows. */
static um_status aim_at_psnr(um_noise *s, const um_protect_job *job, const float *units)
{
    enum { STEPS = 30 };
    um_status rc = UM_OK;
    double lo = 0.05 / 255, hi = 1, linf;
    for (int k = 0; k < STEPS; k++) {
        if (um_stop_requested())
            UM_TRY(um_fail(UM_E_STOPPED, "stopped by %s; the same command starts %s again", um_stop_reason(), job->label));
        s->rms = sqrt(lo * hi);
        *(mean_psnr(s, job, units, &linf) > s->bound.psnr ? &lo : &hi) = s->rms;
    }
done:
    return rc;
}

/* "lsp-state-1 lsp.patch=16 ...": what differs from the defaults; a state fits only settings that give the same text. */
static um_status describe(const um_protect_job *job, const um_noise_kind *kind, um_text *out)
{
    um_status rc = UM_OK;
    um_text changes = {0};
    UM_TRY(um_settings_changes(job->settings, kind->name, &changes));
    for (size_t i = 0; i + 1 < changes.n; i++)
        if (changes.data[i] == '\n')
            changes.data[i] = ' ';
    UM_TRY(um_text_add(out, "%s-state-1 %.*s", kind->name, (int)(changes.n ? changes.n - 1 : 0), um_text_get(&changes)));
done:
    um_text_free(&changes);
    return rc;
}

static um_status create(um_noise **out, const um_protect_job *job, const um_noise_kind *kind, const um_noise_bound *bound,
                        bool per_region)
{
    um_status rc = UM_OK;
    um_noise *s = NULL;
    UM_TRY(UM_NEW(s));
    s->kind = kind, s->bound = *bound, s->per_region = per_region, s->rms = bound->l2_rms;
    s->h = job->data->h, s->w = job->data->w, s->c = job->data->c;
    UM_TRY(describe(job, kind, &s->fingerprint));
    *out = s;
    s = NULL;
done:
    um_noise_free(s);
    return rc;
}

um_status um_noise_fit(const um_protect_job *job, const um_noise_kind *kind, const um_noise_bound *bound, bool per_region, void **state)
{
    um_status rc = UM_OK;
    const um_dataset *d = job->data;
    um_noise *s = NULL;
    float *units = NULL;
    double linf = 0, psnr;
    int64_t values = d->h * d->w * d->c;
    UM_TRY(create(&s, job, kind, bound, per_region));
    s->seed = job->seed;
    UM_TRY(kind->make(job, job->seed, NULL, &s->maker));
    UM_TRY(UM_NEW_ARRAY(units, job->rows->n * values));
    for (int64_t i = 0; i < job->rows->n; i++)
        UM_TRY(unit_pattern(s, d, job->rows->index[i], units + i * values));
    if (bound->mode == UM_NOISE_PSNR && bound->psnr > 0)
        UM_TRY(aim_at_psnr(s, job, units));
    psnr = mean_psnr(s, job, units, &linf);
    um_log(UM_LOG_INFO, "%s: noise of rms %.3f/255 (l2 %.3f), at most %.0f/255, PSNR %.2f dB", job->label, 255 * s->rms,
           s->rms * sqrt((double)values), 255 * linf, psnr);
    *state = s;
    s = NULL;
done:
    um_free(units);
    um_noise_free(s);
    return rc;
}

/* ---- states in files ---- */

enum { N_STORED = 3 }; /* rms; the seed in two halves, which a double holds exactly */

static um_training_state stored(const um_noise *s, double values[N_STORED], double *numbers, um_curves *curves)
{
    return (um_training_state){.fingerprint = um_text_get(&s->fingerprint), .keep = true, .curves = curves,
                               .n_arrays = s->kind->n_numbers > 0 ? 2 : 1,
                               .array = {{.name = "noise", .dtype = UM_F64, .data = values, .n = N_STORED},
                                         {.name = "process", .dtype = UM_F64, .data = numbers, .n = s->kind->n_numbers}}};
}

um_status um_noise_save(void *state, const um_dataset *fitted, const char *path)
{
    um_noise *s = state;
    um_curves none = {0};
    double values[N_STORED] = {s->rms, (double)(s->seed >> 32), (double)(s->seed & 0xffffffff)};
    um_training_state t = stored(s, values, s->kind->numbers ? s->kind->numbers(s->maker) : NULL, &none);
    t.h = fitted->h, t.w = fitted->w;
    return um_training_save(&t, path);
}

um_status um_noise_load(const um_protect_job *job, const um_noise_kind *kind, const um_noise_bound *bound, bool per_region,
                        const char *path, void **state)
{
    um_status rc = UM_OK;
    um_noise *s = NULL;
    um_curves none = {0};
    um_text was = {0};
    double values[N_STORED] = {0}, *numbers = NULL;
    bool found = false;
    UM_TRY(create(&s, job, kind, bound, per_region));
    UM_TRY(UM_NEW_ARRAY(numbers, kind->n_numbers));
    um_training_state t = stored(s, values, numbers, &none);
    UM_TRY(um_training_load(&t, path, &found));
    if (!found) {
        UM_TRY(um_checkpoint_text(path, "fingerprint", &was));
        rc = um_fail(UM_E_DATA, "%s is the state \"%s\", these settings need \"%s\"; use the protector and settings of the fit", path,
                     um_text_get(&was), um_text_get(&s->fingerprint));
        goto done;
    }
    s->rms = values[0];
    s->seed = (uint64_t)values[1] << 32 | (uint64_t)values[2];
    UM_TRY(kind->make(job, s->seed, kind->n_numbers > 0 ? numbers : NULL, &s->maker));
    *state = s;
    s = NULL;
done:
    um_text_free(&was);
    um_curves_free(&none);
    um_free(numbers);
    um_noise_free(s);
    return rc;
}
