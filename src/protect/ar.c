/* AR: autoregressive perturbations (Sandoval-Segura et al., NeurIPS 2022; protectors.md 2.5). Inside and outside of the mask are
 * two
 * processes. A signal starts as N(0,1) and from (2,2) on, in raster order, every value is the sum of its 3x3 window so far,
 *     s(i,j) = sum over taps of b[u][v] s(i-2+u, j-2+v), b[2][2] = 0, the others adding up to 1;
 * its first `crop` rows and columns are cut off. Candidates b ~ N(0,1)/sum are screened for stable signals, and for being told
 * apart
 * by the filters of the processes accepted before. */
#include "protect/ar.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"

#define S um_ar_options
static const um_opt rows[] = {
    UM_OPT_INT_ROW(S, crop, "crop", "4", 2, 64, "pixels", "rows and columns cut off at the start of a signal"),
    UM_OPT_REAL_ROW(S, cap, "cap", "0", 0, 1e9, "",
                    "largest l2 norm of a trial signal; 0: 50 at 32x32x3, growing with the root of the values"),
    UM_OPT_REAL_ROW(S, resp_min, "resp_min", "0", 0, 1e9, "",
                    "smallest response of the other filter to a trial signal of norm 1; 0: 10 at 32x32, growing with the side"),
    UM_OPT_BOOL_ROW(S, noise, "noise", "false", "N(0,1) is added at every step"),
    UM_OPT_INT_ROW(S, max_tries, "max_tries", "1000000", 1, 1e12, "", "candidates looked at per process before giving up"),
    UM_NOISE_ROWS(S, bound),
};
#undef S
static const um_opt_table table = UM_OPT_TABLE("ar", um_ar_options, rows);

enum { TRIALS = 3 };
static const double peak_over_rms = 20;

void um_ar_free(void *maker)
{
    um_ar *a = maker;
    if (!a)
        return;
    um_free(a->start);
    um_free(a->drive);
    um_free(a->full);
    um_free(a->signal);
    um_free(a);
}

/* One channel of a signal with its border, into a->full. */
static bool run_channel(um_ar *a, const double *b)
{
    int64_t h = a->h + a->o.crop, w = a->w + a->o.crop;
    double *s = a->full;
    for (int64_t i = 0; i < h * w; i++)
        s[i] = (double)a->start[i];
    for (int64_t i = 2; i < h; i++) {
        for (int64_t j = 2; j < w; j++) {
            double sum = a->drive ? (double)a->drive[i * w + j] : 0;
            for (int t = 0; t < UM_AR_TAPS - 1; t++)
                sum += b[t] * s[(i - 2 + t / 3) * w + j - 2 + t % 3];
            s[i * w + j] = sum;
        }
        if (!(fabs(s[i * w + w - 1]) < 1e100)) /* a signal that leaves the range does so for good */
            return false;
    }
    return true;
}

bool um_ar_signal(um_ar *a, const um_ar_process *p, uint64_t id, um_rng_purpose purpose, uint32_t stream, double *out)
{
    int64_t h = a->h + a->o.crop, w = a->w + a->o.crop;
    for (int64_t k = 0; k < a->c; k++) {
        um_rng_fill_normal(a->start, h * w, 0, 1, a->seed, purpose, id, stream * UM_AR_CHANNELS + (uint32_t)k);
        if (a->drive)
            um_rng_fill_normal(a->drive, h * w, 0, 1, a->seed, UM_RNG_AR_NOISE, id, stream * UM_AR_CHANNELS + (uint32_t)k);
        if (!run_channel(a, p->b[k]))
            return false;
        for (int64_t i = 0; i < a->h; i++)
            for (int64_t j = 0; j < a->w; j++)
                out[(i * a->w + j) * a->c + k] = a->full[(i + a->o.crop) * w + j + a->o.crop];
    }
    return true;
}

