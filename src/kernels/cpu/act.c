/* Activations, the gate of attention U-Nets, and dropout. */
#include <math.h>

#include "base/rng.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"
#include "kernels/cpu/vmath.h"

UM_INLINE real erf_real(real x)
{
#if UM_REAL_IS_F64
    return erf(x);
#else
    return erff(x);
#endif
}

static const double sqrt_half = 0.70710678118654752440, inverse_sqrt_2pi = 0.39894228040143267794;

UM_INLINE real act_value(um_act kind, real x)
{
    switch (kind) {
    case UM_ACT_RELU: return x < 0 ? 0 : x;
    case UM_ACT_SIGMOID: return 1 / (1 + v_exp(-x));
    default: return (real)0.5 * x * (1 + erf_real(x * (real)sqrt_half));
    }
}

/* t: the output of relu and sigmoid, the input of gelu. */
UM_INLINE real act_slope(um_act kind, real t)
{
    switch (kind) {
    case UM_ACT_RELU: return t <= 0 ? 0 : 1;
    case UM_ACT_SIGMOID: return t * (1 - t);
    default: return (real)0.5 * (1 + erf_real(t * (real)sqrt_half)) + t * v_exp((real)-0.5 * t * t) * (real)inverse_sqrt_2pi;
    }
}

UM_INLINE void act_run(real *y, const real *x, int64_t n, um_act kind)
{
#pragma GCC ivdep
    for (int64_t k = 0; k < n; k++)
        y[k] = act_value(kind, x[k]);
}

static void act_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t step = um_view_dense(x) && um_view_dense(y) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        int64_t n = step * y->c;
        switch (call->attr.act.kind) { /* a loop of its own each, so that it becomes vectors */
        case UM_ACT_RELU: act_run(pixel_at(y, p), pixel_at(x, p), n, UM_ACT_RELU); break;
        case UM_ACT_SIGMOID: act_run(pixel_at(y, p), pixel_at(x, p), n, UM_ACT_SIGMOID); break;
        case UM_ACT_GELU: act_run(pixel_at(y, p), pixel_at(x, p), n, UM_ACT_GELU); break;
        }
    }
}

um_status UM_FN(um_cpu_act_fwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, act_span);
    return UM_OK;
}

UM_INLINE void act_bwd_run(real *dx, const real *dy, const real *t, int64_t n, um_act kind, bool accumulate)
{
#pragma GCC ivdep
    for (int64_t k = 0; k < n; k++) {
        real d = dy[k] * act_slope(kind, t[k]);
        dx[k] = accumulate ? dx[k] + d : d;
    }
}

static void act_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *t = &call->in[1], *dx = &call->out[0];
    bool add = call->accumulate;
    int64_t step = um_view_dense(dy) && um_view_dense(t) && um_view_dense(dx) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        int64_t n = step * dx->c;
        switch (call->attr.act.kind) {
        case UM_ACT_RELU: act_bwd_run(pixel_at(dx, p), pixel_at(dy, p), pixel_at(t, p), n, UM_ACT_RELU, add); break;
        case UM_ACT_SIGMOID: act_bwd_run(pixel_at(dx, p), pixel_at(dy, p), pixel_at(t, p), n, UM_ACT_SIGMOID, add); break;
        case UM_ACT_GELU: act_bwd_run(pixel_at(dx, p), pixel_at(dy, p), pixel_at(t, p), n, UM_ACT_GELU, add); break;
        }
    }
}

um_status UM_FN(um_cpu_act_bwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, act_bwd_span);
    return UM_OK;
}

static void gate_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *m = &call->in[1], *y = &call->out[0];
    for (int64_t p = begin; p < end; p++) {
        const real *restrict from = pixel_at(x, p);
        real *restrict to = pixel_at(y, p);
        real gate = *pixel_at(m, p);
        for (int64_t k = 0; k < y->c; k++)
            to[k] = call->accumulate ? to[k] + from[k] * gate : from[k] * gate;
    }
}

um_status UM_FN(um_cpu_gate_fwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, gate_span);
    return UM_OK;
}

static void gate_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dm = &call->out[0];
    for (int64_t p = begin; p < end; p++) {
        const real *g = pixel_at(dy, p), *v = pixel_at(x, p);
        double sum = 0;
        for (int64_t k = 0; k < x->c; k++)
            sum += (double)g[k] * (double)v[k];
        real *to = pixel_at(dm, p);
        *to = call->accumulate ? *to + (real)sum : (real)sum;
    }
}

um_status UM_FN(um_cpu_gate_bwd_m)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), call->in[0].c, gate_bwd_span);
    return UM_OK;
}

/* What the generator gives for 4 * DROPOUT_BLOCKS elements from element 4 * block on: whether they stay. Blocks side by side, so that
 * the compiler takes several at once. */
enum { DROPOUT_BLOCKS = 16 };
static void dropout_keep(const um_op_call *call, uint64_t item, int64_t block, bool keep[4 * DROPOUT_BLOCKS])
{
    float p = (float)call->attr.dropout.p;
    uint32_t words[4][DROPOUT_BLOCKS];
    for (int b = 0; b < DROPOUT_BLOCKS; b++) {
        uint32_t w[4];
        um_rng_words(call->batch->seed, UM_RNG_DROPOUT, (uint32_t)(block + b), item, call->batch->step, w);
        words[0][b] = w[0], words[1][b] = w[1], words[2][b] = w[2], words[3][b] = w[3];
    }
    for (int b = 0; b < DROPOUT_BLOCKS; b++)
        for (int i = 0; i < 4; i++)
            keep[4 * b + i] = um_rng_unit(words[i][b]) >= p;
}

/* Elements [first, first + n) of one image, the first of them at x and y. */
static void dropout_run(const um_op_call *call, real *y, const real *x, int64_t image, int64_t first, int64_t n)
{
    real scale = (real)(1 / (1 - call->attr.dropout.p));
    uint64_t item = (uint64_t)call->attr.dropout.layer << 32 | (uint64_t)(call->batch->first + image);
    bool keep[4 * DROPOUT_BLOCKS];
    for (int64_t k = 0, taken; k < n; k += taken) {
        int64_t skip = (first + k) % 4;
        taken = min64(n - k, 4 * DROPOUT_BLOCKS - skip);
        dropout_keep(call, item, (first + k) / 4, keep);
        for (int64_t i = 0; i < taken; i++) {
            real v = keep[skip + i] ? x[k + i] * scale : 0;
            y[k + i] = call->accumulate ? y[k + i] + v : v;
        }
    }
}

static void dropout_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t pixels = x->h * x->w;
    for (int64_t p = begin; p < end; p++)
        dropout_run(call, pixel_at(y, p), pixel_at(x, p), p / pixels, p % pixels * x->c, x->c);
}

um_status UM_FN(um_cpu_dropout)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), 8 * call->in[0].c, dropout_span);
    return UM_OK;
}
