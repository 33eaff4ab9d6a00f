#include <math.h>

#include "ref/ref_ops.h"

void um_ref_channel_sum(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *db = &call->out[0];
    REF_FOR(db, a, b, c, k) *ref_at(db, a, b, c, k) = 0;
    REF_FOR(dy, i, r, c, k) *ref_at(db, 0, 0, 0, k) += *ref_at(dy, i, r, c, k);
}

/* Whose sums and coefficients image i has. */
static int64_t owner(const um_op_call *call, int64_t i)
{
    return call->attr.bn.per_lane ? i : 0;
}

void um_ref_bn_stats(const um_op_call *call)
{
    const um_view *x = &call->in[0], *s = &call->out[0];
    REF_FOR(s, a, b, row, k) *ref_at(s, a, b, row, k) = 0;
    REF_FOR(x, i, r, c, k)
    {
        double v = *ref_at(x, i, r, c, k);
        *ref_at(s, owner(call, i), 0, 0, k) += v;
        *ref_at(s, owner(call, i), 0, 1, k) += v * v;
    }
}

/* The lane that local image i lies in. */
static int lane_of(const um_batch *b, int64_t i)
{
    int l = 0;
    while (b->lane_begin[l + 1] <= i)
        l++;
    return l;
}

/* Elements of s over hw pixels of each image of the lane of image i, divided by their number. */
static double lane_mean(const um_op_call *call, const um_view *s, int64_t i, int64_t row, int64_t k, int64_t hw)
{
    int lane = lane_of(call->batch, i);
    int64_t begin = call->batch->lane_begin[lane], end = call->batch->lane_begin[lane + 1];
    double sum = 0;
    for (int64_t j = begin; j < end; j++)
        sum += *ref_at(s, j, 0, row, k);
    return sum / (double)((end - begin) * hw);
}

static void bn_coef_per_lane(const um_op_call *call)
{
    const um_view *s = &call->in[0], *coef = &call->out[0];
    for (int64_t i = 0; i < coef->n; i++)
        for (int64_t k = 0; k < coef->c; k++) {
            double mean = lane_mean(call, s, i, 0, k, call->attr.bn.hw),
                   var = lane_mean(call, s, i, 1, k, call->attr.bn.hw) - mean * mean;
            double r = 1 / sqrt(var + call->attr.bn.eps), a = *ref_at(&call->in[1], 0, 0, 0, k) * r;
            *ref_at(coef, i, 0, 0, k) = mean;
            *ref_at(coef, i, 0, 1, k) = r;
            *ref_at(coef, i, 0, 2, k) = a;
            *ref_at(coef, i, 0, 3, k) = *ref_at(&call->in[2], 0, 0, 0, k) - mean * a;
        }
}

void um_ref_bn_coef(const um_op_call *call)
{
    const um_view *s = &call->in[0], *gamma = &call->in[1], *beta = &call->in[2], *coef = &call->out[0];
    double m = (double)(call->batch->n_total * call->attr.bn.hw), step = call->attr.bn.momentum;
    if (call->attr.bn.per_lane) {
        bn_coef_per_lane(call);
        return;
    }
    for (int64_t k = 0; k < coef->c; k++) {
        double mean, var;
        if (call->attr.bn.eval) {
            mean = *ref_at(&call->in[3], 0, 0, 0, k);
            var = *ref_at(&call->in[4], 0, 0, 0, k);
        } else {
            mean = *ref_at(s, 0, 0, 0, k) / m;
            var = *ref_at(s, 0, 0, 1, k) / m - mean * mean;
        }
        double r = 1 / sqrt(var + call->attr.bn.eps);
        *ref_at(coef, 0, 0, 0, k) = mean;
        *ref_at(coef, 0, 0, 1, k) = r;
        *ref_at(coef, 0, 0, 2, k) = *ref_at(gamma, 0, 0, 0, k) * r;
        *ref_at(coef, 0, 0, 3, k) = *ref_at(beta, 0, 0, 0, k) - mean * *ref_at(gamma, 0, 0, 0, k) * r;
        if (call->attr.bn.eval || !call->out[1].data)
            continue;
        double *run_mean = ref_at(&call->out[1], 0, 0, 0, k), *run_var = ref_at(&call->out[2], 0, 0, 0, k);
        *run_mean = (1 - step) * *run_mean + step * mean;
        *run_var = (1 - step) * *run_var + step * var * m / (m - 1);
    }
}

