#include "medlocker/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "medlocker/search_internal.h"
#include "train/pgd.h"

static const um_opt rows[] = {
    UM_OPT_ENUM_ROW(um_medlocker_options, search, "search", "bhe", UM_SEARCHES, "how places and opacities are searched"),
    UM_OPT_ENUM_ROW(um_medlocker_options, rule, "opacity_rule", "mul", UM_OPACITY_RULES,
                    "opacity of a logo pixel: alpha times its own, or the lesser of alpha and its brightness"),
    UM_OPT_ENUM_ROW(um_medlocker_options, recovery, "recovery", "approx", "approx lossless",
                    "what certificates bring back: to one grey level, or bit for bit with a residual"),
    UM_OPT_ENUM_ROW(um_medlocker_options, stop, "stop", "budget", "budget first",
                    "use the whole budget (helps other networks err), or stop at the first error"),
    UM_OPT_BOOL_ROW(um_medlocker_options, wsm, "avoid_lesions", "true", "keep the logo off the lesions"),
    UM_OPT_INT_ROW(um_medlocker_options, alpha_low, "alpha.low", "51", 0, 255, "", "least opacity"),
    UM_OPT_INT_ROW(um_medlocker_options, alpha_high, "alpha.high", "166", 0, 254, "",
                   "largest; up to 170 recovery is within one grey level"),
    UM_OPT_REAL_ROW(um_medlocker_options, ratio, "ratio", "4", 1, 64, "", "image side over logo side"),
    UM_OPT_REAL_ROW(um_medlocker_options, ratio_most, "ratio_most", "8", 1, 64, "",
                    "how small the logo may become where lesions leave no room"),
    UM_OPT_INT_ROW(um_medlocker_options, min_area, "wsm.min_area", "4", 1, 1000000, "pixels", "smaller lesions are no lesions"),
    UM_OPT_INT_ROW(um_medlocker_options, dilate, "wsm.dilate", "2", 0, 1000, "pixels", "added to every side of a lesion's box"),
    UM_OPT_INT_ROW(um_medlocker_options, cam_threshold, "wsm.cam_threshold", "150", 1, 255, "",
                   "Grad-CAM at or above this is lesion, of 255; higher leaves more room"),
    {"wsm.model", UM_OPT_T_TEXT, offsetof(um_medlocker_options, lesion_model), "", 0, 0, NULL, "",
     "model file of a segmenter that shows lesions where no mask does (`umed exploit --save-model`), before Grad-CAM", true},
    UM_OPT_INT_ROW(um_medlocker_options, population, "bhe.population", "50", 2, 100000, "", "individuals"),
    UM_OPT_INT_ROW(um_medlocker_options, generations, "bhe.generations", "3", 0, 10000, "", "generations"),
    UM_OPT_INT_ROW(um_medlocker_options, hops, "bhe.hops", "3", 1, 1000, "", "hops of an individual in a generation"),
    UM_OPT_REAL_ROW(um_medlocker_options, crossover, "bhe.crossover", "0.9", 0, 1, "", "share of genes that come from the mutant"),
    UM_OPT_REAL_ROW(um_medlocker_options, temperature, "bhe.temperature", "1", 1e-9, 1e9, "",
                    "of the hops, in units of the margin"),
    UM_OPT_REAL_ROW(um_medlocker_options, shrink, "bhe.shrink", "0.4", 1e-3, 1, "",
                    "factor of the hop width from one generation to the next; 1: as published"),
    UM_OPT_REAL_ROW(um_medlocker_options, elite, "bhe.elite", "0.1", 1e-6, 1, "",
                    "share of the population that a generation starts from; 1: as published"),
    UM_OPT_INT_ROW(um_medlocker_options, budget, "budget", "0", 0, 100000000, "", "candidates of random; 0: as many as bhe has"),
    UM_OPT_INT_ROW(um_medlocker_options, restarts, "grad.restarts", "8", 1, 1000, "", "starting points"),
    UM_OPT_INT_ROW(um_medlocker_options, steps, "grad.steps", "30", 0, 100000, "", "Adam steps of each"),
    {"time", UM_OPT_T_INT, offsetof(um_medlocker_options, time), "0", 0, 4e12, NULL, "s", "time in the certificates, unix; 0: now",
     true},
};
const um_opt_table um_medlocker_table = UM_OPT_TABLE("medlocker", um_medlocker_options, rows);

