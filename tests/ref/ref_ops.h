/* Oracles: every op as loop nests in double with written-out indices. Slow, obvious, and independent of src/kernels. All float
 * operands are f64 views; accumulation is the caller's business. */
#ifndef UM_TESTS_REF_OPS_H
#define UM_TESTS_REF_OPS_H

#include "kernels/ops.h"

typedef void (*um_ref_fn)(const um_op_call *call);
um_ref_fn um_ref_of(um_op op); /* NULL: no oracle */

/* Element (i, y, x, k). */
static inline double *ref_at(const um_view *v, int64_t i, int64_t y, int64_t x, int64_t k)
{
    return &((double *)v->data)[((i * v->h + y) * v->w + x) * v->ld + k];
}
static inline uint8_t *ref_byte_at(const um_view *v, int64_t i, int64_t y, int64_t x, int64_t k)
{
    return &((uint8_t *)v->data)[((i * v->h + y) * v->w + x) * v->ld + k];
}
/* The same, and 0 outside the image. */
static inline double ref_padded(const um_view *v, int64_t i, int64_t y, int64_t x, int64_t k)
{
    return y < 0 || x < 0 || y >= v->h || x >= v->w ? 0 : *ref_at(v, i, y, x, k);
}

/* for (i, y, x, k) over a view */
#define REF_FOR(v, i, y, x, k)                                                                                                 \
    for (int64_t i = 0; i < (v)->n; i++)                                                                                       \
        for (int64_t y = 0; y < (v)->h; y++)                                                                                   \
            for (int64_t x = 0; x < (v)->w; x++)                                                                               \
                for (int64_t k = 0; k < (v)->c; k++)

void um_ref_conv_fwd(const um_op_call *call);
void um_ref_conv_bwd_data(const um_op_call *call);
void um_ref_conv_bwd_weight(const um_op_call *call);
void um_ref_convt_fwd(const um_op_call *call);
void um_ref_convt_bwd_data(const um_op_call *call);
void um_ref_convt_bwd_weight(const um_op_call *call);
void um_ref_channel_sum(const um_op_call *call);
void um_ref_cdc_fold(const um_op_call *call);
void um_ref_cdc_unfold(const um_op_call *call);
void um_ref_bn_stats(const um_op_call *call);
void um_ref_bn_coef(const um_op_call *call);
void um_ref_bn_apply(const um_op_call *call);
void um_ref_bn_bwd_sums(const um_op_call *call);
void um_ref_bn_bwd_param(const um_op_call *call);
void um_ref_bn_bwd_apply(const um_op_call *call);
void um_ref_all_reduce(const um_op_call *call);
void um_ref_maxpool_fwd(const um_op_call *call);
void um_ref_maxpool_bwd(const um_op_call *call);
void um_ref_avgpool_fwd(const um_op_call *call);
void um_ref_avgpool_bwd(const um_op_call *call);
void um_ref_class_sums(const um_op_call *call);
void um_ref_class_bwd(const um_op_call *call);
void um_ref_patches_fwd(const um_op_call *call);
void um_ref_patches_bwd(const um_op_call *call);
void um_ref_ws_fwd(const um_op_call *call);
void um_ref_ws_bwd(const um_op_call *call);
void um_ref_norm_fwd(const um_op_call *call);
void um_ref_norm_bwd_sums(const um_op_call *call);
void um_ref_norm_bwd_param(const um_op_call *call);
void um_ref_norm_bwd(const um_op_call *call);
void um_ref_attention_fwd(const um_op_call *call);
void um_ref_attention_bwd(const um_op_call *call);
void um_ref_embed_add(const um_op_call *call);
void um_ref_embed_bwd(const um_op_call *call);
void um_ref_act_fwd(const um_op_call *call);
void um_ref_act_bwd(const um_op_call *call);
void um_ref_gate_fwd(const um_op_call *call);
void um_ref_gate_bwd_m(const um_op_call *call);
void um_ref_dropout(const um_op_call *call);
void um_ref_upsample_fwd(const um_op_call *call);
void um_ref_upsample_bwd(const um_op_call *call);
void um_ref_window(const um_op_call *call);
void um_ref_add(const um_op_call *call);
void um_ref_copy(const um_op_call *call);
void um_ref_fill(const um_op_call *call);
void um_ref_bound_fwd(const um_op_call *call);
void um_ref_bound_bwd(const um_op_call *call);
void um_ref_clip_fwd(const um_op_call *call);
void um_ref_clip_bwd(const um_op_call *call);
void um_ref_seg_sums(const um_op_call *call);
void um_ref_batch_sum(const um_op_call *call);
void um_ref_seg_loss(const um_op_call *call);
void um_ref_seg_bwd(const um_op_call *call);
void um_ref_align_sums(const um_op_call *call);
void um_ref_align_bwd(const um_op_call *call);
void um_ref_gather(const um_op_call *call);
void um_ref_ball_step(const um_op_call *call);
void um_ref_group_mean(const um_op_call *call);
void um_ref_vr_add(const um_op_call *call);
void um_ref_adam(const um_op_call *call);

#endif
