/* The kernels of the CUDA backend: what the .cu files and the glue to libraries export, and cuda.c calls. */
#ifndef UM_KERNELS_CUDA_TABLE_H
#define UM_KERNELS_CUDA_TABLE_H

#include "base/status.h"
#include "kernels/backend.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What changes from step to step without changing what is launched; lives in device memory, so that a recorded step can be run
 * again. */
typedef struct um_cuda_step {
    uint64_t seed;
    int64_t first; /* of um_batch */
    uint32_t step;
} um_cuda_step;

/* What a kernel gets beside its call. */
typedef struct um_cuda {
    um_dev *dev;
    um_dnn *dnn;
    um_gemm *gemm;
    um_precision precision;
    um_cuda_step *step; /* device memory */
} um_cuda;

typedef struct um_cuda_op {
    um_status (*run)(um_cuda *cu, const um_op_call *call);
    um_status (*prepare)(um_cuda *cu, const um_op_call *call, size_t *bytes); /* NULL: no workspace */
} um_cuda_op;

extern const um_cuda_op um_cuda_table[UM_OP_COUNT];

/* queue.c */
extern const struct um_queue_iface um_cuda_queues;
um_dev *um_cuda_dev(const um_backend *b);
/* to[i] += from[i] on the stream of dev, which may be a branch; type: UM_F32, UM_F64. sum.cu */
um_status um_cuda_add_into(um_dev *dev, void *to, const void *from, um_dtype type, int64_t n);

#define UM_CUDA_OP(op) um_status um_cuda_##op(um_cuda *cu, const um_op_call *call)
#define UM_CUDA_PREPARE(op) um_status um_cuda_##op##_prepare(um_cuda *cu, const um_op_call *call, size_t *bytes)
#define UM_CUDA_PREPARED(op) \
    UM_CUDA_OP(op);          \
    UM_CUDA_PREPARE(op)

UM_CUDA_PREPARED(conv_fwd);
UM_CUDA_PREPARED(conv_bwd_data);
UM_CUDA_PREPARED(conv_bwd_weight);
UM_CUDA_PREPARED(convt_fwd);
UM_CUDA_PREPARED(convt_bwd_data);
UM_CUDA_PREPARED(convt_bwd_weight);
UM_CUDA_PREPARED(channel_sum);
UM_CUDA_OP(cdc_fold);
UM_CUDA_OP(cdc_unfold);
UM_CUDA_PREPARED(bn_stats);
UM_CUDA_OP(bn_coef);
UM_CUDA_OP(bn_apply);
UM_CUDA_PREPARED(bn_bwd_sums);
UM_CUDA_OP(bn_bwd_param);
UM_CUDA_OP(bn_bwd_apply);
UM_CUDA_OP(all_reduce);
UM_CUDA_OP(maxpool_fwd);
UM_CUDA_OP(maxpool_bwd);
UM_CUDA_OP(avgpool_fwd);
UM_CUDA_OP(avgpool_bwd);
UM_CUDA_OP(patches_fwd);
UM_CUDA_OP(patches_bwd);
UM_CUDA_PREPARED(ws_fwd);
UM_CUDA_PREPARED(ws_bwd);
UM_CUDA_PREPARED(norm_fwd);
UM_CUDA_PREPARED(norm_bwd_sums);
UM_CUDA_OP(norm_bwd_param);
UM_CUDA_PREPARED(norm_bwd);
UM_CUDA_PREPARED(attention_fwd);
UM_CUDA_PREPARED(attention_bwd);
UM_CUDA_OP(embed_add);
UM_CUDA_OP(embed_bwd);
UM_CUDA_OP(act_fwd);
UM_CUDA_OP(act_bwd);
UM_CUDA_OP(gate_fwd);
UM_CUDA_OP(gate_bwd_m);
UM_CUDA_OP(dropout);
UM_CUDA_OP(upsample_fwd);
UM_CUDA_OP(upsample_bwd);
UM_CUDA_OP(window);
UM_CUDA_OP(add);
UM_CUDA_OP(copy);
UM_CUDA_OP(fill);
UM_CUDA_OP(bound_fwd);
UM_CUDA_OP(bound_bwd);
UM_CUDA_OP(clip_fwd);
UM_CUDA_OP(clip_bwd);
UM_CUDA_PREPARED(seg_sums);
UM_CUDA_OP(batch_sum);
UM_CUDA_PREPARED(seg_loss);
UM_CUDA_OP(seg_bwd);
UM_CUDA_PREPARED(align_sums);
UM_CUDA_OP(align_bwd);
UM_CUDA_OP(class_sums);
UM_CUDA_OP(class_bwd);
UM_CUDA_OP(gather);
UM_CUDA_OP(ball_step);
UM_CUDA_OP(group_mean);
UM_CUDA_OP(vr_add);
UM_CUDA_PREPARED(adam);

/* ---- moves between layouts, for the glue to libraries (layout.cu) ---- */

/* to = from, pixel by pixel; types may differ; channels that only `to` has become 0. */
um_status um_cuda_move(um_cuda *cu, const um_view *from, const um_view *to, bool accumulate);
/* A filter [taps][C][K] f32, or [K][taps][C] when `outer`, as [K'][taps][C'] of the given type, padded with zeros; and back. */
typedef struct um_filter_shape {
    int64_t taps, c, k, c_pad, k_pad;
    bool outer;
} um_filter_shape;
um_status um_cuda_filter_pack(um_cuda *cu, const um_filter_shape *s, const float *from, void *to, um_dtype type);
um_status um_cuda_filter_unpack(um_cuda *cu, const um_filter_shape *s, const void *from, um_dtype type, float *to, bool accumulate);
um_status um_cuda_bias_add(um_cuda *cu, const um_view *y, const float *bias);

#ifdef __cplusplus
}
#endif
#endif
