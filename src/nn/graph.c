#include "nn/graph.h"

#include <string.h>

#include "base/mem.h"

um_status um_graph_create(um_graph **out, um_dtype real, int64_t max_batch)
{
    um_status rc = UM_OK;
    um_graph *g = NULL;
    UM_TRY(UM_NEW(g));
    g->real = real;
    g->max_batch = max_batch;
    g->recompute = true;
    *out = g;
done:
    return rc;
}

void um_graph_free(um_graph *g)
{
    if (!g)
        return;
    um_free(g->tensors);
    um_free(g->nodes);
    um_free(g->late);
    um_free(g);
}

static um_status append_tensor(um_graph *g, um_tid *out, const char *name, const um_tensor *t)
{
    um_status rc = UM_OK;
    if (g->n_tensors == g->cap_tensors) {
        UM_TRY(UM_GROW(g->tensors, g->cap_tensors, g->cap_tensors * 2 + 128));
        g->cap_tensors = g->cap_tensors * 2 + 128;
    }
    um_tensor *q = &g->tensors[g->n_tensors];
    *q = *t;
    snprintf(q->name, sizeof q->name, "%.63s", name);
    q->producer = -1;
    *out = g->n_tensors++;
done:
    return rc;
}

um_status um_graph_input(um_graph *g, um_tid *out, const char *name, int64_t h, int64_t w, int64_t c)
{
    um_tensor t = {.kind = UM_T_INPUT, .dtype = g->real, .batched = true, .n = g->max_batch, .h = h, .w = w, .c = c,
                   .parent = UM_NONE, .keep = true};
    return append_tensor(g, out, name, &t);
}

um_status um_graph_act(um_graph *g, um_tid *out, const char *name, um_dtype dtype, bool batched, int64_t n, int64_t h, int64_t w,
                       int64_t c)
{
    um_tensor t = {.kind = UM_T_ACT, .dtype = dtype, .batched = batched, .n = batched ? g->max_batch : n, .h = h, .w = w, .c = c,
                   .parent = UM_NONE};
    return append_tensor(g, out, name, &t);
}

static um_status append_param(um_graph *g, um_tid *out, um_tensor_kind kind, um_params *params, int index, bool trainable)
{
    um_view v = um_params_view(params, index, UM_BLOCK_VALUE);
    um_tensor t = {.kind = kind, .dtype = g->real, .n = v.n, .h = v.h, .w = v.w, .c = v.c, .parent = UM_NONE, .params = params,
                   .param_index = index, .trainable = trainable};
    return append_tensor(g, out, params->list[index].name, &t);
}

um_status um_graph_param(um_graph *g, um_tid *out, um_params *params, int index, bool trainable)
{
    for (um_tid t = 0; t < g->n_tensors; t++) { /* a network used twice in one graph has one gradient */
        const um_tensor *q = &g->tensors[t];
        if (q->kind == UM_T_PARAM && q->params == params && q->param_index == index && (q->trainable || !trainable)) {
            *out = t;
            return UM_OK;
        }
    }
    return append_param(g, out, UM_T_PARAM, params, index, trainable && params->list[index].kind != UM_PARAM_BUFFER);
}

um_status um_graph_param_grad(um_graph *g, um_tid *out, um_params *params, int index)
{
    return append_param(g, out, UM_T_GRAD, params, index, false);
}

um_status um_graph_slice(um_graph *g, um_tid *out, um_tid parent, int64_t c_offset, int64_t c)
{
    um_tensor t = g->tensors[parent];
    t.parent = parent;
    t.c_offset = c_offset;
    t.c = c;
    t.sliced = false;
    t.keep = false;
    um_status rc = append_tensor(g, out, t.name, &t);
    if (rc == UM_OK)
        g->tensors[parent].sliced = true;
    return rc;
}

static void set_node(um_node *node, um_op op, const char *name, const um_tid *in, const um_tid *out, const um_op_attr *attr, bool accumulate)
{
    const um_op_info *info = &um_op_table[op];
    memset(node, 0, sizeof *node);
    node->op = op;
    node->accumulate = accumulate;
    if (attr)
        node->attr = *attr;
    snprintf(node->name, sizeof node->name, "%.63s", name);
    for (int i = 0; i < UM_OP_MAX_IN; i++)
        node->in[i] = i < info->n_in ? in[i] : UM_NONE;
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        node->out[i] = i < info->n_out ? out[i] : UM_NONE;
}

um_status um_graph_node(um_graph *g, um_op op, const char *name, const um_tid *in, const um_tid *out, const um_op_attr *attr,
                        bool accumulate)
{
    um_status rc = UM_OK;
    if (g->n_nodes == g->cap_nodes) {
        UM_TRY(UM_GROW(g->nodes, g->cap_nodes, g->cap_nodes * 2 + 128));
        g->cap_nodes = g->cap_nodes * 2 + 128;
    }
    um_node *node = &g->nodes[g->n_nodes];
    set_node(node, op, name, in, out, attr, accumulate);
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        if (node->out[i] >= 0 && g->tensors[node->out[i]].producer < 0)
            g->tensors[node->out[i]].producer = g->n_nodes;
    g->n_nodes++;
done:
    return rc;
}

um_status um_graph_late(um_graph *g, um_op op, const char *name, const um_tid *in, const um_tid *out, const um_op_attr *attr)
{
    um_status rc = UM_OK;
    if (g->n_late == g->cap_late) {
        UM_TRY(UM_GROW(g->late, g->cap_late, g->cap_late * 2 + 32));
        g->cap_late = g->cap_late * 2 + 32;
    }
    set_node(&g->late[g->n_late++], op, name, in, out, attr, false);
done:
    return rc;
}

