/* Batch normalisation, and sums over channels (ops.h; layers.md section 2). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { COEF_MEAN, COEF_R, COEF_A, COEF_B, COEF_ROWS };

/* Coefficients [COEF_ROWS][c]: of all images, or of each (statistics per lane). */
struct coefs {
    const float *data;
    int64_t c, pixels; /* of an image; 0: one set for all */
    UM_HD const float *at(int64_t p) const { return data + (pixels ? um_split(p, pixels).a * COEF_ROWS * c : 0); }
};

coefs coefs_of(const um_view *coef, const um_view *x)
{
    coefs f = {(const float *)coef->data, coef->c, coef->n > 1 ? x->h * x->w : 0};
    return f;
}

/* The lane that holds an image. */
UM_HD int lane_of(const um_lanes &lanes, int64_t image)
{
    int l = 0;
    while (l + 1 < lanes.n && image >= lanes.begin[l + 1])
        l++;
    return l;
}

/* Element k of the sums of single images [n][2][c], over the images of a lane. */
UM_HD double lane_sum(const um_lanes &lanes, int l, const double *s, int64_t c, int64_t k)
{
    double sum = 0;
    for (int64_t i = lanes.begin[l]; i < lanes.begin[l + 1]; i++)
        sum += s[i * 2 * c + k];
    return sum;
}

struct channel_values {
    um_view x;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const { s[0] += (double)um_get(x, p, k); }
};

struct moments {
    um_view x;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
        double v = (double)um_get(x, p, k);
        s[0] += v;
        s[1] += v * v;
    }
};

UM_HD void put_coef(float *coef, int64_t c, int64_t k, float gamma, float beta, double mean, double var, double eps)
{
    double r = 1 / sqrt(var + eps), a = (double)gamma * r;
    coef[COEF_MEAN * c + k] = (float)mean;
    coef[COEF_R * c + k] = (float)r;
    coef[COEF_A * c + k] = (float)a;
    coef[COEF_B * c + k] = (float)((double)beta - mean * a);
}

/* Item (image, channel). */
struct lane_coef_item {
    const double *s;
    const float *gamma, *beta;
    float *coef;
    int64_t c, hw;
    double eps;
    um_lanes lanes;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, c);
        int l = lane_of(lanes, at.a);
        double m = (double)((lanes.begin[l + 1] - lanes.begin[l]) * hw), mean = lane_sum(lanes, l, s, c, at.b) / m;
        double var = fmax(lane_sum(lanes, l, s, c, c + at.b) / m - mean * mean, 0.0);
        put_coef(coef + at.a * COEF_ROWS * c, c, at.b, gamma[at.b], beta[at.b], mean, var, eps);
    }
};

struct coef_item {
    const double *s;
    const float *gamma, *beta, *mean_in, *var_in;
    float *coef, *run_mean, *run_var;
    int64_t c;
    double m, eps, momentum;
    bool eval;
    UM_HD void operator()(int64_t k) const
    {
        double mean = eval ? (double)mean_in[k] : s[k] / m;
        double var = eval ? (double)var_in[k] : fmax(s[c + k] / m - mean * mean, 0.0);
        put_coef(coef, c, k, gamma[k], beta[k], mean, var, eps);
        if (!eval && run_mean)
            run_mean[k] = (float)((1 - momentum) * (double)run_mean[k] + momentum * mean);
        if (!eval && run_var)
            run_var[k] = (float)((1 - momentum) * (double)run_var[k] + momentum * (m > 1 ? var * m / (m - 1) : var));
    }
};

struct apply {
    coefs rows;
    bool relu;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const
    {
        const float *coef = rows.at(p);
        int64_t c = rows.c;
        float v = coef[COEF_A * c + k] * x[0] + coef[COEF_B * c + k];
        return relu && v < 0 ? 0 : v;
    }
};

struct bwd_sums {
    um_view dy, x;
    coefs rows;
    bool relu;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
        const float *coef = rows.at(p);
        float v = um_get(x, p, k), y = coef[COEF_A * x.c + k] * v + coef[COEF_B * x.c + k];
        double g = relu && y <= 0 ? 0 : (double)um_get(dy, p, k);
        s[0] += g;
        s[1] += g * (((double)v - (double)coef[COEF_MEAN * x.c + k]) * (double)coef[COEF_R * x.c + k]);
    }
};

