/* Gradient of batch normalisation, from the node that applies it (layers.md section 2). */
#include "nn/autodiff.h"

/* Sums of g and g*xhat: `sums` for BN_BWD_APPLY, over all ranks or of every image; own: this rank's as gradients are rounded, or again
 * those of every image. */
static um_status backward_sums(um_grads *gs, const um_node *node, um_tid dy, bool learns, um_tid *own, um_tid *sums)
{
    um_status rc = UM_OK;
    um_graph *g = gs->graph;
    bool per_lane = node->attr.bn.per_lane, eval = node->attr.bn.eval;
    int64_t c = g->tensors[node->out[0]].c;
    um_tid local = UM_NONE, rounded = UM_NONE;
    UM_TRY(um_graph_act(g, &local, node->name, UM_F64, per_lane, 1, 1, 2, c));
    if (learns && !per_lane)
        UM_TRY(um_graph_act(g, &rounded, node->name, g->real, false, 1, 1, 2, c));
    UM_TRY(um_graph_node(g, UM_OP_BN_BWD_SUMS, node->name, (um_tid[]){dy, node->in[0], node->in[1]}, (um_tid[]){local, rounded},
                         &node->attr, false));
    *own = per_lane ? local : rounded;
    *sums = per_lane ? local : UM_NONE;
    if (!eval && !per_lane) {
        UM_TRY(um_graph_act(g, sums, node->name, UM_F64, false, 1, 1, 2, c));
        UM_TRY(um_graph_node(g, UM_OP_ALL_REDUCE, node->name, &local, sums, NULL, false));
    }
done:
    return rc;
}

static um_status param_grads(um_grads *gs, const um_node *node, um_tid gamma, um_tid beta, um_tid sums)
{
    um_status rc = UM_OK;
    um_tid to[2] = {UM_NONE, UM_NONE};
    bool acc[2] = {false, false};
    UM_TRY(um_grads_target(gs, gamma, &to[0], &acc[0]));
    UM_TRY(um_grads_target(gs, beta, &to[1], &acc[1]));
    UM_REQUIRE(acc[0] == acc[1]);
    UM_TRY(um_graph_node(gs->graph, node->attr.bn.per_lane ? UM_OP_NORM_BWD_PARAM : UM_OP_BN_BWD_PARAM, node->name, &sums, to,
                         &node->attr, acc[0]));
done:
    return rc;
}

um_status um_grad_bn_apply(um_grads *gs, const um_node *node)
{
    um_status rc = UM_OK;
    um_graph *g = gs->graph;
    um_tid dy = UM_NONE, own = UM_NONE, sums = UM_NONE;
    um_node coef = g->nodes[g->tensors[node->in[1]].producer];
    UM_REQUIRE(coef.op == UM_OP_BN_COEF);
    bool learns = um_grads_wanted(gs, coef.in[1]);
    UM_TRY(um_grads_get(gs, node->out[0], &dy));
    if (dy < 0)
        return UM_OK;
    if (learns || !node->attr.bn.eval)
        UM_TRY(backward_sums(gs, node, dy, learns, &own, &sums));
    if (learns)
        UM_TRY(param_grads(gs, node, coef.in[1], coef.in[2], own));
    UM_TRY(um_grads_emit(gs, node->in[0], UM_OP_BN_BWD_APPLY, node->name, (um_tid[]){dy, node->in[0], node->in[1], sums},
                         &node->attr));
done:
    return rc;
}