um_status um_graph_end(um_graph *g)
{
    um_status rc = UM_OK;
    for (int i = 0; i < g->n_late; i++)
        UM_TRY(um_graph_node(g, g->late[i].op, g->late[i].name, g->late[i].in, g->late[i].out, &g->late[i].attr, false));
    g->n_late = 0;
done:
    return rc;
}

static um_status append_block(um_graph *g, um_tid *out, um_params *params, int block)
{
    static const char *const names[] = {"values", "gradients", "first moments", "second moments", "pace"};
    bool pace = block == UM_BLOCK_COUNT;
    um_tensor t = {.kind = UM_T_BLOCK, .dtype = pace ? UM_F64 : g->real, .n = 1, .h = 1, .w = 1, .c = pace ? 2 : params->n_values,
                   .parent = UM_NONE, .params = params, .param_index = block};
    return append_tensor(g, out, names[block], &t);
}

um_status um_graph_update(um_graph *g, um_params *params, const um_adam_attr *attr)
{
    um_status rc = UM_OK;
    um_tid block[UM_BLOCK_COUNT + 1];
    um_op_attr adam = {.adam = *attr};
    UM_REQUIRE(g->n_forward > 0);
    for (int b = 0; b <= UM_BLOCK_COUNT; b++)
        UM_TRY(append_block(g, &block[b], params, b));
    const um_tid in[] = {block[UM_BLOCK_GRAD], block[UM_BLOCK_COUNT]}, out[] = {block[UM_BLOCK_VALUE], block[UM_BLOCK_M], block[UM_BLOCK_V]};
    UM_TRY(um_graph_node(g, UM_OP_ADAM, "update", in, out, &adam, false));
done:
    return rc;
}

/* Makes `t` a slice of `cat` if its memory is still its own to move; else the caller copies. */
static bool adopt(um_graph *g, um_tid t, um_tid cat, int64_t c_offset)
{
    um_tensor *q = &g->tensors[t];
    if (q->kind != UM_T_ACT || q->parent >= 0 || q->sliced || q->keep)
        return false;
    q->parent = cat;
    q->c_offset = c_offset;
    g->tensors[cat].sliced = true;
    return true;
}

um_status um_graph_concat_all(um_graph *g, um_tid *out, const um_tid *parts, int n, const char *name)
{
    um_status rc = UM_OK;
    um_tensor first = g->tensors[parts[0]];
    um_tid cat = UM_NONE;
    int64_t c = 0, at = 0;
    for (int i = 0; i < n; i++) {
        const um_tensor *t = &g->tensors[parts[i]];
        UM_REQUIRE(t->batched && t->dtype == first.dtype && t->h == first.h && t->w == first.w);
        c += t->c;
    }
    UM_TRY(um_graph_act(g, &cat, name, first.dtype, true, 0, first.h, first.w, c));
    for (int i = 0; i < n; i++) {
        int64_t width = g->tensors[parts[i]].c;
        um_tid slice = UM_NONE;
        if (!adopt(g, parts[i], cat, at)) {
            UM_TRY(um_graph_slice(g, &slice, cat, at, width));
            UM_TRY(um_graph_node(g, UM_OP_COPY, name, &parts[i], &slice, NULL, false));
        }
        at += width;
    }
    *out = cat;
done:
    return rc;
}

um_status um_graph_concat(um_graph *g, um_tid *out, um_tid a, um_tid b, const char *name)
{
    return um_graph_concat_all(g, out, (um_tid[]){a, b}, 2, name);
}

static um_status check_operand(const um_graph *g, int node, um_tid t, bool is_in)
{
    const um_node *q = &g->nodes[node];
    if (t >= g->n_tensors)
        return um_fail(UM_E_BUG, "node %d (%s %s) names tensor %d of %d", node, um_op_table[q->op].name, q->name, t, g->n_tensors);
    const um_tensor *x = &g->tensors[t];
    if (x->parent >= 0 && x->c_offset + x->c > g->tensors[x->parent].c)
        return um_fail(UM_E_BUG, "tensor %d (%s) does not fit its parent", t, x->name);
    bool written = x->producer >= 0 && x->producer < node;
    for (um_tid i = 0; is_in && x->kind == UM_T_ACT && !written && i < g->n_tensors; i++) {
        const um_tensor *s = &g->tensors[i]; /* a parent is written through its slices, a slice through its parent or slices that share channels with it */
        bool shared = x->parent >= 0 && s->parent == x->parent && s->c_offset < x->c_offset + x->c && x->c_offset < s->c_offset + s->c;
        if ((s->parent == t || x->parent == i || shared) && s->producer >= 0 && s->producer < node)
            written = true;
    }
    if (is_in && x->kind == UM_T_ACT && !written)
        return um_fail(UM_E_BUG, "node %d (%s %s) reads tensor %d (%s) before it is written", node, um_op_table[q->op].name,
                       q->name, t, x->name);
    return UM_OK;
}

um_status um_graph_check(const um_graph *g)
{
    um_status rc = UM_OK;
    if (g->n_late > 0)
        return um_fail(UM_E_BUG, "%d late nodes (%s %s) were never appended (um_graph_end)", g->n_late, um_op_table[g->late[0].op].name,
                       g->late[0].name);
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < UM_OP_MAX_IN; k++)
            if (g->nodes[i].in[k] >= 0)
                UM_TRY(check_operand(g, i, g->nodes[i].in[k], true));
        for (int k = 0; k < UM_OP_MAX_OUT; k++)
            if (g->nodes[i].out[k] >= 0)
                UM_TRY(check_operand(g, i, g->nodes[i].out[k], false));
    }
done:
    return rc;
}