struct bwd_param {
    const float *s;
    float *dgamma, *dbeta;
    int64_t c;
    bool accumulate;
    UM_HD void operator()(int64_t k) const
    {
        dgamma[k] = (accumulate ? dgamma[k] : 0) + s[c + k];
        dbeta[k] = (accumulate ? dbeta[k] : 0) + s[k];
    }
};

/* dx = a*g + k1*(x - mean) + k0 with k1 = -a*r*s1/m, k0 = -a*s0/m; rows[sets][2][c] = k1, k0: of all images, or of each. */
struct bwd_rows {
    const double *s; /* NULL: eval */
    const float *coef;
    float *rows;
    int64_t c, hw;
    double n_total;
    bool per_lane;
    um_lanes lanes;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, c);
        int64_t k = at.b;
        int l = per_lane ? lane_of(lanes, at.a) : 0;
        const float *own = coef + at.a * COEF_ROWS * c;
        float *to = rows + at.a * 2 * c;
        double a = (double)own[COEF_A * c + k], r = (double)own[COEF_R * c + k];
        double m = (per_lane ? (double)(lanes.begin[l + 1] - lanes.begin[l]) : n_total) * (double)hw;
        double s0 = !s ? 0 : per_lane ? lane_sum(lanes, l, s, c, k) : s[k];
        double s1 = !s ? 0 : per_lane ? lane_sum(lanes, l, s, c, c + k) : s[c + k];
        to[k] = s ? (float)(-a * r * s1 / m) : 0;
        to[c + k] = s ? (float)(-a * s0 / m) : 0;
    }
};

/* x[0]: dy, x[1]: x. */
struct bwd_apply {
    coefs of;
    const float *shifts; /* [sets][2][c] */
    bool relu;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const
    {
        int64_t c = of.c;
        const float *coef = of.at(p), *rows = shifts + (of.pixels ? um_split(p, of.pixels).a * 2 * c : 0);
        float a = coef[COEF_A * c + k], y = a * x[1] + coef[COEF_B * c + k];
        float g = relu && y <= 0 ? 0 : x[0];
        float d = rows[k] * (x[1] - coef[COEF_MEAN * c + k]) + rows[c + k];
        return a * g + d;
    }
};

}

UM_CUDA_PREPARE(channel_sum)
{
    const um_view *x = &call->in[0];
    (void)cu;
    *bytes = um_sum_bytes(x->n, x->h * x->w, x->c, 1);
    return UM_OK;
}

UM_CUDA_OP(channel_sum)
{
    const um_view *x = &call->in[0];
    double *sums;
    um_status rc = um_sum_images<1>(cu, "channel_sum", x->n, x->h * x->w, x->c, call->workspace, NULL, channel_values{*x}, &sums);
    um_lane_sums f = {sums, x->c, um_lanes_of(call->batch), NULL, (float *)call->out[0].data, call->accumulate};
    return rc == UM_OK ? um_each(cu, "channel_sum", x->c, f) : rc;
}

UM_CUDA_PREPARE(bn_stats)
{
    const um_view *x = &call->in[0];
    (void)cu;
    *bytes = um_sum_bytes(x->n, x->h * x->w, x->c, 2);
    return UM_OK;
}

UM_CUDA_OP(bn_stats)
{
    const um_view *x = &call->in[0];
    double *sums, *own = call->attr.bn.per_lane ? (double *)call->out[0].data : NULL;
    um_status rc = um_sum_images<2>(cu, "bn_stats", x->n, x->h * x->w, x->c, call->workspace, own, moments{*x}, &sums);
    if (own)
        return rc;
    um_lane_sums f = {sums, 2 * x->c, um_lanes_of(call->batch), (double *)call->out[0].data, NULL, false};
    return rc == UM_OK ? um_each(cu, "bn_stats", 2 * x->c, f) : rc;
}

