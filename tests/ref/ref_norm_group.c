/* Oracles of GroupNorm, LayerNorm and weight standardisation. */
#include <math.h>

#include "ref/ref_ops.h"

typedef struct region {
    int64_t r0, r1, c0, c1, k0, k1; /* half-open: rows, columns, channels */
} region;

/* What (r, c, k) is normalised with. */
static region region_of(const um_view *x, int64_t groups, int64_t r, int64_t c, int64_t k)
{
    if (groups == 0)
        return (region){r, r + 1, c, c + 1, 0, x->c};
    int64_t width = x->c / groups, g = k / width;
    return (region){0, x->h, 0, x->w, g * width, (g + 1) * width};
}

#define REGION_FOR(q, r, c, k)                                                                                                 \
    for (int64_t r = (q).r0; r < (q).r1; r++)                                                                                  \
        for (int64_t c = (q).c0; c < (q).c1; c++)                                                                              \
            for (int64_t k = (q).k0; k < (q).k1; k++)

static bool is_first(const region *q, int64_t r, int64_t c, int64_t k)
{
    return r == q->r0 && c == q->c0 && k == q->k0;
}

static double region_size(const region *q)
{
    return (double)((q->r1 - q->r0) * (q->c1 - q->c0) * (q->k1 - q->k0));
}

static const double *stats_at(const um_view *stats, int64_t groups, const um_view *x, int64_t i, int64_t r, int64_t c, int64_t k)
{
    return groups ? ref_at(stats, i, 0, k / (x->c / groups), 0) : ref_at(stats, i, r, c, 0);
}

void um_ref_norm_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *stats = &call->out[1];
    int64_t groups = call->attr.norm.groups;
    REF_FOR(x, i, r, c, k)
    {
        region q = region_of(x, groups, r, c, k);
        double mean = 0, var = 0;
        if (!is_first(&q, r, c, k))
            continue;
        REGION_FOR(q, a, b, d) mean += *ref_at(x, i, a, b, d) / region_size(&q);
        REGION_FOR(q, a, b, d) var += pow(*ref_at(x, i, a, b, d) - mean, 2) / region_size(&q);
        double *s = (double *)(uintptr_t)stats_at(stats, groups, x, i, r, c, k);
        s[0] = mean;
        s[1] = 1 / sqrt(var + call->attr.norm.eps);
        REGION_FOR(q, a, b, d)
        {
            double gamma = *ref_at(&call->in[1], 0, 0, 0, d), beta = *ref_at(&call->in[2], 0, 0, 0, d);
            *ref_at(y, i, a, b, d) = gamma * (*ref_at(x, i, a, b, d) - mean) * s[1] + beta;
        }
    }
}

static double normalised(const um_view *x, const um_view *stats, int64_t groups, int64_t i, int64_t r, int64_t c, int64_t k)
{
    const double *s = stats_at(stats, groups, x, i, r, c, k);
    return (*ref_at(x, i, r, c, k) - s[0]) * s[1];
}

void um_ref_norm_bwd_sums(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *s = &call->out[0];
    REF_FOR(s, i, r, c, k) *ref_at(s, i, r, c, k) = 0;
    REF_FOR(x, i, r, c, k)
    {
        *ref_at(s, i, 0, 0, k) += *ref_at(dy, i, r, c, k);
        *ref_at(s, i, 0, 1, k) += *ref_at(dy, i, r, c, k) * normalised(x, &call->in[2], call->attr.norm.groups, i, r, c, k);
    }
}

void um_ref_norm_bwd_param(const um_op_call *call)
{
    const um_view *s = &call->in[0], *dgamma = &call->out[0], *dbeta = &call->out[1];
    for (int64_t k = 0; k < s->c; k++) {
        *ref_at(dgamma, 0, 0, 0, k) = *ref_at(dbeta, 0, 0, 0, k) = 0;
        for (int64_t i = 0; i < s->n; i++) {
            *ref_at(dbeta, 0, 0, 0, k) += *ref_at(s, i, 0, 0, k);
            *ref_at(dgamma, 0, 0, 0, k) += *ref_at(s, i, 0, 1, k);
        }
    }
}

void um_ref_norm_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *gamma = &call->in[2], *stats = &call->in[3], *dx = &call->out[0];
    int64_t groups = call->attr.norm.groups;
    REF_FOR(x, i, r, c, k)
    {
        region q = region_of(x, groups, r, c, k);
        double mean_g = 0, mean_gx = 0, scale = stats_at(stats, groups, x, i, r, c, k)[1];
        if (!is_first(&q, r, c, k))
            continue;
        REGION_FOR(q, a, b, d)
        {
            double g = *ref_at(gamma, 0, 0, 0, d) * *ref_at(dy, i, a, b, d);
            mean_g += g / region_size(&q);
            mean_gx += g * normalised(x, stats, groups, i, a, b, d) / region_size(&q);
        }
        REGION_FOR(q, a, b, d)
        {
            double g = *ref_at(gamma, 0, 0, 0, d) * *ref_at(dy, i, a, b, d);
            *ref_at(dx, i, a, b, d) = scale * (g - mean_g - normalised(x, stats, groups, i, a, b, d) * mean_gx);
        }
    }
}

/* Element j of filter k; weights are dense, so every shape of them reads alike. */
static double *filter_at(const um_view *w, int64_t j, int64_t k)
{
    return (double *)w->data + j * w->c + k;
}

void um_ref_ws_fwd(const um_op_call *call)
{
    const um_view *w = &call->in[0], *h = &call->out[0], *scale = &call->out[1];
    int64_t m = w->n * w->h * w->w;
    for (int64_t k = 0; k < w->c; k++) {
        double mean = 0, var = 0;
        for (int64_t j = 0; j < m; j++)
            mean += *filter_at(w, j, k) / (double)m;
        for (int64_t j = 0; j < m; j++)
            var += pow(*filter_at(w, j, k) - mean, 2) / (double)m;
        *ref_at(scale, 0, 0, 0, k) = 1 / sqrt(var + call->attr.ws.eps);
        for (int64_t j = 0; j < m; j++)
            *filter_at(h, j, k) = (*filter_at(w, j, k) - mean) / sqrt(var + call->attr.ws.eps);
    }
}

void um_ref_ws_bwd(const um_op_call *call)
{
    const um_view *g = &call->in[0], *h = &call->in[1], *scale = &call->in[2], *dw = &call->out[0];
    int64_t m = dw->n * dw->h * dw->w;
    for (int64_t k = 0; k < dw->c; k++) {
        double mean_g = 0, mean_gh = 0;
        for (int64_t j = 0; j < m; j++) {
            mean_g += *filter_at(g, j, k) / (double)m;
            mean_gh += *filter_at(g, j, k) * *filter_at(h, j, k) / (double)m;
        }
        for (int64_t j = 0; j < m; j++)
            *filter_at(dw, j, k) = *ref_at(scale, 0, 0, 0, k) * (*filter_at(g, j, k) - mean_g - *filter_at(h, j, k) * mean_gh);
    }
}
