#include "nn/autodiff.h"

#include <string.h>

#include "base/mem.h"

/* Ops without a rule either carry no gradient (statistics, sums: their owner's rule covers them) or are gradients themselves. */
static const um_grad_rule rules[UM_OP_COUNT] = {
    [UM_OP_CONV_FWD] = um_grad_conv,         [UM_OP_CONVT_FWD] = um_grad_convt,       [UM_OP_CDC_FOLD] = um_grad_cdc_fold,
    [UM_OP_BN_APPLY] = um_grad_bn_apply,     [UM_OP_MAXPOOL_FWD] = um_grad_maxpool,   [UM_OP_UPSAMPLE_FWD] = um_grad_upsample,
    [UM_OP_WINDOW] = um_grad_window,         [UM_OP_ADD] = um_grad_add,               [UM_OP_COPY] = um_grad_copy,
    [UM_OP_BOUND_FWD] = um_grad_bound,       [UM_OP_CLIP_FWD] = um_grad_clip,         [UM_OP_SEG_LOSS] = um_grad_seg_loss,
    [UM_OP_ALIGN_SUMS] = um_grad_align_sums, [UM_OP_ACT_FWD] = um_grad_act,           [UM_OP_GATE_FWD] = um_grad_gate,
    [UM_OP_DROPOUT] = um_grad_dropout,       [UM_OP_NORM_FWD] = um_grad_norm,         [UM_OP_WS_FWD] = um_grad_ws,
    [UM_OP_PATCHES_FWD] = um_grad_patches,   [UM_OP_ATTENTION_FWD] = um_grad_attention, [UM_OP_EMBED_ADD] = um_grad_embed,
    [UM_OP_AVGPOOL_FWD] = um_grad_avgpool,   [UM_OP_CLASS_SUMS] = um_grad_class_sums,
};

um_tid um_grads_kernel_of(const um_graph *g, um_tid t)
{
    int producer = g->tensors[t].producer;
    if (producer < 0 || g->nodes[producer].op != UM_OP_WS_FWD || g->nodes[producer].out[0] != t)
        return UM_NONE;
    um_tid w = g->nodes[producer].in[0];
    return g->tensors[w].kind == UM_T_PARAM ? w : UM_NONE;
}

/* Whose gradient a root tensor's is stored as: that of a folded kernel is the gradient of the kernel it adds to, and kernels that
 * were standardised from one parameter, by a network used twice, are the first of them. */
static um_tid owner_of(const um_graph *g, um_tid t)
{
    int producer = g->tensors[t].producer;
    if (producer >= 0 && g->nodes[producer].op == UM_OP_CDC_FOLD)
        return g->nodes[producer].in[0];
    if (um_grads_kernel_of(g, t) < 0)
        return t;
    for (int i = 0; i < producer; i++)
        if (g->nodes[i].op == UM_OP_WS_FWD && g->nodes[i].in[0] == g->nodes[producer].in[0])
            return g->nodes[i].out[0];
    return t;
}

um_status um_grads_get(um_grads *gs, um_tid t, um_tid *out)
{
    um_tensor q = gs->graph->tensors[t];
    if (q.parent < 0) {
        *out = gs->of[owner_of(gs->graph, t)];
        return UM_OK;
    }
    um_tid parent = UM_NONE;
    um_status rc = um_grads_get(gs, q.parent, &parent);
    if (rc != UM_OK || parent < 0) {
        *out = UM_NONE;
        return rc;
    }
    return um_graph_slice(gs->graph, out, parent, q.c_offset, q.c);
}

static um_status create_grad(um_grads *gs, um_tid t)
{
    um_graph *g = gs->graph;
    um_tensor q = g->tensors[t];
    um_tid kernel = q.kind == UM_T_PARAM ? t : um_grads_kernel_of(g, t);
    if (kernel >= 0) {
        um_tensor w = g->tensors[kernel];
        um_status rc = um_graph_param_grad(g, &gs->of[t], w.params, w.param_index);
        if (rc == UM_OK) {
            um_tensor *dh = &g->tensors[gs->of[t]];
            dh->n = q.n, dh->h = q.h, dh->w = q.w, dh->c = q.c;
        }
        return rc;
    }
    char name[UM_GRAPH_NAME];
    snprintf(name, sizeof name, "d %.60s", q.name);
    return um_graph_act(g, &gs->of[t], name, q.dtype, q.batched, q.n, q.h, q.w, q.c);
}

um_status um_grads_target(um_grads *gs, um_tid t, um_tid *out, bool *accumulate)
{
    um_status rc = UM_OK;
    um_tid root = owner_of(gs->graph, um_graph_root(gs->graph, t));
    bool fresh = gs->of[root] < 0, whole = gs->graph->tensors[t].parent < 0;
    if (fresh)
        UM_TRY(create_grad(gs, root));
    if (fresh && !whole) { /* the first contribution covers one slice only: the others start from zero */
        um_op_attr zero = {.fill = {0}};
        UM_TRY(um_graph_node(gs->graph, UM_OP_FILL, "zero", NULL, &gs->of[root], &zero, false));
    }
    UM_TRY(um_grads_get(gs, t, out));
    *accumulate = !fresh || !whole;
done:
    return rc;
}

um_status um_grads_emit(um_grads *gs, um_tid t, um_op op, const char *name, const um_tid *in, const um_op_attr *attr)
{
    um_status rc = UM_OK;
    um_tid to = UM_NONE;
    bool accumulate = false;
    if (!um_grads_wanted(gs, t))
        return UM_OK;
    UM_TRY(um_grads_target(gs, t, &to, &accumulate));
    UM_TRY(um_graph_node(gs->graph, op, name, in, &to, attr, accumulate));
done:
    return rc;
}

