/* Convolution on the CPU: the seam between the ops conv_fwd, conv_bwd_data, conv_bwd_weight and the algorithms that compute them.
 *
 * An algorithm is one const um_conv_impl. conv.c walks its list in order and takes the first that supports the shape and is worth it,
 * unless attr.conv.algo names one. The choice is a pure function of the op, (C, K, H, W), the instruction set and that attribute:
 * never of a timing, the number of threads or of images (DESIGN D8). A new algorithm is one more file and one line in conv.c.
 *
 * Bits: each output of fwd and bwd_data is one chain of multiply-adds in an order that only the shape decides; bwd_weight sums
 * each lane in an order that only the shape and the lane size decide, then adds the lanes by the tree of um_tree_sum. */
#ifndef UM_KERNELS_CPU_CONV_H
#define UM_KERNELS_CPU_CONV_H

#include "kernels/cpu/real.h"

typedef struct um_conv_shape {
    int64_t n, h, w, c, k; /* images, rows and columns of x, channels of x and y */
    int64_t kh, kw;
    int stride, pad;
    int64_t n_lanes, lane_most; /* lanes that prepare makes room for, and images of the largest */
} um_conv_shape;

typedef struct um_conv_impl {
    const char *name;
    um_conv_algo algo; /* UM_CONV_AUTO: the only one for its shapes, whatever attr.conv.algo asks for */
    bool (*supports)(const um_conv_shape *s, um_op op);
    bool (*worth)(const um_conv_shape *s, um_op op); /* whether auto takes it; NULL: always */
    size_t (*workspace)(const um_conv_shape *s, um_op op); /* bytes, for up to um_conv_max_threads() threads */
    void (*fwd)(const um_conv_shape *s, const um_op_call *call);
    void (*bwd_data)(const um_conv_shape *s, const um_op_call *call);
    void (*bwd_weight)(const um_conv_shape *s, const um_op_call *call);
} um_conv_impl;

extern const um_conv_impl UM_FN(um_conv_direct); /* 3x3, stride 1, pad 1 */
extern const um_conv_impl UM_FN(um_conv_winograd); /* 3x3, stride 1, pad 1 */
extern const um_conv_impl UM_FN(um_conv_gemm);   /* 1x1, stride 1, pad 0 */

/* Threads: per-thread scratch lies in the workspace, so a run never uses more than prepare sized for, whatever um_threads() says
 * by then. */
int UM_FN(um_conv_max_threads)(void);
int UM_FN(um_conv_threads)(void); /* min(um_threads(), um_conv_max_threads()) */

/* Sums over the batch. A lane of m images, each cut into `blocks` pieces, is summed in um_conv_groups() runs of consecutive
 * pieces; a run's sum is a part. Parts of a lane, then lanes, are added by the fixed tree. */
typedef struct um_conv_parts {
    int64_t first[UM_MAX_LANES + 1]; /* parts of lane l: [first[l], first[l+1]) */
    int n_lanes;
} um_conv_parts;

/* Runs per lane: enough to keep threads busy, few enough that the parts (part_bytes each) stay near 1 MB a lane. */
int64_t UM_FN(um_conv_groups)(int64_t lane_images, int64_t blocks, int64_t part_bytes);
/* Of up to n images in n_lanes lanes of up to lane_most. */
int64_t UM_FN(um_conv_parts_max)(int64_t n, int64_t n_lanes, int64_t lane_most, int64_t blocks, int64_t part_bytes);
int64_t UM_FN(um_conv_lanes)(const um_batch *batch); /* lanes to make room for; batch may be NULL at plan time */
int64_t UM_FN(um_conv_lane_most)(const um_batch *batch,
                                 int64_t n); /* images of the largest lane, now or later; all n without a batch */
void UM_FN(um_conv_parts_set)(um_conv_parts *p, const um_batch *batch, int64_t blocks, int64_t part_bytes);
/* Where a part lies: pieces [*begin, *end) counted through the images of the lane, which is returned. */
int UM_FN(um_conv_part_range)(const um_conv_parts *p, const um_batch *batch, int64_t blocks, int64_t part, int64_t *begin,
                              int64_t *end);
/* The tree over the vectors at data, data + stride, ...: one vector of every part. With g > 1, lanes k*g .. k*g + g - 1 of the vectors
 * are added up within each lane of the batch, since ranks continue the tree over those: lane k*g holds the sum. */
vreal UM_FN(um_conv_parts_sum)(const um_conv_parts *p, const real *data, int64_t stride, int g);

UM_INLINE int64_t i_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
UM_INLINE int64_t i_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
UM_INLINE int64_t i_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
/* Reals, rounded up so that the next array in the workspace starts on a cache line. */
UM_INLINE int64_t um_reals_aligned(int64_t n)
{
    int64_t line = 64 / (int64_t)sizeof(real);
    return i_ceil_div(n, line) * line;
}

#endif
