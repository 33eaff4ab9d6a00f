#include "train/exchange.h"

#include <string.h>

#include "base/mem.h"

typedef struct bucket_list {
    um_grad_bucket *items;
    int n, cap;
} bucket_list;

static um_params *learns(const um_graph *g, um_tid t)
{
    return t >= 0 && g->tensors[um_graph_root(g, t)].kind == UM_T_GRAD ? g->tensors[um_graph_root(g, t)].params : NULL;
}

static bool met(const bucket_list *l, const um_params *p)
{
    for (int i = 0; i < l->n; i++)
        if (l->items[i].params == p)
            return true;
    return false;
}

static void touch(const um_graph *g, const um_params *p, um_tid t, int node, int *ready)
{
    if (learns(g, t) == p)
        ready[g->tensors[um_graph_root(g, t)].param_index] = node + 1;
}

/* ready[i]: behind the last node that has to do with the gradient of parameter i. */
static void find_ready(const um_graph *g, const um_params *p, int *ready)
{
    for (int i = 0; i < g->n_local; i++) {
        for (int k = 0; k < UM_OP_MAX_IN; k++)
            touch(g, p, g->nodes[i].in[k], i, ready);
        for (int k = 0; k < UM_OP_MAX_OUT; k++)
            touch(g, p, g->nodes[i].out[k], i, ready);
    }
}

static um_status cut(bucket_list *l, const um_graph *g, um_params *p, int64_t elements)
{
    um_status rc = UM_OK;
    int *ready = NULL;
    UM_TRY(UM_NEW_ARRAY(ready, p->n + 1));
    find_ready(g, p, ready);
    for (int64_t end = p->n_values; end > 0; end -= elements) {
        um_grad_bucket b = {.params = p, .begin = end > elements ? end - elements : 0};
        b.n = end - b.begin;
        for (int i = 0; i < p->n; i++) {
            const um_param *q = &p->list[i];
            bool inside = q->kind != UM_PARAM_BUFFER && q->offset < end && q->offset + q->count > b.begin;
            b.ready = inside && ready[i] > b.ready ? ready[i] : b.ready;
        }
        if (l->n == l->cap) {
            UM_TRY(UM_GROW(l->items, l->cap, 2 * l->cap + 16));
            l->cap = 2 * l->cap + 16;
        }
        l->items[l->n++] = b;
    }
done:
    um_free(ready);
    return rc;
}

/* Insertion: buckets of one network are nearly in order, and equal ones keep theirs. */
static void sort_by_ready(um_grad_bucket *b, int n)
{
    for (int i = 1; i < n; i++) {
        um_grad_bucket own = b[i];
        int k = i;
        for (; k > 0 && b[k - 1].ready > own.ready; k--)
            b[k] = b[k - 1];
        b[k] = own;
    }
}

um_status um_grad_buckets(um_grad_bucket **out, int *n, const um_graph *g, int64_t bucket_bytes)
{
    um_status rc = UM_OK;
    bucket_list l = {0};
    int64_t elements = bucket_bytes / (int64_t)um_dtype_bytes(g->real);
    for (um_tid t = 0; t < g->n_tensors; t++) {
        um_params *p = learns(g, t);
        if (p && !met(&l, p))
            UM_TRY(cut(&l, g, p, elements));
    }
    sort_by_ready(l.items, l.n);
    *out = l.items;
    *n = l.n;
    l.items = NULL;
done:
    um_free(l.items);
    return rc;
}

static int reduce_here(void *arg, double *data, int64_t n)
{
    return (int)um_reducer_sum(arg, data, UM_F64, n, "sum over the batch");
}

static um_status start(um_reducer *r, const um_graph *g, const um_grad_bucket *b)
{
    char *block = b->params->block[UM_BLOCK_GRAD];
    return um_reducer_start(r, block + (size_t)b->begin * um_dtype_bytes(g->real), g->real, b->n, "sum of the gradients");
}

um_status um_exchange_run(um_exec *e, const um_graph *g, const um_batch *batch, um_reducer *r)
{
    um_status rc = UM_OK;
    um_batch own = *batch;
    um_grad_bucket *buckets = NULL;
    int n = 0, at = 0;
    own.reduce_here = reduce_here;
    own.reduce_here_arg = r;
    UM_TRY(um_grad_buckets(&buckets, &n, g, um_reducer_bucket_bytes(r)));
    for (int k = 0; k < n; at = buckets[k++].ready) {
        UM_TRY(um_exec_run(e, &own, at, buckets[k].ready));
        UM_TRY(start(r, g, &buckets[k]));
    }
    UM_TRY(um_exec_run(e, &own, at, g->n_local));
    UM_TRY(um_reducer_join(r));
    UM_TRY(um_exec_run(e, &own, g->n_local, -1));
done:
    if (rc != UM_OK)
        um_reducer_abandon(r);
    um_free(buckets);
    return rc;
}
