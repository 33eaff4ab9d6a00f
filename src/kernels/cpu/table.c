#include "kernels/cpu/table.h"

#include "kernels/cpu/real.h"

#define RUN(op) {UM_FN(um_cpu_##op), NULL}
#define RUN_PREPARED(op) {UM_FN(um_cpu_##op), UM_FN(um_cpu_##op##_prepare)}

const um_cpu_op UM_FN(um_cpu_table)[UM_OP_COUNT] = {
    [UM_OP_CONV_FWD] = RUN_PREPARED(conv_fwd),
    [UM_OP_CONV_BWD_DATA] = RUN_PREPARED(conv_bwd_data),
    [UM_OP_CONV_BWD_WEIGHT] = RUN_PREPARED(conv_bwd_weight),
    [UM_OP_CONVT_FWD] = RUN_PREPARED(convt_fwd),
    [UM_OP_CONVT_BWD_DATA] = RUN_PREPARED(convt_bwd_data),
    [UM_OP_CONVT_BWD_WEIGHT] = RUN_PREPARED(convt_bwd_weight),
    [UM_OP_CHANNEL_SUM] = RUN_PREPARED(channel_sum),
    [UM_OP_CDC_FOLD] = RUN(cdc_fold),
    [UM_OP_CDC_UNFOLD] = RUN(cdc_unfold),
    [UM_OP_BN_STATS] = RUN_PREPARED(bn_stats),
    [UM_OP_BN_COEF] = RUN(bn_coef),
    [UM_OP_BN_APPLY] = RUN(bn_apply),
    [UM_OP_BN_BWD_SUMS] = RUN_PREPARED(bn_bwd_sums),
    [UM_OP_BN_BWD_PARAM] = RUN(bn_bwd_param),
    [UM_OP_BN_BWD_APPLY] = RUN_PREPARED(bn_bwd_apply),
    [UM_OP_ALL_REDUCE] = RUN(all_reduce),
    [UM_OP_MAXPOOL_FWD] = RUN(maxpool_fwd),
    [UM_OP_MAXPOOL_BWD] = RUN(maxpool_bwd),
    [UM_OP_UPSAMPLE_FWD] = RUN(upsample_fwd),
    [UM_OP_UPSAMPLE_BWD] = RUN_PREPARED(upsample_bwd),
    [UM_OP_WINDOW] = RUN(window),
    [UM_OP_ADD] = RUN(add),
    [UM_OP_COPY] = RUN(copy),
    [UM_OP_FILL] = RUN(fill),
    [UM_OP_BOUND_FWD] = RUN(bound_fwd),
    [UM_OP_BOUND_BWD] = RUN(bound_bwd),
    [UM_OP_CLIP_FWD] = RUN(clip_fwd),
    [UM_OP_CLIP_BWD] = RUN(clip_bwd),
    [UM_OP_SEG_SUMS] = RUN_PREPARED(seg_sums),
    [UM_OP_BATCH_SUM] = RUN_PREPARED(batch_sum),
    [UM_OP_SEG_LOSS] = RUN(seg_loss),
    [UM_OP_SEG_BWD] = RUN(seg_bwd),
    [UM_OP_ALIGN_SUMS] = RUN_PREPARED(align_sums),
    [UM_OP_ALIGN_BWD] = RUN(align_bwd),
    [UM_OP_ADAM] = RUN(adam),
};
