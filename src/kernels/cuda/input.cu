/* Images on their way into a network: rows of a dataset, and steps in a ball around them (ops.h GATHER, BALL_STEP). */
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