int64_t um_search_budget(const um_medlocker_options *o)
{
    return o->population * (1 + o->generations * (o->hops + 1));
}

void um_targets_free(um_targets *t)
{
    for (int i = 0; i < t->n; i++) {
        um_input_grad_free(t->grad[i]);
        um_segmenter_free(t->net[i]);
    }
    *t = (um_targets){0};
}

um_status um_targets_prepare(um_targets *t, um_backend *backend, const um_medlocker_options *o)
{
    um_status rc = UM_OK;
    for (int i = 0; i < t->n && o->search == UM_SEARCH_GRAD; i++) {
        const um_segmenter_config *c = &t->net[i]->config;
        UM_TRY(um_input_grad_create(&t->grad[i], backend,
                                    &(um_input_grad_config){.model = c->model,
                                                            .net = c->net,
                                                            .params = t->net[i]->params,
                                                            .h = c->h,
                                                            .w = c->w,
                                                            .max_batch = o->restarts,
                                                            .kind = UM_INPUT_CLASS,
                                                            .class_loss = UM_CLASS_MARGIN}));
    }
done:
    return rc;
}

/* ---- scores ---- */

static double margin_of(const float *z, int label, int64_t classes)
{
    double rival = -INFINITY;
    for (int64_t k = 0; k < classes; k++)
        rival = k != label && (double)z[k] > rival ? (double)z[k] : rival;
    return (double)z[label] - rival;
}

um_status um_search_margins(const um_search_job *job, const um_theta *t, int64_t n, double *margin)
{
    um_status rc = UM_OK;
    const um_bytes *image = job->image;
    int64_t size = image->h * image->w * image->c;
    uint8_t *marked = NULL;
    float *z = NULL;
    UM_TRY(UM_NEW_ARRAY(marked, n * size));
    for (int64_t i = 0; i < n; i++) {
        memcpy(marked + i * size, image->data, (size_t)size);
        UM_TRY(um_blend(&(um_bytes){marked + i * size, image->h, image->w, image->c}, job->logo, &t[i],
                        (um_opacity_rule)job->o->rule));
        margin[i] = 0;
    }
    for (int m = 0; m < job->targets->n; m++) {
        um_segmenter *net = job->targets->net[m];
        int64_t classes = net->config.net.out_ch;
        um_free(z);
        z = NULL;
        UM_TRY(UM_NEW_ARRAY(z, n * classes));
        UM_TRY(um_classify_bytes(net, marked, n, z));
        for (int64_t i = 0; i < n; i++)
            margin[i] += margin_of(z + i * classes, job->label, classes) / job->targets->n;
    }
done:
    um_free(z);
    um_free(marked);
    return rc;
}

um_status um_search_score(const um_search_job *job, um_candidate *list, int64_t n, um_candidate *best, int64_t *forwards)
{
    um_status rc = UM_OK;
    um_theta *t = NULL;
    double *margin = NULL;
    UM_TRY(UM_NEW_ARRAY(t, n));
    UM_TRY(UM_NEW_ARRAY(margin, n));
    for (int64_t i = 0; i < n; i++)
        t[i] = list[i].t;
    UM_TRY(um_search_margins(job, t, n, margin));
    for (int64_t i = 0; i < n; i++) {
        list[i].margin = margin[i];
        if (margin[i] < best->margin)
            *best = list[i];
    }
    *forwards += n;
done:
    um_free(margin);
    um_free(t);
    return rc;
}

