/* Images on their way into a network: rows of a dataset, steps in a ball around them, and directions made of several gradients
 * (ops.h GATHER, BALL_STEP, GROUP_MEAN, VR_ADD). */
#include "kernels/ball.h"
#include "kernels/cuda/device.cuh"

namespace {

struct gather {
    um_view d;
    const double *rows;
    int64_t ld; /* between rows */
    float *x;
    int64_t size, bytes; /* values of an image; bytes of a value, 0: f32 */
    double most;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, size);
        int64_t k = (int64_t)rows[at.a * ld] * size + at.b;
        const uint8_t *u = (const uint8_t *)d.data;
        if (bytes == 0)
            x[i] = ((const float *)d.data)[k];
        else
            x[i] = (float)((bytes == 2 ? u[2 * k] + 256 * u[2 * k + 1] : u[k]) / most);
    }
};

struct ball_step {
    const float *x, *g, *free;
    const double *ball;
    float *v;
    int64_t c;
    UM_HD void operator()(int64_t i) const
    {
        bool moves = !free || free[um_split(i, c).a] != 0;
        v[i] = moves ? (float)um_ball_moved(ball[0], ball[1], (double)v[i], (double)x[i], (double)g[i]) : x[i];
    }
};

struct group_mean {
    um_view x, y;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c);
        double sum = 0;
        for (int64_t g = at.b; g < x.c; g += y.c)
            sum += (double)um_get(x, at.a, g);
        um_put(y, at.a, at.b, (float)(sum / (double)(x.c / y.c)));
    }
};

struct vr_add {
    um_view d, g, m, s;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, s.c);
        double off = (double)um_get(g, at.a, at.b) - (double)um_get(m, at.a, at.b);
        um_put(s, at.a, at.b, (float)((double)um_get(s, at.a, at.b) + (double)um_get(d, at.a, at.b) - off));
    }
};

}

UM_CUDA_OP(gather)
{
    const um_view *d = &call->in[0], *rows = &call->in[1], *x = &call->out[0];
    int64_t bytes = d->dtype == UM_U8 ? d->c / x->c : 0;
    gather f = {*d, (const double *)rows->data, rows->ld, (float *)x->data, x->h * x->w * x->c, bytes, call->attr.gather.most};
    return um_each(cu, "gather", um_view_count(x), f);
}

UM_CUDA_OP(ball_step)
{
    const um_view *x = &call->in[0];
    ball_step f = {(const float *)x->data, (const float *)call->in[1].data, (const float *)call->in[2].data,
                   (const double *)call->in[3].data, (float *)call->out[0].data, x->c};
    return um_each(cu, "ball_step", um_view_count(x), f);
}

UM_CUDA_OP(group_mean)
{
    group_mean f = {call->in[0], call->out[0]};
    return um_each(cu, "group_mean", um_view_count(&f.y), f);
}

UM_CUDA_OP(vr_add)
{
    vr_add f = {call->in[0], call->in[1], call->in[2], call->out[0]};
    return um_each(cu, "vr_add", um_view_count(&f.s), f);
}
