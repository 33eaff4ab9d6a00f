/* A learned table added to every image (position embeddings), and its gradient. */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

static void embed_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *e = &call->in[1], *y = &call->out[0];
    for (int64_t p = begin; p < end; p++) {
        const real *from = pixel_at(x, p), *add = pixel_at(e, p % e->w);
        real *to = pixel_at(y, p);
#pragma GCC ivdep
        for (int64_t k = 0; k < y->c; k++)
            to[k] = from[k] + add[k];
    }
}

um_status UM_FN(um_cpu_embed_add)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, embed_span);
    return UM_OK;
}

enum { CHANNELS = 64 };

/* Up to CHANNELS channels of token t: lanes in f64, rounded, then the tree. */
static void embed_sum(const um_op_call *call, int64_t t, int64_t first, int64_t n)
{
    const um_view *dy = &call->in[0];
    const um_batch *batch = call->batch;
    real lanes[UM_MAX_LANES * CHANNELS];
    real *de = pixel_at(&call->out[0], t) + first;
    for (int l = 0; l < batch->n_lanes; l++) {
        double sum[CHANNELS] = {0};
        for (int64_t i = batch->lane_begin[l]; i < batch->lane_begin[l + 1]; i++) {
            const real *from = pixel_at(dy, i * dy->h * dy->w + t) + first;
            for (int64_t k = 0; k < n; k++)
                sum[k] += (double)from[k];
        }
        for (int64_t k = 0; k < n; k++)
            lanes[l * n + k] = (real)sum[k];
    }
#if UM_REAL_IS_F64
    um_tree_sum_f64(lanes, batch->n_lanes, n);
#else
    um_tree_sum_f32(lanes, batch->n_lanes, n);
#endif
    for (int64_t k = 0; k < n; k++)
        de[k] = call->accumulate ? de[k] + lanes[k] : lanes[k];
}

static void embed_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    int64_t c = call->out[0].c;
    for (int64_t t = begin; t < end; t++)
        for (int64_t first = 0; first < c; first += CHANNELS)
            embed_sum(call, t, first, min64(CHANNELS, c - first));
}

um_status UM_FN(um_cpu_embed_bwd)(const um_op_call *call)
{
    um_span_run(call, call->out[0].w, call->in[0].n * call->in[0].c, embed_bwd_span);
    return UM_OK;
}
