/* Gradients of what attention networks are made of. */
#include "nn/autodiff.h"

/* Gradient of the node's first output; false when nothing flows. */
static bool flows(um_grads *gs, const um_node *node, um_tid *dy, um_status *rc)
{
    *rc = um_grads_get(gs, node->out[0], dy);
    return *rc == UM_OK && *dy >= 0;
}

um_status um_grad_act(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    um_tid t = node->attr.act.kind == UM_ACT_GELU ? node->in[0] : node->out[0];
    return um_grads_emit(gs, node->in[0], UM_OP_ACT_BWD, node->name, (um_tid[]){dy, t}, &node->attr);
}

um_status um_grad_gate(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    UM_TRY(um_grads_emit(gs, node->in[1], UM_OP_GATE_BWD_M, node->name, (um_tid[]){dy, node->in[0]}, NULL));
    UM_TRY(um_grads_emit(gs, node->in[0], UM_OP_GATE_FWD, node->name, (um_tid[]){dy, node->in[1]}, NULL));
done:
    return rc;
}

um_status um_grad_dropout(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    return um_grads_emit(gs, node->in[0], UM_OP_DROPOUT, node->name, &dy, &node->attr);
}

um_status um_grad_patches(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    return um_grads_emit(gs, node->in[0], UM_OP_PATCHES_BWD, node->name, &dy, &node->attr);
}

um_status um_grad_ws(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dh;
    um_node last = *node;
    bool accumulate;
    if (!flows(gs, node, &dh, &rc))
        return rc;
    if (um_grads_kernel_of(gs->graph, node->out[0]) >= 0) {
        last.op = UM_OP_WS_BWD;
        last.in[0] = dh, last.in[1] = node->out[0], last.in[2] = node->out[1];
        last.out[1] = UM_NONE;
        UM_TRY(um_grads_target(gs, node->in[0], &last.out[0], &accumulate));
        return um_grads_defer(gs, &last);
    }
    return um_grads_emit(gs, node->in[0], UM_OP_WS_BWD, node->name, (um_tid[]){dh, node->out[0], node->out[1]}, &node->attr);
done:
    return rc;
}

um_status um_grad_embed(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    UM_TRY(um_grads_emit(gs, node->in[1], UM_OP_EMBED_BWD, node->name, &dy, NULL));
    UM_TRY(um_grads_emit(gs, node->in[0], UM_OP_COPY, node->name, &dy, NULL));
done:
    return rc;
}

static um_status norm_param_grads(um_grads *gs, const um_node *node, um_tid sums)
{
    um_status rc = UM_OK;
    um_tid to[2] = {UM_NONE, UM_NONE};
    bool accumulate[2] = {false, false};
    for (int i = 0; i < 2; i++)
        UM_TRY(um_grads_target(gs, node->in[1 + i], &to[i], &accumulate[i]));
    UM_REQUIRE(accumulate[0] == accumulate[1]);
    UM_TRY(um_graph_node(gs->graph, UM_OP_NORM_BWD_PARAM, node->name, &sums, to, &node->attr, accumulate[0]));
done:
    return rc;
}

um_status um_grad_norm(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy, sums = UM_NONE, x = node->in[0];
    bool learns = um_grads_wanted(gs, node->in[1]), grouped = node->attr.norm.groups > 0;
    if (!flows(gs, node, &dy, &rc))
        return rc;
    if (learns || grouped) {
        UM_TRY(um_graph_act(gs->graph, &sums, node->name, UM_F64, true, 0, 1, 2, gs->graph->tensors[x].c));
        UM_TRY(
            um_graph_node(gs->graph, UM_OP_NORM_BWD_SUMS, node->name, (um_tid[]){dy, x, node->out[1]}, &sums, &node->attr, false));
    }
    if (learns)
        UM_TRY(norm_param_grads(gs, node, sums));
    UM_TRY(um_grads_emit(gs, x, UM_OP_NORM_BWD, node->name, (um_tid[]){dy, x, node->in[1], node->out[1], grouped ? sums : UM_NONE},
                         &node->attr));
done:
    return rc;
}

um_status um_grad_attention(um_grads *gs, const um_node *node)
{
    um_status rc;
    um_tid dy, to[3];
    bool accumulate[3];
    if (!flows(gs, node, &dy, &rc))
        return rc;
    for (int i = 0; i < 3; i++) {
        UM_REQUIRE(um_grads_wanted(gs, node->in[i]));
        UM_TRY(um_grads_target(gs, node->in[i], &to[i], &accumulate[i]));
    }
    UM_REQUIRE(accumulate[0] == accumulate[1] && accumulate[1] == accumulate[2]);
    UM_TRY(um_graph_node(gs->graph, UM_OP_ATTENTION_BWD, node->name,
                         (um_tid[]){dy, node->in[0], node->in[1], node->in[2], node->out[1]}, to, &node->attr, accumulate[0]));
done:
    return rc;
}
