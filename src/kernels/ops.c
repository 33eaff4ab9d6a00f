#include "kernels/ops.h"

const um_op_info um_op_table[UM_OP_COUNT] = {
#define UM_OP(e, name, n_in, n_out, flags) [UM_OP_##e] = {name, n_in, n_out, flags},
#include "kernels/ops.def"
#undef UM_OP
};

void um_batch_set(um_batch *b, int64_t n, int n_lanes)
{
    *b = (um_batch){.n_total = n, .n_lanes = n_lanes, .lane_most = (n + n_lanes - 1) / n_lanes};
    for (int l = 0; l <= n_lanes; l++)
        b->lane_begin[l] = l * n / n_lanes;
}

/* Adding neighbours at distance 1, 2, 4, ... is the recursive tree "left half = largest power of two below n", without recursion. */
#define UM_TREE_SUM(parts, n_parts, n)                                                                                         \
    for (int64_t step = 1; step < (n_parts); step *= 2)                                                                        \
        for (int64_t i = 0; i + step < (n_parts); i += 2 * step)                                                               \
            for (int64_t k = 0; k < (n); k++)                                                                                  \
                (parts)[i * (n) + k] += (parts)[(i + step) * (n) + k];

void um_tree_sum_f64(double *parts, int n_parts, int64_t n)
{
    UM_TREE_SUM(parts, n_parts, n)
}

void um_tree_sum_f32(float *parts, int n_parts, int64_t n)
{
    UM_TREE_SUM(parts, n_parts, n)
}
