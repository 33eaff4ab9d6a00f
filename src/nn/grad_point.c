/* Gradients of pooling, resampling, pointwise ops and the loss. */
#include "nn/autodiff.h"

/* dx = op(dy, extra): the shape most rules have. */
static um_status single(um_grads *gs, const um_node *node, um_op op, um_tid extra, const um_op_attr *attr)
{
    um_tid dy = UM_NONE;
    um_status rc = um_grads_get(gs, node->out[0], &dy);
    if (rc != UM_OK || dy < 0)
        return rc;
    return um_grads_emit(gs, node->in[0], op, node->name, (um_tid[]){dy, extra}, attr);
}

um_status um_grad_maxpool(um_grads *gs, const um_node *node)
{
    return single(gs, node, UM_OP_MAXPOOL_BWD, node->out[1], &node->attr);
}

um_status um_grad_avgpool(um_grads *gs, const um_node *node)
{
    return single(gs, node, UM_OP_AVGPOOL_BWD, UM_NONE, &node->attr);
}

um_status um_grad_upsample(um_grads *gs, const um_node *node)
{
    return single(gs, node, UM_OP_UPSAMPLE_BWD, UM_NONE, &node->attr);
}

um_status um_grad_window(um_grads *gs, const um_node *node)
{
    um_op_attr back = {.window = {.top = -node->attr.window.top, .left = -node->attr.window.left}};
    return single(gs, node, UM_OP_WINDOW, UM_NONE, &back);
}

um_status um_grad_copy(um_grads *gs, const um_node *node)
{
    return single(gs, node, UM_OP_COPY, UM_NONE, NULL);
}

um_status um_grad_add(um_grads *gs, const um_node *node)
{
    um_status rc = UM_OK;
    um_tid dy = UM_NONE;
    UM_TRY(um_grads_get(gs, node->out[0], &dy));
    for (int i = 0; dy >= 0 && i < 2; i++)
        UM_TRY(um_grads_emit(gs, node->in[i], UM_OP_COPY, node->name, &dy, NULL));
done:
    return rc;
}

um_status um_grad_bound(um_grads *gs, const um_node *node)
{
    um_tid dd = UM_NONE;
    um_status rc = um_grads_get(gs, node->out[0], &dd);
    if (rc != UM_OK || dd < 0)
        return rc;
    return um_grads_emit(gs, node->in[0], UM_OP_BOUND_BWD, node->name, (um_tid[]){node->in[0], node->in[1], dd}, &node->attr);
}

um_status um_grad_clip(um_grads *gs, const um_node *node)
{
    um_tid dy = UM_NONE;
    um_status rc = um_grads_get(gs, node->out[0], &dy);
    if (rc != UM_OK || dy < 0)
        return rc;
    return um_grads_emit(gs, node->in[0], UM_OP_CLIP_BWD, node->name, (um_tid[]){node->in[0], dy}, &node->attr);
}

um_status um_grad_seg_loss(um_grads *gs, const um_node *node)
{
    const um_graph *g = gs->graph;
    const um_node *sums = &g->nodes[g->tensors[node->in[0]].producer];
    um_tid z = sums->in[0], y = sums->in[1];
    return um_grads_emit(gs, z, UM_OP_SEG_BWD, node->name, (um_tid[]){z, y, node->in[0], node->in[1]}, &node->attr);
}

um_status um_grad_align_sums(um_grads *gs, const um_node *node)
{
    return um_grads_emit(gs, node->in[0], UM_OP_ALIGN_BWD, node->name, (um_tid[]){node->in[0], node->in[1], node->in[2], node->out[0]},
                         &node->attr);
}

um_status um_grad_class_sums(um_grads *gs, const um_node *node)
{
    return um_grads_emit(gs, node->in[0], UM_OP_CLASS_BWD, node->name, node->in, &node->attr);
}
