/* From generator output to perturbation (um_bound_rule). Pixels are gathered into tiles of dense arrays, so that every rule is one
 * plain loop whatever the number of channels. */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"
#include "kernels/cpu/vmath.h"

enum { TILE = 256 }; /* elements; shape.c admits no more channels */

typedef struct bound_tile {
    real z[TILE], b[TILE], g[TILE], out[TILE]; /* gain*z, bound, upstream gradient, result */
} bound_tile;

static int64_t tile_pixels(int64_t c)
{
    return TILE / c;
}

/* Runs of a gapless view are joined to one. */
static void gather(real *restrict to, const um_view *v, int64_t begin, int64_t n, real factor)
{
    int64_t length = um_view_dense(v) ? n * v->c : v->c, step = um_view_dense(v) ? n : 1;
    for (int64_t p = 0; p < n; p += step) {
        const real *restrict from = pixel_at(v, begin + p);
        for (int64_t k = 0; k < length; k++)
            to[p * v->c + k] = factor * from[k];
    }
}

static void spread(real *restrict to, const um_view *b, int64_t begin, int64_t n, int64_t c)
{
    const real *restrict from = pixel_at(b, begin);
    for (int64_t p = 0; p < n; p++)
        for (int64_t k = 0; k < c; k++)
            to[p * c + k] = from[p * b->ld];
}

static void scatter(const um_view *v, const real *restrict from, int64_t begin, int64_t n, bool accumulate)
{
    int64_t length = um_view_dense(v) ? n * v->c : v->c, step = um_view_dense(v) ? n : 1;
    for (int64_t p = 0; p < n; p += step) {
        real *restrict to = pixel_at(v, begin + p);
        for (int64_t k = 0; k < length; k++)
            to[k] = from[p * v->c + k] + (accumulate ? to[k] : 0);
    }
}

UM_INLINE real clip_to(real v, real b)
{
    v = v < -b ? -b : v;
    return v > b ? b : v;
}

static void tile_fwd(bound_tile *restrict t, um_bound_rule rule)
{
    if (rule == UM_BOUND_BOX_TANH) {
        for (int k = 0; k < TILE; k++)
            t->out[k] = t->b[k] * v_tanh(t->z[k]);
        return;
    }
    if (rule == UM_BOUND_TANH_THEN_CLIP)
        for (int k = 0; k < TILE; k++)
            t->z[k] = v_tanh(t->z[k]);
    for (int k = 0; k < TILE; k++)
        t->out[k] = clip_to(t->z[k], t->b[k]);
}

static void bound_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *z = &call->in[0], *b = &call->in[1];
    int64_t pixels = tile_pixels(z->c);
    bound_tile t = {0};
    for (int64_t p = begin; p < end; p += pixels) {
        int64_t n = min64(pixels, end - p);
        gather(t.z, z, p, n, (real)call->attr.bound.gain);
        spread(t.b, b, p, n, z->c);
        tile_fwd(&t, call->attr.bound.rule);
        scatter(&call->out[0], t.out, p, n, false);
    }
}

um_status UM_FN(um_cpu_bound_fwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), 4 * call->in[0].c, bound_span);
    return UM_OK;
}

static void tile_bwd_tanh(bound_tile *restrict t, bool box)
{
    for (int k = 0; k < TILE; k++) {
        real y = v_tanh(t->z[k]), size = y < 0 ? -y : y;
        real d = (1 - y * y) * t->g[k];
        real clipped = size < t->b[k] ? d : 0;
        t->out[k] = box ? t->b[k] * d : clipped;
    }
}

static void tile_bwd_clip(bound_tile *restrict t, um_bound_rule rule)
{
    for (int k = 0; k < TILE; k++) {
        real v = t->z[k], b = t->b[k], g = t->g[k], size = v < 0 ? -v : v;
        bool outward = ((v >= b) & (g < 0)) | ((v <= -b) & (g > 0));
        bool keep = rule == UM_BOUND_CLIP_MASKED ? size < b : rule == UM_BOUND_CLIP_STE ? b > 0 : (b > 0) & !outward;
        t->out[k] = keep ? g : 0;
    }
}

/* dz = s * rule(dd): the rules above leave the factor s out. */
static void bound_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *z = &call->in[0], *b = &call->in[1], *dd = &call->in[2];
    um_bound_rule rule = call->attr.bound.rule;
    real gain = (real)call->attr.bound.gain;
    int64_t pixels = tile_pixels(z->c);
    bound_tile t = {0};
    for (int64_t p = begin; p < end; p += pixels) {
        int64_t n = min64(pixels, end - p);
        gather(t.z, z, p, n, gain);
        gather(t.g, dd, p, n, 1);
        spread(t.b, b, p, n, z->c);
        if (rule == UM_BOUND_BOX_TANH || rule == UM_BOUND_TANH_THEN_CLIP)
            tile_bwd_tanh(&t, rule == UM_BOUND_BOX_TANH);
        else
            tile_bwd_clip(&t, rule);
        for (int k = 0; k < TILE; k++)
            t.out[k] *= gain;
        scatter(&call->out[0], t.out, p, n, call->accumulate);
    }
}

um_status UM_FN(um_cpu_bound_bwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), 4 * call->in[0].c, bound_bwd_span);
    return UM_OK;
}