/* ---- candidates ---- */

int um_search_clamp_alpha(const um_medlocker_options *o, double alpha)
{
    double a = floor(alpha + 0.5);
    return (int)(a < (double)o->alpha_low ? (double)o->alpha_low : a > (double)o->alpha_high ? (double)o->alpha_high : a);
}

static double symmetric(uint32_t word, double half)
{
    return half * (2 * (double)um_rng_unit(word) - 1);
}

um_theta um_search_draw(const um_search_job *job, uint32_t index)
{
    const um_places *p = job->places;
    uint32_t words[4];
    um_rng_words(job->seed, UM_RNG_MARK_START, index, job->key, 0, words);
    int64_t at = p->at[(((uint64_t)words[0] << 32) | words[1]) % (uint64_t)p->n],
            range = job->o->alpha_high - job->o->alpha_low + 1;
    return (um_theta){(int)(job->o->alpha_low + (int64_t)(words[2] % (uint64_t)range)), at / p->w, at % p->w};
}

/* scale: of the hop's width. */
static um_theta hop_from(const um_search_job *job, const um_theta *t, const uint32_t words[4], double scale)
{
    um_theta q = {um_search_clamp_alpha(job->o, t->alpha + symmetric(words[0], 20 * scale)),
                  (int64_t)floor((double)t->y + symmetric(words[1], scale * 50 * (double)job->image->h / 224) + 0.5),
                  (int64_t)floor((double)t->x + symmetric(words[2], scale * 50 * (double)job->image->w / 224) + 0.5)};
    um_places_project(job->places, &q.y, &q.x);
    return q;
}

static um_theta cross(const um_search_job *job, const um_theta *parent, const um_theta *mutant, const uint32_t words[4])
{
    int forced = (int)(words[3] % 3);
    bool take[3];
    for (int k = 0; k < 3; k++)
        take[k] = k == forced || (double)um_rng_unit(words[k]) < job->o->crossover;
    um_theta q = {take[0] ? mutant->alpha : parent->alpha, take[1] ? mutant->y : parent->y, take[2] ? mutant->x : parent->x};
    um_places_project(job->places, &q.y, &q.x);
    return q;
}

/* ---- the population ---- */

enum { GENES = 3 };

typedef struct population {
    const um_search_job *job;
    um_candidate *now, *walker, *mutant, *trial; /* [n] each */
    int64_t n, forwards;
    um_candidate best;
} population;

static bool over(const population *p)
{
    return p->job->o->stop == 1 && p->best.margin < 0;
}

static um_status hop_all(population *p, uint32_t generation, uint32_t hop)
{
    um_status rc = UM_OK;
    uint32_t words[4];
    uint32_t stage = generation * 4096 + hop;
    double scale = pow(p->job->o->shrink, generation - 1);
    for (int64_t i = 0; i < p->n; i++) {
        um_rng_words(p->job->seed, UM_RNG_MARK_HOP, (uint32_t)i, p->job->key, stage, words);
        p->trial[i].t = hop_from(p->job, &p->walker[i].t, words, scale);
    }
    UM_TRY(um_search_score(p->job, p->trial, p->n, &p->best, &p->forwards));
    for (int64_t i = 0; i < p->n; i++) {
        um_rng_words(p->job->seed, UM_RNG_MARK_HOP, (uint32_t)i, p->job->key, stage, words);
        double delta = p->trial[i].margin - p->walker[i].margin;
        if (delta < 0 || (double)um_rng_unit(words[3]) < exp(-delta / p->job->o->temperature))
            p->walker[i] = p->trial[i];
        if (p->trial[i].margin < p->mutant[i].margin)
            p->mutant[i] = p->trial[i];
    }
done:
    return rc;
}

