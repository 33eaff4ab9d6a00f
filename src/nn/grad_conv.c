/* Gradients of the convolution family: data, weights, bias. */
#include "nn/autodiff.h"

static um_status family(um_grads *gs, const um_node *node, um_op bwd_data, um_op bwd_weight)
{
    um_status rc = UM_OK;
    um_tid x = node->in[0], w = node->in[1], bias = node->in[2], dy = UM_NONE;
    UM_TRY(um_grads_get(gs, node->out[0], &dy));
    if (dy < 0)
        return UM_OK;
    UM_TRY(um_grads_emit(gs, w, bwd_weight, node->name, (um_tid[]){x, dy}, &node->attr));
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

um_status um_grad_cdc_fold(um_grads *gs, const um_node *node)
{
    um_status rc = UM_OK;
    um_tid dk = UM_NONE, to[2] = {UM_NONE, UM_NONE};
    bool accumulate[2] = {false, false};
    UM_TRY(um_grads_get(gs, node->out[0], &dk));
    if (dk < 0)
        return UM_OK;
    for (int i = 0; i < 2; i++)
        if (um_grads_wanted(gs, node->in[i]))
            UM_TRY(um_grads_target(gs, node->in[i], &to[i], &accumulate[i]));
    UM_REQUIRE(to[0] >= 0 && (to[1] < 0 || accumulate[0] == accumulate[1]));
    UM_TRY(um_graph_node(gs->graph, UM_OP_CDC_UNFOLD, node->name, &dk, to, &node->attr, accumulate[0]));
done:
    return rc;
}
