#include "medlocker/detect.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "image/luma.h"

enum { RADIUS = 2, WINDOW = 8, NEAR = 4, N_NULL = 1000, N_DRAWS = 4000 };
static const double Z_LEAST = 6, LEVEL_LOW = 0.6, LEVEL_HIGH = 1.4, ENERGY_LEAST = 4;

typedef struct scene {
    int64_t h, w;
    float *luma, *mean; /* [h][w] */
    const um_logo *logo;
    double *m, *bright; /* [lh][lw]: opacity k/65025 at full alpha, and luma of the logo */
    double *mean_m, *mean_mw; /* 5x5 means of m and of m * bright, 0 outside the logo */
    double *t, *ht;     /* [lh][lw]: template and its high pass, scratch */
    double share;       /* alpha / 255 */
    bool soft;          /* the template after [1 2 1]: for images that were blurred or resized */
} scene;

/* 5x5 mean inside the frame. */
static void box_mean(float *out, const float *v, int64_t h, int64_t w)
{
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            double sum = 0;
            int n = 0;
            for (int64_t i = y - RADIUS; i <= y + RADIUS; i++)
                for (int64_t j = x - RADIUS; j <= x + RADIUS; j++)
                    if (i >= 0 && j >= 0 && i < h && j < w)
                        sum += (double)v[i * w + j], n++;
            out[y * w + x] = (float)(sum / n);
        }
}

/* Mean of v over the window around (i, j), 0 outside the logo; weights [1 2 1] or all equal. */
static double logo_mean(const scene *s, const double *v, int64_t i, int64_t j, int64_t radius, bool binomial)
{
    int64_t lh = s->logo->h, lw = s->logo->w;
    double sum = 0, weights = 0;
    for (int64_t a = -radius; a <= radius; a++)
        for (int64_t b = -radius; b <= radius; b++) {
            double weight = binomial ? (double)((2 - llabs(a)) * (2 - llabs(b))) : 1;
            weights += weight;
            if (i + a >= 0 && j + b >= 0 && i + a < lh && j + b < lw)
                sum += weight * v[(i + a) * lw + j + b];
        }
    return sum / weights;
}

/* What the mark adds at full opacity, and its high pass. The mean of the clean image follows from that of the marked one. */
static void make_template(scene *s, int64_t y, int64_t x)
{
    int64_t lh = s->logo->h, lw = s->logo->w;
    double *t = s->soft ? s->ht : s->t; /* softened from there */
    for (int64_t p = 0; p < lh * lw; p++) {
        double marked = (double)s->mean[(y + p / lw) * s->w + x + p % lw];
        double clean = (marked - s->share * s->mean_mw[p]) / fmax(1 - s->share * s->mean_m[p], 0.02);
        t[p] = s->m[p] * (s->bright[p] - fmin(255, fmax(0, clean)));
    }
    for (int64_t p = 0; s->soft && p < lh * lw; p++)
        s->t[p] = logo_mean(s, s->ht, p / lw, p % lw, 1, true);
    for (int64_t p = 0; p < lh * lw; p++)
        s->ht[p] = s->t[p] - logo_mean(s, s->t, p / lw, p % lw, RADIUS, false);
}

typedef struct match {
    double rho, level, energy;
} match;

static match look(scene *s, int64_t y, int64_t x)
{
    int64_t lh = s->logo->h, lw = s->logo->w;
    double both = 0, image = 0, mark = 0;
    make_template(s, y, x);
    for (int64_t p = 0; p < lh * lw; p++) {
        int64_t q = (y + p / lw) * s->w + x + p % lw;
        double hi = (double)s->luma[q] - (double)s->mean[q];
        both += hi * s->ht[p];
        image += hi * hi;
        mark += s->ht[p] * s->ht[p];
    }
    match r = {.energy = mark / (double)(lh * lw)};
    if (mark > 0 && image > 0)
        r = (match){both / sqrt(image * mark), 255 * both / mark, r.energy};
    return r;
}

