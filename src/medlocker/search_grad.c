/* Gradient search: the relaxed mark I' = I + alpha/65025 * (B(M W) - B(M) I), B the bilinear sample of the logo at a real
 * position. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "medlocker/search_internal.h"
#include "train/pgd.h"

enum { GENES = 3, NEAR_PLACES = 2, NEAR_ALPHA = 4 };
static const double RATE[GENES] = {4, 1, 1}, B1 = 0.9, B2 = 0.999, TINY = 1e-8; /* alpha in levels, y and x in pixels */

typedef struct walker {
    double v[GENES], m[GENES], s[GENES]; /* alpha, y, x; Adam's moments */
} walker;

/* Bilinear value of opacity times `level`, and its slopes in the position of the logo. */
typedef struct sample {
    double value, dy, dx;
} sample;

static double texel(const um_logo *l, int64_t y, int64_t x, int64_t ch, int64_t c, um_opacity_rule rule, bool with_level)
{
    if (y < 0 || x < 0 || y >= l->h || x >= l->w)
        return 0;
    int64_t p = y * l->w + x;
    double opacity = rule == UM_OPACITY_MUL ? l->rgba[4 * p + 3] : 255;
    return with_level ? opacity * um_logo_level(l, p, ch, c) : opacity;
}

static sample sample_logo(const um_search_job *job, double y, double x, int64_t ch, bool with_level)
{
    int64_t c = job->image->c, i = (int64_t)floor(y), j = (int64_t)floor(x);
    double fy = y - (double)i, fx = x - (double)j, q[2][2];
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++)
            q[a][b] = texel(job->logo, i + a, j + b, ch, c, (um_opacity_rule)job->o->rule, with_level);
    double top = q[0][0] + fx * (q[0][1] - q[0][0]), low = q[1][0] + fx * (q[1][1] - q[1][0]);
    double left = q[0][0] + fy * (q[1][0] - q[0][0]), right = q[0][1] + fy * (q[1][1] - q[0][1]);
    return (sample){top + fy * (low - top), -(low - top), -(right - left)}; /* the logo moves: minus the slope of the sample */
}

/* Pixels that a mark at (y, x) may touch. */
typedef struct window {
    int64_t y0, x0, y1, x1;
} window;

static window window_of(const um_search_job *job, const walker *w)
{
    int64_t y = (int64_t)floor(w->v[1]), x = (int64_t)floor(w->v[2]);
    window r = {y - 1, x - 1, y + job->logo->h + 2, x + job->logo->w + 2};
    r.y0 = r.y0 < 0 ? 0 : r.y0, r.x0 = r.x0 < 0 ? 0 : r.x0;
    r.y1 = r.y1 > job->image->h ? job->image->h : r.y1, r.x1 = r.x1 > job->image->w ? job->image->w : r.x1;
    return r;
}

static double get(um_dtype real, const void *v, int64_t i)
{
    return real == UM_F64 ? ((const double *)v)[i] : (double)((const float *)v)[i];
}

static void put(um_dtype real, void *v, int64_t i, double x)
{
    if (real == UM_F64)
        ((double *)v)[i] = x;
    else
        ((float *)v)[i] = (float)x;
}

/* out: real [h][w][c] in [0,1]. */
static void relaxed_mark(const um_search_job *job, const walker *w, um_dtype real, void *out)
{
    const um_bytes *im = job->image;
    window r = window_of(job, w);
    for (int64_t i = 0; i < im->h * im->w * im->c; i++)
        put(real, out, i, im->data[i] / 255.0);
    for (int64_t y = r.y0; y < r.y1; y++)
        for (int64_t x = r.x0; x < r.x1; x++)
            for (int64_t ch = 0; ch < im->c; ch++) {
                int64_t i = (y * im->w + x) * im->c + ch;
                double ly = (double)y - w->v[1], lx = (double)x - w->v[2];
                double m = sample_logo(job, ly, lx, ch, false).value, mw = sample_logo(job, ly, lx, ch, true).value;
                put(real, out, i, (im->data[i] + w->v[0] / UM_BLEND_ONE * (mw - m * im->data[i])) / 255);
            }
}

/* Adds d margin / d genes from d margin / d normalised pixels. */
static void pull_back(double grad[GENES], const um_search_job *job, const walker *w, const um_segmenter *net, const void *dx,
                      int64_t base)
{
    const um_bytes *im = job->image;
    um_dtype real = net->backend->real;
    window r = window_of(job, w);
    for (int64_t y = r.y0; y < r.y1; y++)
        for (int64_t x = r.x0; x < r.x1; x++)
            for (int64_t ch = 0; ch < im->c; ch++) {
                int64_t i = (y * im->w + x) * im->c + ch;
                double ly = (double)y - w->v[1], lx = (double)x - w->v[2], level = im->data[i];
                sample m = sample_logo(job, ly, lx, ch, false), mw = sample_logo(job, ly, lx, ch, true);
                double sd = net->config.sd[0] > 0 ? net->config.sd[ch] : 1, g = get(real, dx, base + i) / (255 * sd * UM_BLEND_ONE);
                grad[0] += g * (mw.value - m.value * level);
                grad[1] += g * w->v[0] * (mw.dy - m.dy * level);
                grad[2] += g * w->v[0] * (mw.dx - m.dx * level);
            }
}