void um_ref_bn_apply(const um_op_call *call)
{
    const um_view *x = &call->in[0], *coef = &call->in[1], *y = &call->out[0];
    REF_FOR(y, i, r, c, k)
    {
        double v = *ref_at(coef, owner(call, i), 0, 2, k) * *ref_at(x, i, r, c, k) + *ref_at(coef, owner(call, i), 0, 3, k);
        *ref_at(y, i, r, c, k) = call->attr.bn.relu ? fmax(v, 0) : v;
    }
}

/* The upstream gradient where relu let the value pass. */
static double passed(const um_op_call *call, int64_t i, int64_t r, int64_t c, int64_t k)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *coef = &call->in[2];
    double v = *ref_at(coef, owner(call, i), 0, 2, k) * *ref_at(x, i, r, c, k) + *ref_at(coef, owner(call, i), 0, 3, k);
    return call->attr.bn.relu && v <= 0 ? 0 : *ref_at(dy, i, r, c, k);
}

static double normalised(const um_op_call *call, int64_t i, int64_t r, int64_t c, int64_t k)
{
    const um_view *x = &call->in[1], *coef = &call->in[2];
    return (*ref_at(x, i, r, c, k) - *ref_at(coef, owner(call, i), 0, 0, k)) * *ref_at(coef, owner(call, i), 0, 1, k);
}

void um_ref_bn_bwd_sums(const um_op_call *call)
{
    const um_view *x = &call->in[1], *s = &call->out[0];
    REF_FOR(s, a, b, row, k) *ref_at(s, a, b, row, k) = 0;
    REF_FOR(x, i, r, c, k)
    {
        double g = passed(call, i, r, c, k);
        *ref_at(s, owner(call, i), 0, 0, k) += g;
        *ref_at(s, owner(call, i), 0, 1, k) += g * normalised(call, i, r, c, k);
    }
    const um_view *rounded = &call->out[1];
    for (int64_t k = 0; rounded->data && k < 2 * s->c; k++)
        *ref_at(rounded, 0, 0, k / s->c, k % s->c) = *ref_at(s, 0, 0, k / s->c, k % s->c);
}

void um_ref_bn_bwd_param(const um_op_call *call)
{
    const um_view *s = &call->in[0], *dgamma = &call->out[0], *dbeta = &call->out[1];
    for (int64_t k = 0; k < s->c; k++) {
        *ref_at(dgamma, 0, 0, 0, k) = *ref_at(s, 0, 0, 1, k);
        *ref_at(dbeta, 0, 0, 0, k) = *ref_at(s, 0, 0, 0, k);
    }
}

void um_ref_bn_bwd_apply(const um_op_call *call)
{
    const um_view *x = &call->in[1], *coef = &call->in[2], *s = &call->in[3], *dx = &call->out[0];
    double m = (double)(call->batch->n_total * x->h * x->w);
    REF_FOR(dx, i, r, c, k)
    {
        double d = passed(call, i, r, c, k);
        if (call->attr.bn.per_lane)
            d -= lane_mean(call, s, i, 0, k, x->h * x->w) + normalised(call, i, r, c, k) * lane_mean(call, s, i, 1, k, x->h * x->w);
        else if (s->data && !call->attr.bn.eval)
            d -= *ref_at(s, 0, 0, 0, k) / m + normalised(call, i, r, c, k) * *ref_at(s, 0, 0, 1, k) / m;
        *ref_at(dx, i, r, c, k) = *ref_at(coef, owner(call, i), 0, 2, k) * d;
    }
}

void um_ref_all_reduce(const um_op_call *call)
{
    const um_view *s = &call->in[0], *t = &call->out[0];
    REF_FOR(s, a, b, c, k) *ref_at(t, a, b, c, k) = *ref_at(s, a, b, c, k); /* one rank */
}
