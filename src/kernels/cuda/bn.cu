/* Batch normalisation, and sums over channels (ops.h; layers.md section 2). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { COEF_MEAN, COEF_R, COEF_A, COEF_B, COEF_ROWS };

/* Coefficients [COEF_ROWS][c]: of all images, or of each (statistics per lane). */
struct coefs {
    const float *data;
    int64_t c;
    bool each;
    UM_HD float at(int64_t image, int row, int64_t k) const { return data[((each ? image * COEF_ROWS : 0) + row) * c + k]; }
};

coefs coefs_of(const um_view *coef)
{
    coefs f = {(const float *)coef->data, coef->c, coef->n > 1};
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

/* Columns of um_sum_columns and um_map_columns. */

struct channel_values {
    template <int V> struct column {
        UM_HD column(const channel_values &, int64_t, int64_t) {}
        UM_HD void add(int, const float *x, int64_t, double *s) const { s[0] += (double)x[0]; }
    };
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
    template <int V> struct column {
        float a[V], b[V];
        bool relu;
        UM_HD column(const apply &f, int64_t image, int64_t k) : relu(f.relu)
        {
            for (int l = 0; l < V; l++) {
                a[l] = f.rows.at(image, COEF_A, k + l);
                b[l] = f.rows.at(image, COEF_B, k + l);
            }
        }
        UM_HD float at(int l, const float *x) const
        {
            float v = a[l] * x[0] + b[l];
            return relu && v < 0 ? 0 : v;
        }
    };
};

/* x[0]: dy, x[1]: x. s: sums of g and of g*(x - mean)*r, with g = dy where the ReLU let x through. */
struct bwd_sums {
    coefs rows;
    bool relu;
    template <int V> struct column {
        float a[V], b[V], mean[V], r[V];
        bool relu;
        UM_HD column(const bwd_sums &f, int64_t image, int64_t k) : relu(f.relu)
        {
            for (int l = 0; l < V; l++) {
                a[l] = f.rows.at(image, COEF_A, k + l);
                b[l] = f.rows.at(image, COEF_B, k + l);
                mean[l] = f.rows.at(image, COEF_MEAN, k + l);
                r[l] = f.rows.at(image, COEF_R, k + l);
            }
        }
        UM_HD void add(int l, const float *x, int64_t, double *s) const
        {
            float y = a[l] * x[1] + b[l];
            double g = relu && y <= 0 ? 0 : (double)x[0];
            s[0] += g;
            s[1] += g * (((double)x[1] - (double)mean[l]) * (double)r[l]);
        }
    };
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

/* dx = a*g + k1*(x - mean) + k0 with k1 = -a*r*s1/m, k0 = -a*s0/m, m the pixels that the statistics are of. x[0]: dy, x[1]: x. */
struct bwd_apply {
    coefs rows;
    const double *s; /* [2][c], or of every image; NULL: eval */
    int64_t hw;
    double n_total;
    bool relu, per_lane;
    um_lanes lanes;
    template <int V> struct column {
        float a[V], b[V], mean[V], k1[V], k0[V];
        bool relu;
        UM_HD column(const bwd_apply &f, int64_t image, int64_t k) : relu(f.relu)
        {
            int lane = f.per_lane ? lane_of(f.lanes, image) : 0;
            double n = f.per_lane ? (double)(f.lanes.begin[lane + 1] - f.lanes.begin[lane]) : f.n_total, share = -1 / (n * (double)f.hw);
            for (int l = 0; l < V; l++) {
                a[l] = f.rows.at(image, COEF_A, k + l);
                b[l] = f.rows.at(image, COEF_B, k + l);
                mean[l] = f.rows.at(image, COEF_MEAN, k + l);
                double slope = (double)a[l] * share, r = (double)f.rows.at(image, COEF_R, k + l);
                k1[l] = (float)(slope * r * f.sum(lane, f.rows.c + k + l));
                k0[l] = (float)(slope * f.sum(lane, k + l));
            }
        }
        UM_HD float at(int l, const float *x) const
        {
            float y = a[l] * x[1] + b[l], g = relu && y <= 0 ? 0 : x[0];
            return a[l] * g + (k1[l] * (x[1] - mean[l]) + k0[l]);
        }
    };
    UM_HD double sum(int lane, int64_t k) const
    {
        return !s ? 0 : per_lane ? lane_sum(lanes, lane, s, rows.c, k) : s[k];
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
    um_status rc = um_sum_columns<1>(cu, "channel_sum", {x}, call->workspace, NULL, channel_values(), &sums);
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
    um_status rc = um_sum_columns<2>(cu, "bn_stats", {x}, call->workspace, own, um_moments(), &sums);
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
    apply f = {coefs_of(&call->in[1]), call->attr.bn.relu};
    return um_map_columns(cu, "bn_apply", {&call->in[0]}, call->out[0], false, f);
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
    bwd_sums add = {coefs_of(&call->in[2]), call->attr.bn.relu};
    um_status rc = um_sum_columns<2>(cu, "bn_bwd_sums", {&call->in[0], x}, call->workspace, own, add, &sums);
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

UM_CUDA_OP(bn_bwd_apply)
{
    const um_view *x = &call->in[1];
    bwd_apply f;
    f.rows = coefs_of(&call->in[2]);
    f.s = call->attr.bn.eval ? NULL : (const double *)call->in[3].data;
    f.hw = x->h * x->w;
    f.n_total = (double)call->batch->n_total;
    f.relu = call->attr.bn.relu;
    f.per_lane = call->attr.bn.per_lane;
    f.lanes = um_lanes_of(call->batch);
    return um_map_columns(cu, "bn_bwd_apply", {&call->in[0], x}, call->out[0], call->accumulate, f);
}
