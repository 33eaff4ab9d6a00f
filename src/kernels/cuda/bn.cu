/* Batch normalisation, and sums over channels (ops.h; layers.md section 2). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { COEF_MEAN, COEF_R, COEF_A, COEF_B };

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
        double r = 1 / sqrt(var + eps), a = (double)gamma[k] * r;
        coef[COEF_MEAN * c + k] = (float)mean;
        coef[COEF_R * c + k] = (float)r;
        coef[COEF_A * c + k] = (float)a;
        coef[COEF_B * c + k] = (float)((double)beta[k] - mean * a);
        if (!eval && run_mean)
            run_mean[k] = (float)((1 - momentum) * (double)run_mean[k] + momentum * mean);
        if (!eval && run_var)
            run_var[k] = (float)((1 - momentum) * (double)run_var[k] + momentum * (m > 1 ? var * m / (m - 1) : var));
    }
};

struct apply {
    const float *coef;
    int64_t c;
    bool relu;
    UM_HD float operator()(const float *x, int64_t, int64_t k) const
    {
        float v = coef[COEF_A * c + k] * x[0] + coef[COEF_B * c + k];
        return relu && v < 0 ? 0 : v;
    }
};

struct bwd_sums {
    um_view dy, x;
    const float *coef;
    bool relu;
    UM_HD void operator()(int64_t p, int64_t k, double *s) const
    {
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

/* dx = a*g + k1*(x - mean) + k0 with k1 = -a*r*s1/m, k0 = -a*s0/m; rows[2][c] = k1, k0. */
struct bwd_rows {
    const double *s; /* NULL: eval */
    const float *coef;
    float *rows;
    int64_t c;
    double m;
    UM_HD void operator()(int64_t k) const
    {
        double a = (double)coef[COEF_A * c + k], r = (double)coef[COEF_R * c + k];
        rows[k] = s ? (float)(-a * r * s[c + k] / m) : 0;
        rows[c + k] = s ? (float)(-a * s[k] / m) : 0;
    }
};

/* x[0]: dy, x[1]: x. */
struct bwd_apply {
    const float *coef, *rows;
    int64_t c;
    bool relu;
    UM_HD float operator()(const float *x, int64_t, int64_t k) const
    {
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
    double *sums;
    um_status rc = um_sum_images<2>(cu, "bn_stats", x->n, x->h * x->w, x->c, call->workspace, NULL, moments{*x}, &sums);
    um_lane_sums f = {sums, 2 * x->c, um_lanes_of(call->batch), (double *)call->out[0].data, NULL, false};
    return rc == UM_OK ? um_each(cu, "bn_stats", 2 * x->c, f) : rc;
}

UM_CUDA_OP(bn_coef)
{
    coef_item f;
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
    apply f = {(const float *)call->in[1].data, call->in[1].c, call->attr.bn.relu};
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
    double *sums;
    bwd_sums add = {call->in[0], *x, (const float *)call->in[2].data, call->attr.bn.relu};
    um_status rc = um_sum_images<2>(cu, "bn_bwd_sums", x->n, x->h * x->w, x->c, call->workspace, NULL, add, &sums);
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
    *bytes = 2 * (size_t)call->in[1].c * sizeof(float);
    return UM_OK;
}

UM_CUDA_OP(bn_bwd_apply)
{
    const um_view *x = &call->in[1];
    const float *coef = (const float *)call->in[2].data;
    float *rows = (float *)call->workspace;
    bwd_rows first = {call->attr.bn.eval ? NULL : (const double *)call->in[3].data, coef, rows, x->c,
        (double)(call->batch->n_total * x->h * x->w)};
    bwd_apply f = {coef, rows, x->c, call->attr.bn.relu};
    um_status rc = um_each(cu, "bn_bwd_apply", x->c, first);
    return rc == UM_OK ? um_map(cu, "bn_bwd_apply", {&call->in[0], x}, call->out[0], call->accumulate, f) : rc;
}
