/* GroupNorm and LayerNorm, standardised kernels, central-difference kernels (ops.h; layers.md sections 1, 2). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { STAT_MEAN, STAT_R, N_STATS };

/* ---- statistics of a group: sums per channel of each image, then one item per group ---- */

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
    int64_t width, groups;
    template <int V> struct column {
        float slope[V], mean[V], beta[V];
        UM_HD column(const group_apply &f, int64_t image, int64_t k)
        {
            for (int l = 0; l < V; l++) {
                const float *s = f.stats + (image * f.groups + um_split(k + l, f.width).a) * N_STATS;
                slope[l] = f.gamma[k + l] * s[STAT_R];
                mean[l] = s[STAT_MEAN];
                beta[l] = f.beta[k + l];
            }
        }
        UM_HD float at(int l, const float *x) const { return slope[l] * (x[0] - mean[l]) + beta[l]; }
    };
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

/* x[0]: dy, x[1]: x; sums of dy and of dy*(x - mean)*r. */
struct group_bwd_sums {
    const float *stats;
    int64_t groups, width;
    template <int V> struct column {
        float mean[V], r[V];
        UM_HD column(const group_bwd_sums &f, int64_t image, int64_t k)
        {
            for (int l = 0; l < V; l++) {
                const float *s = f.stats + (image * f.groups + um_split(k + l, f.width).a) * N_STATS;
                mean[l] = s[STAT_MEAN];
                r[l] = s[STAT_R];
            }
        }
        UM_HD void add(int l, const float *x, int64_t, double *s) const
        {
            s[0] += (double)x[0];
            s[1] += (double)x[0] * (((double)x[1] - (double)mean[l]) * (double)r[l]);
        }
    };
};

/* The same with statistics per pixel. */
struct layer_bwd_sums {
    const float *stats;
    template <int V> struct column {
        const float *stats;
        UM_HD column(const layer_bwd_sums &f, int64_t, int64_t) : stats(f.stats) {}
        UM_HD void add(int, const float *x, int64_t p, double *s) const
        {
            const float *own = stats + p * N_STATS;
            s[0] += (double)x[0];
            s[1] += (double)x[0] * (((double)x[1] - (double)own[STAT_MEAN]) * (double)own[STAT_R]);
        }
    };
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
    int64_t c;
    template <int V> struct column {
        float scale[V], shift[V], slope[V], mean[V];
        UM_HD column(const group_bwd &f, int64_t image, int64_t k)
        {
            const float *row = f.rows + image * BWD_ROWS * f.c + k;
            for (int l = 0; l < V; l++) {
                scale[l] = row[BWD_SCALE * f.c + l];
                shift[l] = row[BWD_SHIFT * f.c + l];
                slope[l] = row[BWD_SLOPE * f.c + l];
                mean[l] = row[BWD_MEAN * f.c + l];
            }
        }
        UM_HD float at(int l, const float *x) const { return scale[l] * x[0] - shift[l] - slope[l] * (x[1] - mean[l]); }
    };
};

/* ---- weight standardisation: filters are the columns of [rows][K] ---- */

struct products {
    template <int V> struct column {
        UM_HD column(const products &, int64_t, int64_t) {}
        UM_HD void add(int, const float *x, int64_t, double *s) const
        {
            s[0] += (double)x[0];
            s[1] += (double)x[0] * (double)x[1];
        }
    };
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

/* A filter as one image of rows x 1 pixels. */
um_view filter_rows(const um_view *w)
{
    um_view v = {w->data, UM_F32, 1, w->n * w->h * w->w, 1, w->c, w->c};
    return v;
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
    um_status rc = um_sum_columns<2>(cu, "norm_fwd", {x}, call->workspace, NULL, um_moments(), &sums);
    if (rc == UM_OK)
        rc = um_each(cu, "norm_fwd", x->n * groups, group_stats{sums, stats, x->c, groups, pixels, eps});
    group_apply f = {gamma, beta, stats, x->c / groups, groups};
    return rc == UM_OK ? um_map_columns(cu, "norm_fwd", {x}, *y, false, f) : rc;
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
    const um_view *dy = &call->in[0], *x = &call->in[1];
    const float *stats = (const float *)call->in[2].data;
    double *sums = (double *)call->out[0].data;
    int64_t groups = call->attr.norm.groups;
    if (groups == 0)
        return um_sum_columns<2>(cu, "norm_bwd_sums", {dy, x}, call->workspace, sums, layer_bwd_sums{stats}, NULL);
    return um_sum_columns<2>(cu, "norm_bwd_sums", {dy, x}, call->workspace, sums, group_bwd_sums{stats, groups, x->c / groups}, NULL);
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
    return rc == UM_OK ? um_map_columns(cu, "norm_bwd", {dy, x}, *dx, call->accumulate, group_bwd{rows, x->c}) : rc;
}

UM_CUDA_PREPARE(ws_fwd)
{
    (void)cu;
    *bytes = um_sum_bytes(1, filter_rows(&call->in[0]).h, call->in[0].c, 2);
    return UM_OK;
}

UM_CUDA_OP(ws_fwd)
{
    um_view w = filter_rows(&call->in[0]);
    double *sums;
    um_status rc = um_sum_columns<2>(cu, "ws_fwd", {&w}, call->workspace, NULL, um_moments(), &sums);
    standardise f = {(const float *)w.data, (float *)call->out[0].data, (float *)call->out[1].data, sums, w.h, w.c, call->attr.ws.eps};
    return rc == UM_OK ? um_each(cu, "ws_fwd", um_view_count(&w), f) : rc;
}

UM_CUDA_PREPARE(ws_bwd)
{
    (void)cu;
    *bytes = um_sum_bytes(1, filter_rows(&call->in[0]).h, call->in[0].c, 2);
    return UM_OK;
}

UM_CUDA_OP(ws_bwd)
{
    um_view dh = filter_rows(&call->in[0]), h = filter_rows(&call->in[1]);
    double *sums;
    um_status rc = um_sum_columns<2>(cu, "ws_bwd", {&dh, &h}, call->workspace, NULL, products(), &sums);
    standardise_bwd f = {(const float *)dh.data, (const float *)h.data, (const float *)call->in[2].data, sums, (float *)call->out[0].data,
        dh.h, dh.c, call->accumulate};
    return rc == UM_OK ? um_each(cu, "ws_bwd", um_view_count(&dh), f) : rc;
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