static int by_margin(const void *a, const void *b)
{
    const um_candidate *p = a, *q = b;
    if (p->margin != q->margin)
        return p->margin < q->margin ? -1 : 1;
    const int64_t u[] = {p->t.alpha, p->t.y, p->t.x}, v[] = {q->t.alpha, q->t.y, q->t.x};
    for (int k = 0; k < GENES; k++)
        if (u[k] != v[k])
            return u[k] < v[k] ? -1 : 1;
    return 0;
}

/* Only the best go on, as many times as it takes. */
static void select_best(population *p)
{
    int64_t n = (int64_t)ceil(p->job->o->elite * (double)p->n);
    if (n >= p->n)
        return;
    qsort(p->now, (size_t)p->n, sizeof *p->now, by_margin);
    for (int64_t i = n; i < p->n; i++)
        p->now[i] = p->now[i % n];
}

static um_status generation(population *p, uint32_t g)
{
    um_status rc = UM_OK;
    select_best(p);
    memcpy(p->walker, p->now, (size_t)p->n * sizeof *p->now);
    for (int64_t i = 0; i < p->n; i++)
        p->mutant[i].margin = INFINITY;
    for (uint32_t h = 0; h < (uint32_t)p->job->o->hops && !over(p); h++)
        UM_TRY(hop_all(p, g, h));
    if (over(p))
        return UM_OK;
    for (int64_t i = 0; i < p->n; i++) {
        uint32_t words[4];
        um_rng_words(p->job->seed, UM_RNG_MARK_CROSS, (uint32_t)i, p->job->key, g, words);
        p->trial[i].t = cross(p->job, &p->now[i].t, &p->mutant[i].t, words);
    }
    UM_TRY(um_search_score(p->job, p->trial, p->n, &p->best, &p->forwards));
    for (int64_t i = 0; i < p->n; i++) {
        if (p->mutant[i].margin < p->now[i].margin)
            p->now[i] = p->mutant[i];
        if (p->trial[i].margin < p->now[i].margin)
            p->now[i] = p->trial[i];
    }
done:
    return rc;
}

static um_status evolve(um_candidate *best, const um_search_job *job, int64_t *forwards)
{
    um_status rc = UM_OK;
    population p = {.job = job, .n = job->o->population, .best = *best};
    UM_TRY(UM_NEW_ARRAY(p.now, p.n));
    UM_TRY(UM_NEW_ARRAY(p.walker, p.n));
    UM_TRY(UM_NEW_ARRAY(p.mutant, p.n));
    UM_TRY(UM_NEW_ARRAY(p.trial, p.n));
    for (int64_t i = 0; i < p.n; i++)
        p.now[i].t = um_search_draw(job, (uint32_t)i);
    UM_TRY(um_search_score(job, p.now, p.n, &p.best, &p.forwards));
    for (uint32_t g = 1; g <= (uint32_t)job->o->generations && !over(&p); g++)
        UM_TRY(generation(&p, g));
    *best = p.best;
    *forwards += p.forwards;
done:
    um_free(p.now);
    um_free(p.walker);
    um_free(p.mutant);
    um_free(p.trial);
    return rc;
}

/* ---- baselines: a list of candidates in batches ---- */

enum { BATCH = 64 };

typedef um_theta (*candidate_fn)(const um_search_job *job, int64_t i);

static um_theta random_candidate(const um_search_job *job, int64_t i)
{
    return um_search_draw(job, (uint32_t)i);
}

static um_theta centre_candidate(const um_search_job *job, int64_t i)
{
    const um_places *p = job->places;
    um_theta t = {(int)(job->o->alpha_low + i), (p->h - p->lh) / 2, (p->w - p->lw) / 2};
    um_places_project(p, &t.y, &t.x);
    return t;
}

enum { GRID_STEP = 8, GRID_ALPHAS = 4 };

static bool on_grid(const um_places *p, int64_t k)
{
    return p->at[k] / p->w % GRID_STEP == 0 && p->at[k] % p->w % GRID_STEP == 0;
}

