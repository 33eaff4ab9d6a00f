#include "nn/exec.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ALIGN = 64 };

void um_plan_free(um_plan *p)
{
    if (!p)
        return;
    um_free(p->offset);
    um_free(p->first);
    um_free(p->last);
    um_free(p->shares);
    um_free(p);
}

static bool in_arena(const um_graph *g, um_tid t)
{
    const um_tensor *q = &g->tensors[t];
    return q->parent < 0 && (q->kind == UM_T_ACT || q->kind == UM_T_INPUT);
}

static size_t tensor_bytes(const um_tensor *q)
{
    size_t bytes = (size_t)(q->n * q->h * q->w * q->c) * um_dtype_bytes(q->dtype);
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static void touch(const um_graph *g, um_plan *p, um_tid t, int node)
{
    if (t < 0)
        return;
    t = um_graph_root(g, t);
    if (p->first[t] < 0)
        p->first[t] = node;
    p->last[t] = node;
}

/* A node may write over its first input where the op allows it, this is the input's last reading, and both are whole tensors. */
static void share_in_place(const um_graph *g, um_plan *p, int i)
{
    const um_node *node = &g->nodes[i];
    um_tid in = node->in[0], out = node->out[0];
    if (!(um_op_table[node->op].flags & UM_OPF_I) || node->accumulate || in < 0)
        return;
    const um_tensor *a = &g->tensors[in], *b = &g->tensors[out];
    if (a->kind != UM_T_ACT || b->kind != UM_T_ACT || a->parent >= 0 || b->parent >= 0 || a->keep || b->keep)
        return;
    if (p->last[in] != i || p->first[out] != i || a->dtype != b->dtype || tensor_bytes(a) != tensor_bytes(b))
        return;
    for (int k = 1; k < UM_OP_MAX_IN; k++)
        if (node->in[k] >= 0 && um_graph_root(g, node->in[k]) == in)
            return;
    um_tid owner = p->shares[in];
    p->shares[out] = owner;
    if (p->last[out] > p->last[owner])
        p->last[owner] = p->last[out];
}

static void find_lives(const um_graph *g, um_plan *p)
{
    for (um_tid t = 0; t < g->n_tensors; t++)
        p->first[t] = p->last[t] = -1, p->shares[t] = t;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < UM_OP_MAX_IN; k++)
            touch(g, p, g->nodes[i].in[k], i);
        for (int k = 0; k < UM_OP_MAX_OUT; k++)
            touch(g, p, g->nodes[i].out[k], i);
    }
    for (um_tid t = 0; t < g->n_tensors; t++) {
        if (!in_arena(g, t))
            continue;
        if (g->tensors[t].kind == UM_T_INPUT)
            p->first[t] = 0;
        if (g->tensors[t].keep)
            p->last[t] = g->n_nodes;
    }
    for (int i = 0; i < g->n_nodes; i++)
        share_in_place(g, p, i);
}

typedef struct block { um_tid t; size_t bytes; } block;

static int larger_first(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->t - y->t;
}

static bool lives_meet(const um_plan *p, um_tid a, um_tid b)
{
    return p->first[a] <= p->last[b] && p->first[b] <= p->last[a];
}

/* Lowest offset at which blocks[k] overlaps nothing already placed that is alive at the same time. */
static size_t place(const um_plan *p, const block *blocks, int k)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int j = 0; j < k; j++) {
            size_t begin = p->offset[blocks[j].t], end = begin + blocks[j].bytes;
            if (lives_meet(p, blocks[j].t, blocks[k].t) && at < end && begin < at + blocks[k].bytes) {
                at = end;
                moved = true;
            }
        }
    }
    return at;
}

static um_status assign_offsets(const um_graph *g, um_plan *p)
{
    um_status rc = UM_OK;
    block *blocks = NULL;
    int n = 0;
    UM_TRY(UM_NEW_ARRAY(blocks, g->n_tensors + 1));
    for (um_tid t = 0; t < g->n_tensors; t++) {
        if (!in_arena(g, t) || p->first[t] < 0)
            continue;
        p->unshared_bytes += tensor_bytes(&g->tensors[t]);
        if (p->shares[t] == t)
            blocks[n++] = (block){t, tensor_bytes(&g->tensors[t])};
    }
    qsort(blocks, (size_t)n, sizeof *blocks, larger_first);
    for (int k = 0; k < n; k++) {
        p->offset[blocks[k].t] = place(p, blocks, k);
        size_t end = p->offset[blocks[k].t] + blocks[k].bytes;
        p->arena_bytes = end > p->arena_bytes ? end : p->arena_bytes;
    }
    for (um_tid t = 0; t < g->n_tensors; t++)
        p->offset[t] = p->offset[p->shares[t]];
done:
    um_free(blocks);
    return rc;
}