static void project(const um_search_job *job, walker *w)
{
    const um_places *p = job->places;
    int64_t y = (int64_t)floor(w->v[1] + 0.5), x = (int64_t)floor(w->v[2] + 0.5), py = y, px = x;
    w->v[0] = fmin(fmax(w->v[0], (double)job->o->alpha_low), (double)job->o->alpha_high);
    um_places_project(p, &py, &px);
    if (py != y || px != x)
        w->v[1] = (double)py, w->v[2] = (double)px;
}

static void adam_step(walker *w, const double grad[GENES], int64_t step)
{
    for (int k = 0; k < GENES; k++) {
        w->m[k] = B1 * w->m[k] + (1 - B1) * grad[k];
        w->s[k] = B2 * w->s[k] + (1 - B2) * grad[k] * grad[k];
        double m = w->m[k] / (1 - pow(B1, (double)step)), s = w->s[k] / (1 - pow(B2, (double)step));
        w->v[k] -= RATE[k] * m / (sqrt(s) + TINY);
    }
}

typedef struct descent {
    const um_search_job *job;
    walker *list;
    int64_t n, size; /* walkers; elements of an image */
    um_dtype real;
    char *x, *y, *dx;
} descent;

static um_status descend(descent *d, int64_t step)
{
    um_status rc = UM_OK;
    const um_targets *t = d->job->targets;
    double(*grad)[GENES] = NULL;
    UM_TRY(um_alloc((void **)&grad, (size_t)d->n, sizeof *grad));
    for (int m = 0; m < t->n; m++) {
        for (int64_t i = 0; i < d->n; i++)
            relaxed_mark(d->job, &d->list[i], d->real, d->x + (size_t)(i * d->size) * um_dtype_bytes(d->real));
        um_segmenter_normalise(t->net[m], d->x, d->n);
        UM_TRY(um_input_grad_run(t->grad[m], d->x, d->y, d->n, d->dx, NULL));
        for (int64_t i = 0; i < d->n; i++)
            pull_back(grad[i], d->job, &d->list[i], t->net[m], d->dx, i * d->size);
    }
    for (int64_t i = 0; i < d->n; i++) {
        adam_step(&d->list[i], grad[i], step);
        project(d->job, &d->list[i]);
    }
done:
    um_free(grad);
    return rc;
}

/* Everything close to the best, quantised. */
static um_status look_around(um_candidate *best, const um_search_job *job, int64_t *forwards)
{
    um_status rc = UM_OK;
    um_candidate *list = NULL;
    um_theta at = best->t;
    int64_t n = 0, side = 2 * NEAR_PLACES + 1;
    UM_TRY(UM_NEW_ARRAY(list, side * side * (2 * NEAR_ALPHA + 1)));
    for (int64_t k = 0; k < side * side; k++) {
        int64_t y = at.y + k / side - NEAR_PLACES, x = at.x + k % side - NEAR_PLACES;
        if (y < 0 || x < 0 || y >= job->places->h || x >= job->places->w || !job->places->allowed[y * job->places->w + x])
            continue;
        for (int a = -NEAR_ALPHA; a <= NEAR_ALPHA; a++)
            if (at.alpha + a >= job->o->alpha_low && at.alpha + a <= job->o->alpha_high)
                list[n++].t = (um_theta){at.alpha + a, y, x};
    }
    UM_TRY(um_search_score(job, list, n, best, forwards));
done:
    um_free(list);
    return rc;
}

int64_t um_search_gradient_forwards(const um_medlocker_options *o)
{
    int64_t side = 2 * NEAR_PLACES + 1;
    return 3 * o->restarts * o->steps + o->restarts + side * side * (2 * NEAR_ALPHA + 1);
}

um_status um_search_gradient(um_candidate *best, const um_search_job *job, int64_t *forwards)
{
    um_status rc = UM_OK;
    descent d = {.job = job, .n = job->o->restarts, .size = job->image->h * job->image->w * job->image->c,
                 .real = job->targets->net[0]->backend->real};
    um_candidate *ends = NULL;
    size_t bytes = um_dtype_bytes(d.real);
    UM_TRY(UM_NEW_ARRAY(d.list, d.n));
    UM_TRY(UM_NEW_ARRAY(ends, d.n));
    UM_TRY(um_alloc((void **)&d.x, (size_t)(d.n * d.size), bytes));
    UM_TRY(um_alloc((void **)&d.dx, (size_t)(d.n * d.size), bytes));
    UM_TRY(um_alloc((void **)&d.y, (size_t)d.n, bytes));
    for (int64_t i = 0; i < d.n; i++) {
        um_theta t = um_search_draw(job, (uint32_t)i);
        d.list[i] = (walker){.v = {t.alpha, (double)t.y, (double)t.x}};
        put(d.real, d.y, i, job->label);
    }
    for (int64_t step = 1; step <= job->o->steps; step++)
        UM_TRY(descend(&d, step));
    *forwards += 3 * d.n * job->o->steps;
    for (int64_t i = 0; i < d.n; i++) {
        ends[i].t = (um_theta){um_search_clamp_alpha(job->o, d.list[i].v[0]), (int64_t)floor(d.list[i].v[1] + 0.5),
                               (int64_t)floor(d.list[i].v[2] + 0.5)};
        um_places_project(job->places, &ends[i].t.y, &ends[i].t.x);
    }
    UM_TRY(um_search_score(job, ends, d.n, best, forwards));
    UM_TRY(look_around(best, job, forwards));
done:
    um_free(ends);
    um_free(d.list);
    um_free(d.x);
    um_free(d.dx);
    um_free(d.y);
    return rc;
}