/* Four alphas at the (i / 4)-th place of the grid. */
static um_theta grid_candidate(const um_search_job *job, int64_t i)
{
    const um_places *p = job->places;
    int64_t k = 0, left = i / GRID_ALPHAS, range = job->o->alpha_high - job->o->alpha_low;
    while (!on_grid(p, k) || left-- > 0)
        k++;
    return (um_theta){(int)(job->o->alpha_low + range * (i % GRID_ALPHAS) / (GRID_ALPHAS - 1)), p->at[k] / p->w, p->at[k] % p->w};
}

static int64_t grid_size(const um_places *p)
{
    int64_t n = 0;
    for (int64_t k = 0; k < p->n; k++)
        n += on_grid(p, k);
    return n * GRID_ALPHAS;
}

static um_status try_all(um_candidate *best, const um_search_job *job, candidate_fn candidate, int64_t n, int64_t *forwards)
{
    um_status rc = UM_OK;
    um_candidate list[BATCH];
    for (int64_t first = 0; first < n; first += BATCH) {
        int64_t m = n - first < BATCH ? n - first : BATCH;
        for (int64_t i = 0; i < m; i++)
            list[i].t = candidate(job, first + i);
        UM_TRY(um_search_score(job, list, m, best, forwards));
        if (job->o->stop == 1 && best->margin < 0)
            break;
    }
done:
    return rc;
}

int64_t um_search_forwards(const um_medlocker_options *o, int64_t h, int64_t w)
{
    switch ((um_search_kind)o->search) {
    case UM_SEARCH_GRAD: return um_search_gradient_forwards(o);
    case UM_SEARCH_RANDOM: return o->budget ? o->budget : um_search_budget(o);
    case UM_SEARCH_CENTRE: return o->alpha_high - o->alpha_low + 1;
    case UM_SEARCH_GRID: return GRID_ALPHAS * ((h + GRID_STEP - 1) / GRID_STEP) * ((w + GRID_STEP - 1) / GRID_STEP);
    default: return um_search_budget(o);
    }
}

um_status um_search_run(um_search_result *out, const um_search_job *job)
{
    um_status rc = UM_OK;
    const um_medlocker_options *o = job->o;
    um_candidate best = {.margin = INFINITY};
    int64_t forwards = 0;
    if (o->alpha_low > o->alpha_high)
        return um_fail(UM_E_CONFIG, "medlocker.alpha.low = %ld is above medlocker.alpha.high = %ld", (long)o->alpha_low,
                       (long)o->alpha_high);
    if (job->targets->n == 0 && o->search != UM_SEARCH_RANDOM)
        return um_fail(UM_E_CONFIG, "medlocker.search: without a network to mislead there is only random");
    UM_REQUIRE(job->places->n > 0);
    switch ((um_search_kind)o->search) {
    case UM_SEARCH_BHE: UM_TRY(evolve(&best, job, &forwards)); break;
    case UM_SEARCH_GRAD: UM_TRY(um_search_gradient(&best, job, &forwards)); break;
    case UM_SEARCH_RANDOM:
        UM_TRY(try_all(&best, job, random_candidate, o->budget ? o->budget : um_search_budget(o), &forwards));
        break;
    case UM_SEARCH_CENTRE: UM_TRY(try_all(&best, job, centre_candidate, o->alpha_high - o->alpha_low + 1, &forwards)); break;
    case UM_SEARCH_GRID: /* where the lesions leave no point of the grid: one random place */
        UM_TRY(grid_size(job->places) ? try_all(&best, job, grid_candidate, grid_size(job->places), &forwards)
                                      : try_all(&best, job, random_candidate, 1, &forwards));
        break;
    }
    if (!isfinite(best.margin))
        UM_TRY(um_fail(UM_E_NUMERIC, "a target network gives no number for any candidate"));
    *out = (um_search_result){best.t, best.margin, forwards};
done:
    return rc;
}
