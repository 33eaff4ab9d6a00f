/* Element by element: add, copy, fill, clip. Dense operands are one long run, others one run per pixel. */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

static void add_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    int64_t step = um_view_dense(a) && um_view_dense(b) && um_view_dense(y) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        const real *u = pixel_at(a, p), *v = pixel_at(b, p);
        real *to = pixel_at(y, p);
#pragma GCC ivdep
        for (int64_t k = 0; k < step * y->c; k++)
            to[k] = u[k] + v[k];
    }
}

static void add_f64_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t k = 0; k < y->c; k++)
            ((double *)y->data)[p * y->ld + k] =
                ((const double *)a->data)[p * a->ld + k] + ((const double *)b->data)[p * b->ld + k];
}

um_status UM_FN(um_cpu_add)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    um_span_run(call, um_view_pixels(y), y->c, y->dtype == UM_REAL_DTYPE ? add_span : add_f64_span);
    return UM_OK;
}

static void copy_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t step = um_view_dense(x) && um_view_dense(y) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        const real *restrict from = pixel_at(x, p);
        real *restrict to = pixel_at(y, p);
        for (int64_t k = 0; k < step * y->c; k++)
            to[k] = call->accumulate ? to[k] + from[k] : from[k];
    }
}

um_status UM_FN(um_cpu_copy)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, copy_span);
    return UM_OK;
}

static void fill_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *y = &call->out[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t k = 0; k < y->c; k++)
            pixel_at(y, p)[k] = (real)call->attr.fill.value;
}

static void fill_f64_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *y = &call->out[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t k = 0; k < y->c; k++)
            ((double *)y->data)[p * y->ld + k] = call->attr.fill.value;
}

um_status UM_FN(um_cpu_fill)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    um_span_run(call, um_view_pixels(y), y->c, y->dtype == UM_REAL_DTYPE ? fill_span : fill_f64_span);
    return UM_OK;
}

static void clip_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    real lo = (real)call->attr.clip.lo, hi = (real)call->attr.clip.hi;
    int64_t step = um_view_dense(x) && um_view_dense(y) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        const real *restrict from = pixel_at(x, p);
        real *restrict to = pixel_at(y, p);
        for (int64_t k = 0; k < step * y->c; k++) {
            real v = from[k] < lo ? lo : from[k];
            to[k] = v > hi ? hi : v;
        }
    }
}

um_status UM_FN(um_cpu_clip_fwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, clip_span);
    return UM_OK;
}

UM_INLINE real clip_gradient(um_clip_rule rule, real v, real g, real lo, real hi)
{
    bool inside = (v >= lo) & (v <= hi);
    bool outward = ((v >= hi) & (g < 0)) | ((v <= lo) & (g > 0));
    if (rule == UM_CLIP_MASKED)
        return inside ? g : 0;
    return rule == UM_CLIP_INWARD && outward ? 0 : g;
}

static void clip_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *dy = &call->in[1], *dv = &call->out[0];
    real lo = (real)call->attr.clip.lo, hi = (real)call->attr.clip.hi;
    um_clip_rule rule = call->attr.clip.rule;
    int64_t step = um_view_dense(x) && um_view_dense(dy) && um_view_dense(dv) ? end - begin : 1;
    for (int64_t p = begin; p < end; p += step) {
        const real *restrict v = pixel_at(x, p), *restrict g = pixel_at(dy, p);
        real *restrict to = pixel_at(dv, p);
        for (int64_t k = 0; k < step * dv->c; k++) {
            real d = clip_gradient(rule, v[k], g[k], lo, hi);
            to[k] = call->accumulate ? to[k] + d : d;
        }
    }
}

um_status UM_FN(um_cpu_clip_bwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, clip_bwd_span);
    return UM_OK;
}
