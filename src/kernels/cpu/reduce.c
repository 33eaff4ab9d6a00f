/* Sums over the batch that are not part of another op, and the sum over ranks. */
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/columns.h"

typedef struct channel_sum {
    columns grid;
    const um_view *dy;
    double *sums;
} channel_sum;

UM_INLINE void channel_sum_column(const void *context, column at)
{
    const channel_sum *c = context;
    const real *g = pixel_at(c->dy, at.pixel) + at.k;
    int64_t step = c->grid.fold * c->dy->ld;
    v_wide sum[MAX_VECTORS];
    for (int i = 0; i < at.vectors; i++)
        sum[i] = v_wide_load(c->sums + at.k + i * VL, at.lanes);
    for (int64_t r = 0; r < at.rows; r++, g += step)
        for (int i = 0; i < at.vectors; i++)
            sum[i] = v_wide_add(sum[i], v_widen(v_load_lanes(g + i * VL, at.lanes)));
    for (int i = 0; i < at.vectors; i++)
        v_wide_store(c->sums + at.k + i * VL, sum[i], at.lanes);
}

static void channel_sum_block(const um_op_call *call, int64_t begin, int64_t end, double *part)
{
    const um_view *dy = &call->in[0];
    double buffer[VL];
    channel_sum c = {.grid = columns_of(dy->c, um_view_dense(dy)), .dy = dy};
    c.sums = columns_sums(c.grid, part, buffer, 1);
    columns_visit(c.grid, begin, end, MAX_VECTORS, channel_sum_column, &c);
    columns_fold(c.grid, part, c.sums, 1);
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