double um_ar_response(const um_ar_process *p, const double *s, int64_t h, int64_t w, int64_t c)
{
    double norm = 0, sum = 0;
    for (int64_t i = 0; i < h * w * c; i++)
        norm += s[i] * s[i];
    for (int64_t i = 2; i < h; i++)
        for (int64_t j = 2; j < w; j++)
            for (int64_t k = 0; k < c; k++) {
                double r = -s[(i * w + j) * c + k];
                for (int t = 0; t < UM_AR_TAPS - 1; t++)
                    r += p->b[k][t] * s[((i - 2 + t / 3) * w + j - 2 + t % 3) * c + k];
                sum += r > 0 ? r : 0;
            }
    return norm > 0 ? sum / sqrt(norm) : 0;
}

static double cap_of(const um_ar *a)
{
    return a->o.cap > 0 ? a->o.cap : 50 * sqrt((double)(a->h * a->w * a->c) / (32 * 32 * 3));
}

static double least_response(const um_ar *a)
{
    return a->o.resp_min > 0 ? a->o.resp_min : 10 * sqrt((double)(a->h * a->w)) / 32;
}

/* Stable on all trial signals, and seen by the filters of the `n` processes before. */
static bool acceptable(um_ar *a, const um_ar_process *p, uint64_t candidate, int n)
{
    int64_t values = a->h * a->w * a->c;
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        if (!um_ar_signal(a, p, candidate, UM_RNG_AR_TRIAL, trial, a->signal))
            return false;
        double squares = 0, peak = 0;
        for (int64_t i = 0; i < values; i++) {
            squares += a->signal[i] * a->signal[i];
            peak = fmax(peak, fabs(a->signal[i]));
        }
        if (!(sqrt(squares) <= cap_of(a)) || !(peak <= peak_over_rms * sqrt(squares / (double)values)))
            return false;
    }
    for (int i = 0; i < n; i++)
        if (um_ar_response(&a->process[i], a->signal, a->h, a->w, a->c) < least_response(a))
            return false;
    return true;
}

static void draw_process(const um_ar *a, uint64_t candidate, um_ar_process *p)
{
    float draw[UM_AR_CHANNELS * UM_AR_TAPS];
    um_rng_fill_normal(draw, UM_AR_CHANNELS * UM_AR_TAPS, 0, 1, a->seed, UM_RNG_AR_PROCESS, candidate, 0);
    for (int k = 0; k < UM_AR_CHANNELS; k++) {
        double sum = 0;
        for (int t = 0; t < UM_AR_TAPS - 1; t++)
            sum += (double)draw[k * UM_AR_TAPS + t];
        for (int t = 0; t < UM_AR_TAPS; t++)
            p->b[k][t] = t == UM_AR_TAPS - 1 ? 0 : (double)draw[k * UM_AR_TAPS + t] / sum;
    }
}

static um_status search(um_ar *a)
{
    uint64_t candidate = 0;
    for (int n = 0; n < 2; n++) {
        int64_t tries = 0;
        do {
            if (tries++ == a->o.max_tries)
                return um_fail(UM_E_NUMERIC,
                               "ar: none of %ld candidates makes a stable process that can be told apart; raise ar.cap "
                               "(%.4g) or lower ar.resp_min (%.4g)",
                               (long)a->o.max_tries, cap_of(a), least_response(a));
            draw_process(a, candidate, &a->process[n]);
        } while (!acceptable(a, &a->process[n], candidate++, n));
    }
    a->tries = (int64_t)candidate;
    return UM_OK;
}

/* Without its processes. */
static um_status ar_new(um_ar **out, const um_ar_options *o, uint64_t seed, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    um_ar *a = NULL;
    if (c > UM_AR_CHANNELS)
        return um_fail(UM_E_UNSUPPORTED, "ar: images of %ld channels; at most %d", (long)c, UM_AR_CHANNELS);
    UM_TRY(UM_NEW(a));
    *a = (um_ar){.o = *o, .seed = seed, .h = h, .w = w, .c = c};
    UM_TRY(UM_NEW_ARRAY(a->full, (h + o->crop) * (w + o->crop)));
    UM_TRY(UM_NEW_ARRAY(a->signal, 2 * h * w * c));
    UM_TRY(UM_NEW_ARRAY(a->start, (h + o->crop) * (w + o->crop)));
    if (o->noise)
        UM_TRY(UM_NEW_ARRAY(a->drive, (h + o->crop) * (w + o->crop)));
    *out = a;
    a = NULL;
done:
    um_ar_free(a);
    return rc;
}

