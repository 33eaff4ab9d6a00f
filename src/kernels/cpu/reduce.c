/* Sums over the batch that are not part of another op, and the sum over ranks. */
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/pattern.h"

static void channel_sum_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0];
    int64_t c = dy->c, pixels = pattern_pixels(c, um_view_dense(dy));
    double buffer[PATTERN] = {0};
    double *sum = pixels == 1 ? part : buffer;
    if (pixels == 1)
        memset(part, 0, (size_t)c * sizeof *part);
    for (int64_t p = begin; p < end; p += pixels) {
        const real *g = pixel_at(dy, p);
        int64_t n = min64(pixels, end - p) * c;
        for (int64_t k = 0; k < n; k++)
            sum[k] += (double)g[k];
    }
    if (pixels > 1)
        pattern_fold(part, buffer, c, pixels);
}

um_status UM_FN(um_cpu_channel_sum_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], call->in[0].c);
    return UM_OK;
}

um_status UM_FN(um_cpu_channel_sum)(const um_op_call *call)
{
    int64_t c = call->in[0].c;
    const double *lanes = um_block_lane_sums(call, &call->in[0], c, channel_sum_block);
    const real *sums = lanes_rounded_sum(lanes, call->batch->n_lanes, c);
    real *db = call->out[0].data;
    for (int64_t k = 0; k < c; k++)
        db[k] = call->accumulate ? db[k] + sums[k] : sums[k];
    return UM_OK;
}

static void batch_sum_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *s = &call->in[0];
    memcpy(part, (const double *)s->data + begin * s->c, (size_t)((end - begin) * s->c) * sizeof *part); /* one image */
}

um_status UM_FN(um_cpu_batch_sum_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = um_block_bytes(&call->in[0], call->in[0].w * call->in[0].c);
    return UM_OK;
}

um_status UM_FN(um_cpu_batch_sum)(const um_op_call *call)
{
    int64_t width = call->in[0].w * call->in[0].c;
    double *lanes = um_block_lane_sums(call, &call->in[0], width, batch_sum_block);
    um_tree_sum_f64(lanes, call->batch->n_lanes, width);
    memcpy(call->out[0].data, lanes, (size_t)width * sizeof *lanes);
    return UM_OK;
}

um_status UM_FN(um_cpu_all_reduce)(const um_op_call *call)
{
    const um_batch *batch = call->batch;
    int64_t n = um_view_count(&call->in[0]);
    if (call->out[0].data != call->in[0].data)
        memcpy(call->out[0].data, call->in[0].data, (size_t)n * sizeof(double));
    return batch->reduce ? (um_status)batch->reduce(batch->reduce_arg, call->out[0].data, n) : UM_OK;
}
