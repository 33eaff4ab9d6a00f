/* Gradients of the convolution family: data, weights, bias. */
#include "nn/autodiff.h"

static um_status family(um_grads *gs, const um_node *node, um_op bwd_data, um_op bwd_weight)
{
    um_status rc = UM_OK;
    um_tid x = node->in[0], w = node->in[1], bias = node->in[2], dy = UM_NONE;
    UM_TRY(um_grads_get(gs, node->out[0], &dy));
    if (dy < 0)
        return UM_OK;
    if (um_grads_wanted(gs, w)) {
        um_tid value = UM_NONE;
        UM_TRY(um_grads_value(gs, x, &value));
        UM_TRY(um_grads_emit(gs, w, bwd_weight, node->name, (um_tid[]){value, dy}, &node->attr));
    }
    UM_TRY(um_grads_emit(gs, bias, UM_OP_CHANNEL_SUM, node->name, &dy, NULL));
    UM_TRY(um_grads_emit(gs, x, bwd_data, node->name, (um_tid[]){dy, w}, &node->attr));
done:
    return rc;
}

um_status um_grad_conv(um_grads *gs, const um_node *node)
{
    return family(gs, node, UM_OP_CONV_BWD_DATA, UM_OP_CONV_BWD_WEIGHT);
}

um_status um_grad_convt(um_grads *gs, const um_node *node)
{
    return family(gs, node, UM_OP_CONVT_BWD_DATA, UM_OP_CONVT_BWD_WEIGHT);
}

/* The folded kernel's gradient is already that of in[0] (um_grads_get); what differs from it follows at the end. */
um_status um_grad_cdc_fold(um_grads *gs, const um_node *node)
{
    um_status rc = UM_OK;
    um_node unfold = *node;
    bool accumulate = false;
    UM_TRY(um_grads_get(gs, node->out[0], &unfold.in[0]));
    if (unfold.in[0] < 0)
        return UM_OK;
    unfold.op = UM_OP_CDC_UNFOLD;
    unfold.in[1] = UM_NONE;
    unfold.out[0] = unfold.in[0];
    if (node->attr.cdc.dual)
        UM_TRY(um_grads_target(gs, node->in[1], &unfold.out[0], &accumulate));
    UM_TRY(um_grads_defer(gs, &unfold));
done:
    return rc;
}