static um_status open_scene(scene *s, const um_bytes *image, const um_logo *logo, int alpha, um_opacity_rule rule)
{
    um_status rc = UM_OK;
    int64_t n = logo->h * logo->w;
    *s = (scene){.h = image->h, .w = image->w, .logo = logo, .share = 1};
    UM_TRY(UM_NEW_ARRAY(s->luma, s->h * s->w));
    UM_TRY(UM_NEW_ARRAY(s->mean, s->h * s->w));
    UM_TRY(UM_NEW_ARRAY(s->m, n));
    UM_TRY(UM_NEW_ARRAY(s->bright, n));
    UM_TRY(UM_NEW_ARRAY(s->mean_m, n));
    UM_TRY(UM_NEW_ARRAY(s->mean_mw, n));
    UM_TRY(UM_NEW_ARRAY(s->t, n));
    UM_TRY(UM_NEW_ARRAY(s->ht, n));
    um_luma(s->luma, image->data, s->h * s->w, image->c, 8, UM_LUMA_BT601);
    box_mean(s->mean, s->luma, s->h, s->w);
    s->share = alpha / 255.0;
    for (int64_t p = 0; p < n; p++) { /* of k = alpha * M, or of the rule's own k, what alpha does not say */
        s->m[p] = alpha > 0 ? (double)um_logo_opacity(logo, p, alpha, rule) / (UM_BLEND_ONE * s->share) : 0;
        s->bright[p] = um_logo_level(logo, p, 0, 1);
        s->t[p] = s->m[p] * s->bright[p];
    }
    for (int64_t p = 0; p < n; p++) {
        s->mean_m[p] = logo_mean(s, s->m, p / logo->w, p % logo->w, RADIUS, false);
        s->mean_mw[p] = logo_mean(s, s->t, p / logo->w, p % logo->w, RADIUS, false);
    }
done:
    return rc;
}

static void close_scene(scene *s)
{
    um_free(s->luma);
    um_free(s->mean);
    um_free(s->m);
    um_free(s->bright);
    um_free(s->mean_m);
    um_free(s->mean_mw);
    um_free(s->t);
    um_free(s->ht);
}

/* Mean and standard deviation of rho at random placements. */
static int null_of(scene *s, const um_theta *t, uint64_t key, double *mean, double *sd)
{
    int n = 0;
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < N_DRAWS && n < N_NULL; i++) {
        uint32_t words[4];
        um_rng_words(0, UM_RNG_MARK_NULL, i, key, 0, words);
        int64_t y = (int64_t)(words[0] % (uint64_t)(s->h - s->logo->h + 1)),
                x = (int64_t)(words[1] % (uint64_t)(s->w - s->logo->w + 1));
        if (llabs(y - t->y) <= NEAR && llabs(x - t->x) <= NEAR)
            continue;
        double rho = look(s, y, x).rho;
        sum += rho, squares += rho * rho, n++;
    }
    *mean = n ? sum / n : 0;
    *sd = n > 1 ? sqrt(fmax(0, (squares - sum * sum / n) / (n - 1))) : 0;
    return n;
}

static void find_peak(scene *s, const um_theta *t, um_detect_result *r)
{
    double best = -2;
    for (int64_t y = t->y - WINDOW; y <= t->y + WINDOW; y++)
        for (int64_t x = t->x - WINDOW; x <= t->x + WINDOW; x++) {
            if (y < 0 || x < 0 || y > s->h - s->logo->h || x > s->w - s->logo->w)
                continue;
            double rho = look(s, y, x).rho;
            if (rho > best)
                best = rho, r->dy = y - t->y, r->dx = x - t->x;
        }
}

um_status um_detect(um_detect_result *out, const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule,
                    uint64_t key)
{
    um_status rc = UM_OK;
    um_detect_result r = {0};
    scene s = {0};
    double mean, sd;
    if (t->y < 0 || t->x < 0 || t->y > image->h - logo->h || t->x > image->w - logo->w)
        return um_fail(UM_E_DATA, "a logo of %ldx%ld at (%ld, %ld) leaves the image of %ldx%ld", (long)logo->h, (long)logo->w,
                       (long)t->y, (long)t->x, (long)image->h, (long)image->w);
    UM_TRY(open_scene(&s, image, logo, t->alpha, rule));
    match here = look(&s, t->y, t->x);
    s.soft = true;
    match softened = look(&s, t->y, t->x);
    s.soft = softened.rho > here.rho;
    if (s.soft)
        here = softened;
    r.rho = here.rho, r.level = here.level, r.energy = here.energy;
    if (here.energy < ENERGY_LEAST) {
        r.verdict = UM_DETECT_IMPOSSIBLE;
    } else if (t->alpha > 0 && here.level >= LEVEL_LOW * t->alpha && here.level <= LEVEL_HIGH * t->alpha) {
        find_peak(&s, t, &r);
        r.n_null = null_of(&s, t, key, &mean, &sd);
        r.z = sd > 0 ? (here.rho - mean) / sd : 0;
        r.verdict = r.z >= Z_LEAST && llabs(r.dy) <= 1 && llabs(r.dx) <= 1 ? UM_DETECT_PRESENT : UM_DETECT_ABSENT;
    }
    *out = r;
done:
    close_scene(&s);
    return rc;
}