um_status um_ar_create(um_ar **out, const um_ar_options *o, uint64_t seed, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    um_ar *a = NULL;
    UM_TRY(ar_new(&a, o, seed, h, w, c));
    UM_TRY(search(a));
    um_log(UM_LOG_INFO, "ar: two processes after %ld candidates", (long)a->tries);
    *out = a;
    a = NULL;
done:
    um_ar_free(a);
    return rc;
}

static um_status pattern(void *maker, const um_dataset *d, int64_t row, float *out)
{
    um_ar *a = maker;
    const uint8_t *mask = um_dataset_mask(d, row);
    uint64_t id = um_text_hash(d->ids[row]);
    int64_t values = a->h * a->w * a->c;
    for (int k = 0; k < 2; k++)
        if (!um_ar_signal(a, &a->process[k], id, UM_RNG_AR_START, (uint32_t)k, a->signal + k * values))
            return um_fail(UM_E_NUMERIC, "ar: the signal of \"%s\" leaves the range of numbers", d->ids[row]);
    for (int64_t i = 0; i < values; i++)
        out[i] = (float)a->signal[(mask[i / a->c] ? values : 0) + i];
    return UM_OK;
}

/* ---- the protector ---- */

static um_status make(const um_protect_job *job, uint64_t seed, const double *numbers, void **maker)
{
    um_status rc = UM_OK;
    const um_ar_options *o = um_settings_get(job->settings, "ar");
    const um_dataset *d = job->data;
    um_ar *a = NULL;
    UM_TRY(numbers ? ar_new(&a, o, seed, d->h, d->w, d->c) : um_ar_create(&a, o, seed, d->h, d->w, d->c));
    if (numbers)
        memcpy(a->process, numbers, sizeof a->process);
    *maker = a;
done:
    return rc;
}

static um_status resize(void *maker, int64_t h, int64_t w, int64_t c)
{
    um_status rc = UM_OK;
    um_ar *a = maker, *other = NULL, was = *a;
    UM_TRY(ar_new(&other, &was.o, was.seed, h, w, c));
    memcpy(other->process, was.process, sizeof was.process);
    *a = *other;
    *other = was;
done:
    um_ar_free(other);
    return rc;
}

static double *numbers_of(void *maker)
{
    return ((um_ar *)maker)->process[0].b[0];
}

static const um_noise_kind kind = {.name = "ar", .pattern = pattern, .make = make, .resize = resize, .numbers = numbers_of,
                                   .n_numbers = 2 * UM_AR_CHANNELS * UM_AR_TAPS, .free = um_ar_free};

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    const um_ar_options *o = um_settings_get(job->settings, "ar");
    (void)curves;
    return um_noise_fit(job, &kind, &o->bound, false, state);
}

static um_status load(const um_protect_job *job, const char *path, void **state)
{
    const um_ar_options *o = um_settings_get(job->settings, "ar");
    return um_noise_load(job, &kind, &o->bound, false, path, state);
}

static double bound(const um_settings *settings)
{
    const um_ar_options *o = um_settings_get(settings, "ar");
    return um_noise_declared(&o->bound);
}

static const char *bound_name(const um_settings *settings)
{
    const um_ar_options *o = um_settings_get(settings, "ar");
    return um_noise_bound_name(&o->bound);
}

const um_protector_def um_protector_ar = {
    .name = "ar",
    .summary = "autoregressive perturbations (Sandoval-Segura et al., NeurIPS 2022): one process inside, one outside",
    .table = &table,
    .groups = "ar",
    .unseen = true,
    .fit = fit,
    .apply = um_noise_apply,
    .bound = bound,
    .bound_name = bound_name,
    .save = um_noise_save,
    .load = load,
    .free = um_noise_free,
};
