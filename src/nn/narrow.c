#include "nn/narrow.h"

#include "kernels/backend.h"

static bool starts_narrow(const um_graph *g, um_tid t, um_dtype store)
{
    const um_tensor *q = &g->tensors[t];
    bool known = q->dtype == g->real || q->dtype == store;
    return q->kind == UM_T_ACT && q->parent < 0 && q->batched && !q->keep && known && q->c >= UM_NARROW_CHANNELS;
}

/* A slice that is read after the run keeps its whole tensor. */
static void keep_owners(um_graph *g)
{
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].keep && g->tensors[t].parent >= 0)
            g->tensors[um_graph_root(g, t)].dtype = g->real;
}

static bool is_narrow(const um_graph *g, um_tid t, um_dtype store)
{
    return t >= 0 && g->tensors[um_graph_root(g, t)].dtype == store;
}

/* Returns whether that changed anything. */
static bool widen(um_graph *g, um_tid t, um_dtype store)
{
    if (!is_narrow(g, t, store))
        return false;
    g->tensors[um_graph_root(g, t)].dtype = g->real;
    return true;
}

static bool rearranges(um_op op)
{
    return op == UM_OP_PATCHES_FWD || op == UM_OP_PATCHES_BWD || op == UM_OP_WINDOW || op == UM_OP_COPY;
}

static bool is_real(const um_graph *g, um_tid t)
{
    return t >= 0 && g->tensors[um_graph_root(g, t)].dtype == g->real;
}

static bool widen_node(um_graph *g, const um_node *node, um_dtype store)
{
    bool changed = false, gradient = node->op == UM_OP_PATCHES_BWD;
    um_tid from = gradient ? node->out[0] : node->in[0], to = gradient ? node->in[0] : node->out[0];
    for (int k = 0; k < UM_OP_MAX_IN; k++)
        if (node->in[k] >= 0 && !um_shape_is_activation(node->op, false, k))
            changed |= widen(g, node->in[k], store);
    for (int k = 0; k < UM_OP_MAX_OUT; k++)
        if (node->out[k] >= 0 && !um_shape_is_activation(node->op, true, k))
            changed |= widen(g, node->out[k], store);
    if (node->op == UM_OP_CLASS_SUMS || node->op == UM_OP_CLASS_BWD)
        changed |= widen(g, node->in[0], store) | (node->op == UM_OP_CLASS_BWD && widen(g, node->out[0], store));
    if (rearranges(node->op) && is_real(g, from))
        changed |= widen(g, to, store);
    return changed;
}

void um_graph_narrow(um_graph *g, um_dtype store)
{
    if (store == g->real)
        return;
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (starts_narrow(g, t, store))
            g->tensors[t].dtype = store;
    keep_owners(g);
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < g->n_nodes; i++)
            changed |= widen_node(g, &g->nodes[i], store);
    }
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].parent >= 0)
            g->tensors[t].dtype = g->tensors[um_graph_root(g, t)].dtype;
}