static um_status coef_per_lane(um_cuda *cu, const um_op_call *call)
{
    lane_coef_item f;
    f.s = (const double *)call->in[0].data;
    f.gamma = (const float *)call->in[1].data;
    f.beta = (const float *)call->in[2].data;
    f.coef = (float *)call->out[0].data;
    f.c = call->out[0].c;
    f.hw = call->attr.bn.hw;
    f.eps = call->attr.bn.eps;
    f.lanes = um_lanes_of(call->batch);
    return um_each(cu, "bn_coef", call->in[0].n * f.c, f);
}

UM_CUDA_OP(bn_coef)
{
    coef_item f;
    if (call->attr.bn.per_lane)
        return coef_per_lane(cu, call);
    f.s = (const double *)call->in[0].data;
    f.gamma = (const float *)call->in[1].data;
    f.beta = (const float *)call->in[2].data;
    f.mean_in = (const float *)call->in[3].data;
    f.var_in = (const float *)call->in[4].data;
    f.coef = (float *)call->out[0].data;
    f.run_mean = (float *)call->out[1].data;
    f.run_var = (float *)call->out[2].data;
    f.c = call->out[0].c;
    f.m = (double)(call->batch->n_total * call->attr.bn.hw);
    f.eps = call->attr.bn.eps;
    f.momentum = call->attr.bn.momentum;
    f.eval = call->attr.bn.eval;
    return um_each(cu, "bn_coef", f.c, f);
}

UM_CUDA_OP(bn_apply)
{
    apply f = {coefs_of(&call->in[1], &call->in[0]), call->attr.bn.relu};
    return um_map(cu, "bn_apply", {&call->in[0]}, call->out[0], false, f);
}

UM_CUDA_PREPARE(bn_bwd_sums)
{
    const um_view *x = &call->in[1];
    (void)cu;
    *bytes = um_sum_bytes(x->n, x->h * x->w, x->c, 2);
    return UM_OK;
}

UM_CUDA_OP(bn_bwd_sums)
{
    const um_view *x = &call->in[1];
    double *sums, *own = call->attr.bn.per_lane ? (double *)call->out[0].data : NULL;
    bwd_sums add = {call->in[0], *x, coefs_of(&call->in[2], x), call->attr.bn.relu};
    um_status rc = um_sum_images<2>(cu, "bn_bwd_sums", x->n, x->h * x->w, x->c, call->workspace, own, add, &sums);
    if (own)
        return rc;
    um_lane_sums f = {sums, 2 * x->c, um_lanes_of(call->batch), (double *)call->out[0].data, (float *)call->out[1].data, false};
    return rc == UM_OK ? um_each(cu, "bn_bwd_sums", 2 * x->c, f) : rc;
}

UM_CUDA_OP(bn_bwd_param)
{
    bwd_param f = {(const float *)call->in[0].data, (float *)call->out[0].data, (float *)call->out[1].data, call->in[0].c,
        call->accumulate};
    return um_each(cu, "bn_bwd_param", f.c, f);
}

UM_CUDA_PREPARE(bn_bwd_apply)
{
    (void)cu;
    *bytes = 2 * (size_t)(call->in[2].n * call->in[1].c) * sizeof(float);
    return UM_OK;
}

UM_CUDA_OP(bn_bwd_apply)
{
    const um_view *x = &call->in[1];
    const um_view *coef = &call->in[2];
    const um_batch *batch = call->batch;
    bwd_rows first;
    first.s = call->attr.bn.eval ? NULL : (const double *)call->in[3].data;
    first.coef = (const float *)coef->data;
    first.rows = (float *)call->workspace;
    first.c = x->c;
    first.hw = x->h * x->w;
    first.n_total = (double)batch->n_total;
    first.per_lane = call->attr.bn.per_lane;
    first.lanes = um_lanes_of(batch);
    bwd_apply f = {coefs_of(coef, x), first.rows, call->attr.bn.relu};
    um_status rc = um_each(cu, "bn_bwd_apply", coef->n * x->c, first);
    return rc == UM_OK ? um_map(cu, "bn_bwd_apply", {&call->in[0], x}, call->out[0], call->accumulate, f) : rc;
}
