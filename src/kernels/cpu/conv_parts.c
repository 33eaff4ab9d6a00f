#include "kernels/cpu/conv.h"

#include "base/threads.h"

enum { MAX_GROUPS = 16, PART_BUDGET = 1 << 20, MIN_THREADS = 8 };

int UM_FN(um_conv_max_threads)(void)
{
    int cores = um_cores();
    return cores > MIN_THREADS ? cores : MIN_THREADS;
}

int UM_FN(um_conv_threads)(void)
{
    return (int)i_min(um_threads(), UM_FN(um_conv_max_threads)());
}

int64_t UM_FN(um_conv_groups)(int64_t lane_images, int64_t blocks, int64_t part_bytes)
{
    int64_t fit = i_max(1, i_min(MAX_GROUPS, PART_BUDGET / part_bytes));
    return i_min(fit, lane_images * blocks);
}

int64_t UM_FN(um_conv_parts_max)(int64_t n, int64_t n_lanes, int64_t lane_most, int64_t blocks, int64_t part_bytes)
{
    return i_min(n_lanes, n) * UM_FN(um_conv_groups)(lane_most, blocks, part_bytes);
}

int64_t UM_FN(um_conv_lanes)(const um_batch *batch)
{
    return batch ? batch->n_lanes : UM_MAX_LANES;
}

int64_t UM_FN(um_conv_lane_most)(const um_batch *batch, int64_t n)
{
    int64_t most = batch ? batch->lane_most : n;
    for (int l = 0; batch && l < batch->n_lanes; l++) {
        most = i_max(most, batch->lane_begin[l + 1] - batch->lane_begin[l]);
    }
    return i_min(n, most);
}

void UM_FN(um_conv_parts_set)(um_conv_parts *p, const um_batch *batch, int64_t blocks, int64_t part_bytes)
{
    p->n_lanes = batch->n_lanes;
    p->first[0] = 0;
    for (int l = 0; l < batch->n_lanes; l++) {
        int64_t images = batch->lane_begin[l + 1] - batch->lane_begin[l];
        p->first[l + 1] = p->first[l] + UM_FN(um_conv_groups)(images, blocks, part_bytes);
    }
}

int UM_FN(um_conv_part_range)(const um_conv_parts *p, const um_batch *batch, int64_t blocks, int64_t part, int64_t *begin,
                              int64_t *end)
{
    int lane = 0;
    while (p->first[lane + 1] <= part) {
        lane++;
    }
    int64_t total = (batch->lane_begin[lane + 1] - batch->lane_begin[lane]) * blocks;
    int64_t groups = p->first[lane + 1] - p->first[lane], group = part - p->first[lane];
    *begin = total * group / groups;
    *end = total * (group + 1) / groups;
    return lane;
}

static int64_t left_half(int64_t n)
{
    int64_t half = 1;
    while (2 * half < n) {
        half *= 2;
    }
    return half;
}

static vreal group_sum(const real *data, int64_t n, int64_t stride)
{
    if (n == 0) {
        return (vreal){0};
    }
    if (n == 1) {
        return v_load(data);
    }
    int64_t left = left_half(n);
    return group_sum(data, left, stride) + group_sum(data + left * stride, n - left, stride);
}

/* Lane l becomes v[l] + v[l + 1] + ... + v[l + g - 1]. */
static vreal pixels_sum(vreal v, int g)
{
    real lanes[2 * VL] = {0};
    v_store(lanes, v);
    for (int q = 1; q < g; q++) {
        v += v_load(lanes + q);
    }
    return v;
}

static vreal lane_sum(const um_conv_parts *p, int64_t lane, int64_t n, const real *data, int64_t stride, int g)
{
    if (n == 1) {
        vreal sum = group_sum(data + p->first[lane] * stride, p->first[lane + 1] - p->first[lane], stride);
        return g > 1 ? pixels_sum(sum, g) : sum;
    }
    int64_t left = left_half(n);
    return lane_sum(p, lane, left, data, stride, g) + lane_sum(p, lane + left, n - left, data, stride, g);
}

vreal UM_FN(um_conv_parts_sum)(const um_conv_parts *p, const real *data, int64_t stride, int g)
{
    return p->n_lanes > 0 ? lane_sum(p, 0, p->n_lanes, data, stride, g) : (vreal){0};
}
