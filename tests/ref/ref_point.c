#include <math.h>

#include "ref/ref_ops.h"

static double clamp(double v, double lo, double hi)
{
    return fmin(fmax(v, lo), hi);
}

void um_ref_bound_fwd(const um_op_call *call)
{
    const um_view *z = &call->in[0], *bound = &call->in[1], *d = &call->out[0];
    um_bound_rule rule = call->attr.bound.rule;
    REF_FOR(d, i, r, c, k)
    {
        double v = call->attr.bound.gain * *ref_at(z, i, r, c, k), b = *ref_at(bound, i, r, c, 0);
        if (rule == UM_BOUND_BOX_TANH)
            *ref_at(d, i, r, c, k) = b * tanh(v);
        else
            *ref_at(d, i, r, c, k) = clamp(rule == UM_BOUND_TANH_THEN_CLIP ? tanh(v) : v, -b, b);
    }
}

static double bound_slope(um_bound_rule rule, double v, double b, double g)
{
    double t = tanh(v);
    switch (rule) {
    case UM_BOUND_BOX_TANH: return b * (1 - t * t) * g;
    case UM_BOUND_CLIP_MASKED: return fabs(v) < b ? g : 0;
    case UM_BOUND_CLIP_STE: return b > 0 ? g : 0;
    case UM_BOUND_CLIP_INWARD:
        if (b == 0 || (v >= b && g < 0) || (v <= -b && g > 0))
            return 0;
        return g;
    case UM_BOUND_TANH_THEN_CLIP: return fabs(t) < b ? (1 - t * t) * g : 0;
    }
    return NAN;
}

void um_ref_bound_bwd(const um_op_call *call)
{
    const um_view *z = &call->in[0], *bound = &call->in[1], *dd = &call->in[2], *dz = &call->out[0];
    double gain = call->attr.bound.gain;
    REF_FOR(dz, i, r, c, k)
    *ref_at(dz, i, r, c, k) = gain * bound_slope(call->attr.bound.rule, gain * *ref_at(z, i, r, c, k), *ref_at(bound, i, r, c, 0),
                                                 *ref_at(dd, i, r, c, k));
}

void um_ref_clip_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = clamp(*ref_at(x, i, r, c, k), call->attr.clip.lo, call->attr.clip.hi);
}

void um_ref_clip_bwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *dy = &call->in[1], *dv = &call->out[0];
    double lo = call->attr.clip.lo, hi = call->attr.clip.hi;
    REF_FOR(dv, i, r, c, k)
    {
        double v = *ref_at(x, i, r, c, k), g = *ref_at(dy, i, r, c, k);
        bool stop = false;
        if (call->attr.clip.rule == UM_CLIP_INWARD)
            stop = (v >= hi && g < 0) || (v <= lo && g > 0);
        else if (call->attr.clip.rule == UM_CLIP_MASKED)
            stop = v < lo || v > hi;
        *ref_at(dv, i, r, c, k) = stop ? 0 : g;
    }
}

void um_ref_gather(const um_op_call *call)
{
    const um_view *d = &call->in[0], *x = &call->out[0];
    const uint8_t *bytes = d->data;
    REF_FOR(x, i, r, c, k)
    {
        int64_t row = (int64_t)*ref_at(&call->in[1], i, 0, 0, 0), at = ((row * x->h + r) * x->w + c) * x->c + k;
        if (d->dtype != UM_U8)
            *ref_at(x, i, r, c, k) = *ref_at(d, row, r, c, k);
        else if (d->c == x->c)
            *ref_at(x, i, r, c, k) = bytes[at] / call->attr.gather.most;
        else
            *ref_at(x, i, r, c, k) = (bytes[2 * at] + 256.0 * bytes[2 * at + 1]) / call->attr.gather.most;
    }
}

void um_ref_ball_step(const um_op_call *call)
{
    const um_view *x = &call->in[0], *g = &call->in[1], *open = &call->in[2], *v = &call->out[0];
    double eps = *ref_at(&call->in[3], 0, 0, 0, 0), step = *ref_at(&call->in[3], 0, 0, 0, 1);
    REF_FOR(v, i, r, c, k)
    {
        double from = *ref_at(x, i, r, c, k), slope = *ref_at(g, i, r, c, k), sign = slope > 0 ? 1 : slope < 0 ? -1 : 0;
        double to = clamp(from + clamp(*ref_at(v, i, r, c, k) + step * sign - from, -eps, eps), 0, 1);
        *ref_at(v, i, r, c, k) = open->data && *ref_at(open, i, r, c, 0) == 0 ? from : to;
    }
}

void um_ref_group_mean(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t groups = x->c / y->c;
    REF_FOR(y, i, r, c, k)
    {
        double sum = 0;
        for (int64_t g = 0; g < groups; g++)
            sum += *ref_at(x, i, r, c, g * y->c + k);
        *ref_at(y, i, r, c, k) = sum / (double)groups;
    }
}

void um_ref_vr_add(const um_op_call *call)
{
    const um_view *s = &call->out[0];
    REF_FOR(s, i, r, c, k)
    {
        double d = *ref_at(&call->in[0], i, r, c, k), g = *ref_at(&call->in[1], i, r, c, k), m = *ref_at(&call->in[2], i, r, c, k);
        *ref_at(s, i, r, c, k) += d - g + m;
    }
}

void um_ref_adam(const um_op_call *call)
{
    const um_adam_attr *a = &call->attr.adam;
    double rate = *ref_at(&call->in[1], 0, 0, 0, 0), step = *ref_at(&call->in[1], 0, 0, 0, 1);
    const um_view *grad = &call->in[0];
    REF_FOR(grad, i, r, c, k)
    {
        double *value = ref_at(&call->out[0], i, r, c, k);
        double *m = ref_at(&call->out[1], i, r, c, k), *v = ref_at(&call->out[2], i, r, c, k);
        double g = *ref_at(grad, i, r, c, k) + a->weight_decay * *value;
        if (a->sgd) {
            *m = a->b1 * *m + g;
            *value -= rate * *m;
            continue;
        }
        *m = a->b1 * *m + (1 - a->b1) * g;
        *v = a->b2 * *v + (1 - a->b2) * g * g;
        double m_hat = *m / (1 - pow(a->b1, step)), v_hat = *v / (1 - pow(a->b2, step));
        *value -= rate * m_hat / (sqrt(v_hat) + a->eps);
    }
}
