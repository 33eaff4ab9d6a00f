/* GroupNorm and LayerNorm, standardised kernels, central-difference kernels (ops.h; layers.md sections 1, 2). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { STAT_MEAN, STAT_R, N_STATS };

/* ---- statistics of a group: sums per channel of each image, then one item per group ---- */

struct moments {
    um_view x;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
        double v = (double)um_get(x, p, k);
        s[0] += v;
        s[1] += v * v;
    }
};

struct group_stats {
    const double *sums; /* [images][2][c] */
    float *stats;
    int64_t c, groups, pixels;
    double eps;
    UM_HD void operator()(int64_t i) const
    {
        int64_t width = c / groups;
        um_split at(i, groups);
        double sum = 0, squares = 0, n = (double)(width * pixels);
        for (int64_t k = at.b * width; k < (at.b + 1) * width; k++) {
            sum += sums[at.a * 2 * c + k];
            squares += sums[(at.a * 2 + 1) * c + k];
        }
        double mean = sum / n, var = fmax(squares / n - mean * mean, 0.0);
        stats[i * N_STATS + STAT_MEAN] = (float)mean;
        stats[i * N_STATS + STAT_R] = (float)(1 / sqrt(var + eps));
    }
};

struct group_apply {
    const float *gamma, *beta, *stats;
    int64_t width, groups, pixels;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const
    {
        const float *s = stats + (um_split(p, pixels).a * groups + um_split(k, width).a) * N_STATS;
        return gamma[k] * s[STAT_R] * (x[0] - s[STAT_MEAN]) + beta[k];
    }
};

/* ---- a pixel by itself, a warp each ---- */

struct layer_fwd {
    um_view x, y;
    const float *gamma, *beta;
    float *stats;
    double eps;
    UM_D void operator()(int64_t p, const um_warp &w) const
    {
        const layer_fwd &o = *this;
        double mean = um_warp_sum(w, x.c, [&](int64_t k) { return (double)um_get(o.x, p, k); }) / (double)x.c;
        double squares = um_warp_sum(w, x.c, [&](int64_t k) {
            double d = (double)um_get(o.x, p, k) - mean;
            return d * d;
        });
        float m = (float)mean, r = (float)(1 / sqrt(squares / (double)x.c + eps));
        if (w.leads()) {
            stats[p * N_STATS + STAT_MEAN] = m;
            stats[p * N_STATS + STAT_R] = r;
        }
        w.each(x.c, [&](int64_t k) { um_put(o.y, p, k, o.gamma[k] * ((um_get(o.x, p, k) - m) * r) + o.beta[k]); });
    }
};

struct layer_bwd {
    um_view dy, x, dx;
    const float *gamma, *stats;
    bool accumulate;
    UM_D void operator()(int64_t p, const um_warp &w) const
    {
        const layer_bwd &o = *this;
        float m = stats[p * N_STATS + STAT_MEAN], r = stats[p * N_STATS + STAT_R];
        double sum = um_warp_sum(w, x.c, [&](int64_t k) { return (double)o.gamma[k] * (double)um_get(o.dy, p, k); });
        double sum_x = um_warp_sum(w, x.c, [&](int64_t k) {
            return (double)o.gamma[k] * (double)um_get(o.dy, p, k) * (((double)um_get(o.x, p, k) - (double)m) * (double)r);
        });
        float mean_g = (float)(sum / (double)x.c), mean_gx = (float)(sum_x / (double)x.c);
        w.each(x.c, [&](int64_t k) {
            float d = r * (o.gamma[k] * um_get(o.dy, p, k) - mean_g - (um_get(o.x, p, k) - m) * r * mean_gx);
            um_put(o.dx, p, k, o.accumulate ? um_get(o.dx, p, k) + d : d);
        });
    }
};

/* ---- gradients of gamma and beta, and of groups ---- */

struct bwd_sums {
    um_view dy, x;
    const float *stats;
    int64_t groups, width, pixels; /* groups = 0: statistics per pixel */
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
        int64_t at = groups ? um_split(p, pixels).a * groups + um_split(k, width).a : p;
        double g = (double)um_get(dy, p, k), mean = (double)stats[at * N_STATS + STAT_MEAN],
            r = (double)stats[at * N_STATS + STAT_R];
        s[0] += g;
        s[1] += g * (((double)um_get(x, p, k) - mean) * r);
    }
};

/* dx = scale*dy - shift - slope*(x - mean), rows [images][4][c]. */
enum { BWD_MEAN, BWD_SCALE, BWD_SHIFT, BWD_SLOPE, BWD_ROWS };