static um_view plan_view(const um_graph *g, um_tid t)
{
    if (t < 0)
        return (um_view){0};
    const um_tensor *q = &g->tensors[t];
    return (um_view){NULL, q->dtype, q->n, q->h, q->w, q->c, g->tensors[um_graph_root(g, t)].c};
}

/* Asks the backend whether it can run every node, and how much workspace the hungriest needs. */
static um_status ask_backend(const um_graph *g, um_plan *p, um_backend *backend)
{
    um_status rc = UM_OK;
    um_batch *batch = NULL;
    UM_TRY(UM_NEW(batch));
    um_batch_set(batch, g->max_batch, g->lanes ? g->lanes : UM_MAX_LANES);
    batch->lane_most = g->lanes ? batch->lane_most : g->max_batch;
    for (int i = 0; i < g->n_nodes; i++) {
        const um_node *node = &g->nodes[i];
        if (!backend->iface->supports(backend, node->op)) {
            rc = um_fail(UM_E_UNSUPPORTED, "backend %s has no %s, which %s needs", backend->name, um_op_table[node->op].name,
                         node->name);
            goto done;
        }
        um_op_call call = {.attr = node->attr, .accumulate = node->accumulate, .batch = batch};
        for (int k = 0; k < UM_OP_MAX_IN; k++)
            call.in[k] = plan_view(g, node->in[k]);
        for (int k = 0; k < UM_OP_MAX_OUT; k++)
            call.out[k] = plan_view(g, node->out[k]);
        size_t bytes = 0;
        UM_TRY(backend->iface->prepare(backend, node->op, &call, &bytes));
        p->workspace_bytes = bytes > p->workspace_bytes ? bytes : p->workspace_bytes;
    }
done:
    um_free(batch);
    return rc;
}

um_status um_plan_create(um_plan **out, const um_graph *g, um_backend *backend)
{
    um_status rc = UM_OK;
    um_plan *p = NULL;
    UM_TRY(um_graph_check(g));
    UM_TRY(UM_NEW(p));
    p->n_tensors = g->n_tensors;
    UM_TRY(UM_NEW_ARRAY(p->offset, g->n_tensors));
    UM_TRY(UM_NEW_ARRAY(p->first, g->n_tensors));
    UM_TRY(UM_NEW_ARRAY(p->last, g->n_tensors));
    UM_TRY(UM_NEW_ARRAY(p->shares, g->n_tensors));
    find_lives(g, p);
    UM_TRY(assign_offsets(g, p));
    if (backend)
        UM_TRY(ask_backend(g, p, backend));
    *out = p;
    p = NULL;
done:
    um_plan_free(p);
    return rc;
}

um_status um_plan_print(const um_plan *p, const um_graph *g, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "%5s %-40s %-24s %12s %11s %12s\n", "id", "tensor", "shape", "bytes", "life", "offset"));
    for (um_tid t = 0; t < p->n_tensors; t++) {
        if (!in_arena(g, t) || p->first[t] < 0)
            continue;
        const um_tensor *q = &g->tensors[t];
        char shape[64];
        snprintf(shape, sizeof shape, "%ldx%ldx%ldx%ld", (long)q->n, (long)q->h, (long)q->w, (long)q->c);
        UM_TRY(um_text_add(out, "%5d %-40.40s %-24s %12zu %5d-%-5d %12zu%s\n", t, q->name, shape, tensor_bytes(q), p->first[t],
                           p->last[t], p->offset[t], p->shares[t] != t ? " in place" : ""));
    }
    UM_TRY(um_text_add(out, "activations: peak %.2f MiB (%.2f MiB without reuse), workspace %.2f MiB\n",
                       (double)p->arena_bytes / 1048576, (double)p->unshared_bytes / 1048576,
                       (double)p->workspace_bytes / 1048576));
done:
    return rc;
}
