#include "ref/ref_ops.h"

static const um_ref_fn table[UM_OP_COUNT] = {
    [UM_OP_CONV_FWD] = um_ref_conv_fwd,
    [UM_OP_CONV_BWD_DATA] = um_ref_conv_bwd_data,
    [UM_OP_CONV_BWD_WEIGHT] = um_ref_conv_bwd_weight,
    [UM_OP_CONVT_FWD] = um_ref_convt_fwd,
    [UM_OP_CONVT_BWD_DATA] = um_ref_convt_bwd_data,
    [UM_OP_CONVT_BWD_WEIGHT] = um_ref_convt_bwd_weight,
    [UM_OP_CHANNEL_SUM] = um_ref_channel_sum,
    [UM_OP_CDC_FOLD] = um_ref_cdc_fold,
    [UM_OP_CDC_UNFOLD] = um_ref_cdc_unfold,
    [UM_OP_BN_STATS] = um_ref_bn_stats,
    [UM_OP_BN_COEF] = um_ref_bn_coef,
    [UM_OP_BN_APPLY] = um_ref_bn_apply,
    [UM_OP_BN_BWD_SUMS] = um_ref_bn_bwd_sums,
    [UM_OP_BN_BWD_PARAM] = um_ref_bn_bwd_param,
    [UM_OP_BN_BWD_APPLY] = um_ref_bn_bwd_apply,
    [UM_OP_ALL_REDUCE] = um_ref_all_reduce,
    [UM_OP_MAXPOOL_FWD] = um_ref_maxpool_fwd,
    [UM_OP_MAXPOOL_BWD] = um_ref_maxpool_bwd,
    [UM_OP_UPSAMPLE_FWD] = um_ref_upsample_fwd,
    [UM_OP_UPSAMPLE_BWD] = um_ref_upsample_bwd,
    [UM_OP_WINDOW] = um_ref_window,
    [UM_OP_ADD] = um_ref_add,
    [UM_OP_COPY] = um_ref_copy,
    [UM_OP_FILL] = um_ref_fill,
    [UM_OP_BOUND_FWD] = um_ref_bound_fwd,
    [UM_OP_BOUND_BWD] = um_ref_bound_bwd,
    [UM_OP_CLIP_FWD] = um_ref_clip_fwd,
    [UM_OP_CLIP_BWD] = um_ref_clip_bwd,
    [UM_OP_SEG_SUMS] = um_ref_seg_sums,
    [UM_OP_BATCH_SUM] = um_ref_batch_sum,
    [UM_OP_SEG_LOSS] = um_ref_seg_loss,
    [UM_OP_SEG_BWD] = um_ref_seg_bwd,
    [UM_OP_ALIGN_SUMS] = um_ref_align_sums,
    [UM_OP_ALIGN_BWD] = um_ref_align_bwd,
    [UM_OP_ADAM] = um_ref_adam,
};

um_ref_fn um_ref_of(um_op op)
{
    return table[op];
}