struct group_bwd_rows {
    const double *s; /* [images][2][c] */
    const float *gamma, *stats;
    float *rows;
    int64_t c, groups, pixels;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, groups);
        int64_t width = c / groups;
        const double *own = s + at.a * 2 * c;
        double mean_g = 0, mean_gx = 0, m = (double)(width * pixels), r = (double)stats[i * N_STATS + STAT_R];
        for (int64_t k = at.b * width; k < (at.b + 1) * width; k++) {
            mean_g += (double)gamma[k] * own[k] / m;
            mean_gx += (double)gamma[k] * own[c + k] / m;
        }
        float *row = rows + at.a * BWD_ROWS * c;
        for (int64_t k = at.b * width; k < (at.b + 1) * width; k++) {
            row[BWD_MEAN * c + k] = stats[i * N_STATS + STAT_MEAN];
            row[BWD_SCALE * c + k] = (float)(r * (double)gamma[k]);
            row[BWD_SHIFT * c + k] = (float)(r * mean_g);
            row[BWD_SLOPE * c + k] = (float)(r * r * mean_gx);
        }
    }
};

struct group_bwd {
    const float *rows;
    int64_t c, pixels;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const
    {
        const float *row = rows + um_split(p, pixels).a * BWD_ROWS * c + k;
        return row[BWD_SCALE * c] * x[0] - row[BWD_SHIFT * c] - row[BWD_SLOPE * c] * (x[1] - row[BWD_MEAN * c]);
    }
};

/* ---- weight standardisation: filters are the columns of [rows][K] ---- */

struct column_products {
    const float *a, *b;
    int64_t c;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
        s[0] += (double)a[p * c + k];
        s[1] += (double)a[p * c + k] * (double)b[p * c + k];
    }
};

struct standardise {
    const float *w;
    float *h, *r_out;
    const double *sums; /* [2][c] */
    int64_t rows, c;
    double eps;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, c);
        double mean = sums[at.b] / (double)rows, var = fmax(sums[c + at.b] / (double)rows - mean * mean, 0.0),
            r = 1 / sqrt(var + eps);
        h[i] = (float)(((double)w[i] - mean) * r);
        if (at.a == 0)
            r_out[at.b] = (float)r;
    }
};

struct standardise_bwd {
    const float *dh, *h, *r;
    const double *sums; /* [2][c]: of dh and dh*h */
    float *dw;
    int64_t rows, c;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        int64_t k = um_split(i, c).b;
        double n = (double)rows;
        float d = (float)((double)r[k] * ((double)dh[i] - sums[k] / n - (double)h[i] * (sums[c + k] / n)));
        dw[i] = accumulate ? dw[i] + d : d;
    }
};

/* ---- central differences: tap 4 is the centre ---- */

enum { TAPS = 9, CENTRE = 4 };

struct fold {
    const float *wv, *wc;
    float *k;
    int64_t plane;
    double theta;
    UM_HD void operator()(int64_t i) const
    {
        double taken = 0;
        for (int t = 0; t < TAPS; t++) {
            float v = wv[t * plane + i];
            if (wc && t != CENTRE)
                taken += (double)wc[t * plane + i];
            else if (!wc)
                taken += (double)v;
            k[t * plane + i] = wc && t != CENTRE ? v + wc[t * plane + i] : v;
        }
        k[CENTRE * plane + i] = (float)((double)wv[CENTRE * plane + i] - (wc ? taken : theta * taken));
    }
};

struct unfold {
    const float *dk;
    float *dw;
    int64_t plane;
    float share;
    UM_HD void operator()(int64_t i) const
    {
        float centre = dk[CENTRE * plane + i];
        for (int t = 0; t < TAPS; t++)
            dw[t * plane + i] = dk[t * plane + i] - share * centre;
    }
};

int64_t filter_rows(const um_view *w)
{
    return w->n * w->h * w->w;
}

}

UM_CUDA_PREPARE(norm_fwd)
{
    const um_view *x = &call->in[0];
    (void)cu;
    *bytes = call->attr.norm.groups ? um_sum_bytes(x->n, x->h * x->w, x->c, 2) : 0;
    return UM_OK;
}

UM_CUDA_OP(norm_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    const float *gamma = (const float *)call->in[1].data, *beta = (const float *)call->in[2].data;
    float *stats = (float *)call->out[1].data;
    int64_t groups = call->attr.norm.groups, pixels = x->h * x->w;
    double *sums, eps = call->attr.norm.eps;
    if (groups == 0)
        return um_each_warp(cu, "norm_fwd", um_view_pixels(x), layer_fwd{*x, *y, gamma, beta, stats, eps});
    um_status rc = um_sum_images<2>(cu, "norm_fwd", x->n, pixels, x->c, call->workspace, NULL, moments{*x}, &sums);
    if (rc == UM_OK)
        rc = um_each(cu, "norm_fwd", x->n * groups, group_stats{sums, stats, x->c, groups, pixels, eps});
    group_apply f = {gamma, beta, stats, x->c / groups, groups, pixels};
    return rc == UM_OK ? um_map(cu, "norm_fwd", {x}, *y, false, f) : rc;
}