/* Slices share the memory of their parent, so nothing would be won by making them anew. */
static bool made_by_norm(const um_graph *g, um_tid t)
{
    const um_tensor *q = &g->tensors[t];
    bool alone = q->kind == UM_T_ACT && q->parent < 0 && !q->sliced && !q->keep;
    return alone && q->producer >= 0 && g->nodes[q->producer].op == UM_OP_BN_APPLY;
}

um_status um_grads_value(um_grads *gs, um_tid t, um_tid *out)
{
    um_status rc = UM_OK;
    um_graph *g = gs->graph;
    *out = t;
    if (!g->recompute || t >= gs->n || !made_by_norm(g, t))
        return UM_OK;
    if (gs->again[t] < 0) {
        um_tensor q = g->tensors[t];
        um_node node = g->nodes[q.producer];
        UM_TRY(um_graph_act(g, &gs->again[t], q.name, q.dtype, q.batched, q.n, q.h, q.w, q.c));
        UM_TRY(um_graph_node(g, node.op, node.name, node.in, &gs->again[t], &node.attr, false));
    }
    *out = gs->again[t];
done:
    return rc;
}

um_status um_grads_defer(um_grads *gs, const um_node *node)
{
    um_status rc = UM_OK;
    for (int i = 0; i < gs->n_last; i++)
        if (gs->last[i].op == node->op && gs->last[i].out[0] == node->out[0])
            return UM_OK; /* one network used twice */
    if (gs->n_last == gs->cap_last) {
        UM_TRY(UM_GROW(gs->last, gs->cap_last, gs->cap_last * 2 + 16));
        gs->cap_last = gs->cap_last * 2 + 16;
    }
    gs->last[gs->n_last++] = *node;
done:
    return rc;
}

/* A slice that no node writes reads what its parent holds, and wants what that wants. */
static void inherit_need(um_graph *g, um_tid t)
{
    if (t < 0 || g->tensors[t].parent < 0 || g->tensors[t].producer >= 0)
        return;
    inherit_need(g, g->tensors[t].parent);
    if (g->tensors[g->tensors[t].parent].needs_grad)
        g->tensors[t].needs_grad = true;
}

/* A tensor wants a gradient when it is a trainable parameter, one of `wanted`, or computed from such a tensor. */
static void mark_needs(um_graph *g, const um_tid *wanted, int n_wanted)
{
    for (um_tid t = 0; t < g->n_tensors; t++)
        g->tensors[t].needs_grad = g->tensors[t].trainable;
    for (int i = 0; i < n_wanted; i++)
        g->tensors[wanted[i]].needs_grad = true;
    for (int i = 0; i < g->n_nodes; i++) {
        const um_node *node = &g->nodes[i];
        bool needs = false;
        for (int k = 0; k < UM_OP_MAX_IN; k++) {
            inherit_need(g, node->in[k]);
            needs = needs || (node->in[k] >= 0 && g->tensors[node->in[k]].needs_grad);
        }
        for (int k = 0; needs && k < UM_OP_MAX_OUT; k++)
            for (um_tid t = node->out[k]; t >= 0; t = g->tensors[t].parent)
                if (g->tensors[t].kind == UM_T_ACT)
                    g->tensors[t].needs_grad = true;
    }
}

static um_status keep_wanted(um_grads *gs, const um_tid *wanted, int n_wanted, um_tid *wanted_grads)
{
    um_status rc = UM_OK;
    for (int i = 0; i < n_wanted; i++) {
        UM_TRY(um_grads_get(gs, wanted[i], &wanted_grads[i]));
        UM_REQUIRE(wanted_grads[i] >= 0);
        gs->graph->tensors[um_graph_root(gs->graph, wanted_grads[i])].keep = true;
        gs->graph->tensors[wanted_grads[i]].keep = true;
    }
done:
    return rc;
}

um_status um_graph_backward(um_graph *g, um_tid loss, const um_tid *wanted, int n_wanted, um_tid *wanted_grads)
{
    um_status rc = UM_OK;
    um_grads gs = {.graph = g, .n = g->n_tensors};
    UM_REQUIRE(g->n_forward == 0);
    UM_TRY(UM_NEW_ARRAY(gs.of, g->n_tensors));
    UM_TRY(UM_NEW_ARRAY(gs.again, g->n_tensors));
    for (um_tid t = 0; t < gs.n; t++)
        gs.of[t] = gs.again[t] = UM_NONE;
    mark_needs(g, wanted, n_wanted);
    UM_REQUIRE(g->tensors[loss].needs_grad);
    g->n_forward = g->n_nodes;
    for (int i = g->n_forward - 1; i >= 0; i--) {
        um_node node = g->nodes[i];
        if (rules[node.op] && um_grads_wanted(&gs, node.out[0]))
            UM_TRY(rules[node.op](&gs, &node));
    }
    g->n_local = g->n_nodes;
    for (int i = 0; i < gs.n_last; i++)
        UM_TRY(um_graph_node(g, gs.last[i].op, gs.last[i].name, gs.last[i].in, gs.last[i].out, &gs.last[i].attr, false));
    UM_TRY(um_graph_end(g));
    UM_TRY(keep_wanted(&gs, wanted, n_wanted, wanted_grads));
    UM_TRY(um_graph_check(g));
done:
    um_free(gs.last);
    um_free(gs.again);
    um_free(gs.of);
    return rc;
}
