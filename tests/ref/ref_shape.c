#include <math.h>

#include "ref/ref_ops.h"

static bool inside(const um_view *v, int64_t r, int64_t c)
{
    return r >= 0 && c >= 0 && r < v->h && c < v->w;
}

void um_ref_maxpool_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *which = &call->out[1];
    int64_t size = call->attr.pool.size, stride = call->attr.pool.stride, pad = call->attr.pool.pad;
    REF_FOR(y, i, r, c, k)
    {
        double best = -INFINITY;
        int64_t row = r * stride - pad, col = c * stride - pad, at = -1;
        for (int64_t t = 0; t < size * size; t++)
            if (inside(x, row + t / size, col + t % size) && (at < 0 || *ref_at(x, i, row + t / size, col + t % size, k) > best)) {
                at = t;
                best = *ref_at(x, i, row + t / size, col + t % size, k);
            }
        *ref_at(y, i, r, c, k) = best;
        *ref_byte_at(which, i, r, c, k) = (uint8_t)at;
    }
}

void um_ref_maxpool_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    int64_t size = call->attr.pool.size, stride = call->attr.pool.stride, pad = call->attr.pool.pad;
    REF_FOR(dx, i, r, c, k) *ref_at(dx, i, r, c, k) = 0;
    REF_FOR(dy, i, r, c, k)
    {
        int64_t place = *ref_byte_at(which, i, r, c, k), row = r * stride - pad + place / size, col = c * stride - pad + place % size;
        if (inside(dx, row, col))
            *ref_at(dx, i, row, col, k) += *ref_at(dy, i, r, c, k);
    }
}

/* Weight of input i for output o of an axis of length in. */
static double axis_weight(um_upsample_mode mode, int64_t o, int64_t i, int64_t in)
{
    if (mode == UM_UPSAMPLE_NEAREST)
        return o / 2 == i;
    double place = (double)o * (double)(in - 1) / (double)(2 * in - 1);
    return fmax(0, 1 - fabs(place - (double)i));
}

void um_ref_upsample_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    um_upsample_mode mode = call->attr.upsample.mode;
    REF_FOR(y, i, r, c, k)
    {
        double sum = 0;
        for (int64_t u = 0; u < x->h; u++)
            for (int64_t v = 0; v < x->w; v++)
                sum += axis_weight(mode, r, u, x->h) * axis_weight(mode, c, v, x->w) * *ref_at(x, i, u, v, k);
        *ref_at(y, i, r, c, k) = sum;
    }
}

void um_ref_upsample_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    um_upsample_mode mode = call->attr.upsample.mode;
    REF_FOR(dx, i, u, v, k)
    {
        double sum = 0;
        for (int64_t r = 0; r < dy->h; r++)
            for (int64_t c = 0; c < dy->w; c++)
                sum += axis_weight(mode, r, u, dx->h) * axis_weight(mode, c, v, dx->w) * *ref_at(dy, i, r, c, k);
        *ref_at(dx, i, u, v, k) = sum;
    }
}

void um_ref_window(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = ref_padded(x, i, r + call->attr.window.top, c + call->attr.window.left, k);
}

void um_ref_add(const um_op_call *call)
{
    const um_view *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = *ref_at(a, i, r, c, k) + *ref_at(b, i, r, c, k);
}

void um_ref_copy(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = *ref_at(x, i, r, c, k);
}

void um_ref_fill(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = call->attr.fill.value;
}

void um_ref_avgpool_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t kh = call->attr.pool.size ? call->attr.pool.size : x->h, kw = call->attr.pool.size ? call->attr.pool.size : x->w;
    REF_FOR(y, i, r, c, k)
    {
        double sum = 0;
        for (int64_t u = 0; u < kh * kw; u++)
            sum += *ref_at(x, i, r * kh + u / kw, c * kw + u % kw, k);
        *ref_at(y, i, r, c, k) = sum / (double)(kh * kw);
    }
}

void um_ref_avgpool_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    int64_t kh = call->attr.pool.size ? call->attr.pool.size : dx->h, kw = call->attr.pool.size ? call->attr.pool.size : dx->w;
    REF_FOR(dx, i, r, c, k) *ref_at(dx, i, r, c, k) = 0;
    REF_FOR(dy, i, r, c, k)
    for (int64_t u = 0; u < kh * kw; u++)
        *ref_at(dx, i, r * kh + u / kw, c * kw + u % kw, k) = *ref_at(dy, i, r, c, k) / (double)(kh * kw);
}