UM_CUDA_PREPARE(norm_bwd_sums)
{
    const um_view *x = &call->in[1];
    (void)cu;
    *bytes = um_sum_bytes(x->n, x->h * x->w, x->c, 2);
    return UM_OK;
}

UM_CUDA_OP(norm_bwd_sums)
{
    const um_view *x = &call->in[1];
    int64_t groups = call->attr.norm.groups;
    bwd_sums add = {call->in[0], *x, (const float *)call->in[2].data, groups, groups ? x->c / groups : 1, x->h * x->w};
    return um_sum_images<2>(cu, "norm_bwd_sums", x->n, x->h * x->w, x->c, call->workspace, (double *)call->out[0].data, add, NULL);
}

UM_CUDA_OP(norm_bwd_param)
{
    const double *s = (const double *)call->in[0].data;
    int64_t c = call->in[0].c;
    um_lanes lanes = um_lanes_of(call->batch);
    um_lane_sums shift = {s, 2 * c, lanes, NULL, (float *)call->out[1].data, call->accumulate};
    um_lane_sums scale = {s + c, 2 * c, lanes, NULL, (float *)call->out[0].data, call->accumulate};
    um_status rc = um_each(cu, "norm_bwd_param", c, shift);
    return rc == UM_OK ? um_each(cu, "norm_bwd_param", c, scale) : rc;
}

UM_CUDA_PREPARE(norm_bwd)
{
    const um_view *x = &call->in[1];
    (void)cu;
    *bytes = call->attr.norm.groups ? (size_t)(x->n * BWD_ROWS * x->c) * sizeof(float) : 0;
    return UM_OK;
}

UM_CUDA_OP(norm_bwd)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dx = &call->out[0];
    const float *gamma = (const float *)call->in[2].data, *stats = (const float *)call->in[3].data;
    int64_t groups = call->attr.norm.groups, pixels = x->h * x->w;
    if (groups == 0)
        return um_each_warp(cu, "norm_bwd", um_view_pixels(x), layer_bwd{*dy, *x, *dx, gamma, stats, call->accumulate});
    float *rows = (float *)call->workspace;
    group_bwd_rows first = {(const double *)call->in[4].data, gamma, stats, rows, x->c, groups, pixels};
    um_status rc = um_each(cu, "norm_bwd", x->n * groups, first);
    return rc == UM_OK ? um_map(cu, "norm_bwd", {dy, x}, *dx, call->accumulate, group_bwd{rows, x->c, pixels}) : rc;
}

UM_CUDA_PREPARE(ws_fwd)
{
    (void)cu;
    *bytes = um_sum_bytes(1, filter_rows(&call->in[0]), call->in[0].c, 2);
    return UM_OK;
}

UM_CUDA_OP(ws_fwd)
{
    const um_view *w = &call->in[0];
    const float *from = (const float *)w->data;
    double *sums;
    int64_t rows = filter_rows(w);
    um_status rc = um_sum_images<2>(cu, "ws_fwd", 1, rows, w->c, call->workspace, NULL, column_products{from, from, w->c}, &sums);
    standardise f = {from, (float *)call->out[0].data, (float *)call->out[1].data, sums, rows, w->c, call->attr.ws.eps};
    return rc == UM_OK ? um_each(cu, "ws_fwd", um_view_count(w), f) : rc;
}

UM_CUDA_PREPARE(ws_bwd)
{
    (void)cu;
    *bytes = um_sum_bytes(1, filter_rows(&call->in[0]), call->in[0].c, 2);
    return UM_OK;
}

UM_CUDA_OP(ws_bwd)
{
    const um_view *g = &call->in[0];
    const float *dh = (const float *)g->data, *h = (const float *)call->in[1].data;
    double *sums;
    int64_t rows = filter_rows(g);
    um_status rc = um_sum_images<2>(cu, "ws_bwd", 1, rows, g->c, call->workspace, NULL, column_products{dh, h, g->c}, &sums);
    standardise_bwd f = {dh, h, (const float *)call->in[2].data, sums, (float *)call->out[0].data, rows, g->c, call->accumulate};
    return rc == UM_OK ? um_each(cu, "ws_bwd", um_view_count(g), f) : rc;
}

UM_CUDA_OP(cdc_fold)
{
    const um_view *v = &call->in[0];
    fold f = {(const float *)v->data, call->attr.cdc.dual ? (const float *)call->in[1].data : NULL, (float *)call->out[0].data,
        um_view_count(v) / TAPS, call->attr.cdc.theta};
    return um_each(cu, "cdc_fold", f.plane, f);
}

UM_CUDA_OP(cdc_unfold)
{
    unfold f = {(const float *)call->in[0].data, (float *)call->out[0].data, um_view_count(&call->in[0]) / TAPS,
        call->attr.cdc.dual ? 1 : (float)call->attr.cdc.theta};
    return um_each(cu, "cdc_unfold", f.plane, f);
}
