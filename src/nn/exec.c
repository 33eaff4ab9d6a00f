#include "nn/exec.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/queue.h"
#include "nn/narrow.h"
#include "nn/record.h"

typedef struct op_time { double seconds, flops; int64_t calls; } op_time;

struct um_exec {
    um_graph *graph;
    um_backend *backend;
    um_plan *plan;
    void *arena, *workspace;
    void *zeros;          /* host memory, as much as the largest sum over the batch; NULL until needed */
    um_op_call *calls;    /* [n_nodes], bound for the maximum batch */
    uint16_t *batched;    /* [n_nodes]: bit k: in[k] is batched; bit 8 + k: out[k] is */
    op_time times[UM_OP_COUNT];
    um_recordings recordings;
    bool timed; /* every op is waited for, so that its time is its own, and nothing is recorded */
};

/* At --log-level debug: the plan when an executor is made, the time of every op when it goes. */
static void log_debug(const um_exec *e, bool made)
{
    um_text text = {0};
    if (um_log_get_level() < UM_LOG_DEBUG)
        return;
    um_log(UM_LOG_DEBUG, "%s of a graph of %d nodes, batch %ld", made ? "memory plan" : "op times", e->graph->n_nodes,
           (long)e->graph->max_batch);
    if ((made ? um_plan_print(e->plan, e->graph, &text) : um_exec_times(e, &text)) == UM_OK)
        um_log_lines(UM_LOG_DEBUG, um_text_get(&text));
    um_text_free(&text);
}

void um_exec_free(um_exec *e)
{
    if (!e)
        return;
    if (e->calls)
        log_debug(e, false);
    um_recordings_clear(&e->recordings);
    e->backend->iface->free(e->backend, e->arena);
    e->backend->iface->free(e->backend, e->workspace);
    um_plan_free(e->plan);
    um_free(e->calls);
    um_free(e->batched);
    um_free(e->zeros);
    um_free(e);
}

/* The address and extents of a tensor at the maximum batch. */
static um_view bind(const um_exec *e, um_tid t)
{
    if (t < 0)
        return (um_view){0};
    const um_graph *g = e->graph;
    const um_tensor *q = &g->tensors[t];
    if (q->kind == UM_T_PARAM || q->kind == UM_T_GRAD) /* perhaps under another shape than the parameter's */
        return (um_view){um_params_address(q->params, q->param_index, q->kind == UM_T_PARAM ? UM_BLOCK_VALUE : UM_BLOCK_GRAD), q->dtype, q->n,
                         q->h, q->w, q->c, q->c};
    if (q->kind == UM_T_BLOCK)
        return (um_view){q->param_index == UM_BLOCK_COUNT ? (void *)q->params->pace : q->params->block[q->param_index], q->dtype, 1, 1, 1, q->c,
                         q->c};
    um_tid root = um_graph_root(g, t);
    int64_t at = 0;
    for (um_tid s = t; g->tensors[s].parent >= 0; s = g->tensors[s].parent)
        at += g->tensors[s].c_offset;
    char *base = (char *)e->arena + e->plan->offset[root] + (size_t)at * um_dtype_bytes(q->dtype);
    return (um_view){base, q->dtype, q->n, q->h, q->w, q->c, g->tensors[root].c};
}

static um_status allocate_params(const um_graph *g)
{
    um_status rc = UM_OK;
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].kind == UM_T_PARAM)
            UM_TRY(um_params_allocate(g->tensors[t].params));
    for (um_tid t = 0; t < g->n_tensors; t++)
        if (g->tensors[t].kind == UM_T_BLOCK && g->tensors[t].param_index < UM_BLOCK_COUNT)
            UM_REQUIRE(g->tensors[t].c == g->tensors[t].params->n_values);
done:
    return rc;
}

static void bind_node(um_exec *e, int i)
{
    const um_graph *g = e->graph;
    const um_node *node = &g->nodes[i];
    um_op_call *call = &e->calls[i];
    *call = (um_op_call){.attr = node->attr, .accumulate = node->accumulate, .workspace = e->workspace};
    for (int k = 0; k < UM_OP_MAX_IN; k++) {
        call->in[k] = bind(e, node->in[k]);
        if (node->in[k] >= 0 && g->tensors[node->in[k]].batched)
            e->batched[i] |= (uint16_t)(1u << k);
    }
    for (int k = 0; k < UM_OP_MAX_OUT; k++) {
        call->out[k] = bind(e, node->out[k]);
        if (node->out[k] >= 0 && g->tensors[node->out[k]].batched)
            e->batched[i] |= (uint16_t)(256u << k);
    }
}

um_status um_exec_create(um_exec **out, um_graph *g, um_backend *backend)
{
    um_status rc = UM_OK;
    um_exec *e = NULL;
    UM_TRY(UM_NEW(e));
    e->graph = g;
    e->backend = backend;
    e->recordings.backend = backend;
    e->timed = um_log_get_level() >= UM_LOG_DEBUG;
    UM_REQUIRE(g->real == backend->real);
    um_graph_narrow(g, backend->store);
    UM_TRY(um_plan_create(&e->plan, g, backend));
    UM_TRY(allocate_params(g));
    UM_TRY(backend->iface->alloc(backend, &e->arena, e->plan->arena_bytes + 64));
    UM_TRY(backend->iface->alloc(backend, &e->workspace, e->plan->workspace_bytes + 64));
    UM_TRY(UM_NEW_ARRAY(e->calls, g->n_nodes));
    UM_TRY(UM_NEW_ARRAY(e->batched, g->n_nodes));
    for (int i = 0; i < g->n_nodes; i++)
        bind_node(e, i);
    log_debug(e, true);
    *out = e;
    e = NULL;
done:
    um_exec_free(e);
    return rc;
}

static size_t image_bytes(const um_exec *e, um_tid t, int64_t n)
{
    const um_tensor *q = &e->graph->tensors[t];
    return (size_t)((q->batched ? n : q->n) * q->h * q->w * q->c) * um_dtype_bytes(q->dtype);
}

static um_status fits(const um_exec *e, int64_t n)
{
    if (n > e->graph->max_batch)
        return um_fail(UM_E_BUG, "%ld images for a graph of at most %ld", (long)n, (long)e->graph->max_batch);
    return UM_OK;
}

um_view um_exec_input(const um_exec *e, um_tid t, int64_t n)
{
    um_view v = bind(e, t);
    v.n = e->graph->tensors[t].batched ? n : v.n;
    return v;
}

static um_status kept(const um_exec *e, um_tid t)
{
    const um_tensor *q = &e->graph->tensors[t];
    if (q->parent >= 0 || !q->keep)
        return um_fail(UM_E_BUG, "tensor %s is not kept after the run", q->name);
    return UM_OK;
}

um_status um_exec_upload(um_exec *e, um_tid t, const void *host, int64_t n)
{
    um_status rc = fits(e, n);
    return rc != UM_OK ? rc : e->backend->iface->upload(e->backend, bind(e, t).data, host, image_bytes(e, t, n));
}

um_status um_exec_download(um_exec *e, um_tid t, void *host, int64_t n)
{
    um_status rc = kept(e, t);
    return rc != UM_OK ? rc : e->backend->iface->download(e->backend, host, bind(e, t).data, image_bytes(e, t, n));
}

um_status um_exec_copy_in(um_exec *e, um_tid t, const void *from, int64_t n)
{
    um_status rc = fits(e, n);
    return rc != UM_OK ? rc : e->backend->queues->copy(e->backend, NULL, bind(e, t).data, from, image_bytes(e, t, n));
}

um_status um_exec_copy_out(um_exec *e, um_tid t, void *to, int64_t n)
{
    um_status rc = kept(e, t);
    return rc != UM_OK ? rc : e->backend->queues->copy(e->backend, NULL, to, bind(e, t).data, image_bytes(e, t, n));
}

/* No more lanes, and none larger, than the plan made room for. */
static bool lanes_fit(const um_graph *g, const um_batch *batch)
{
    int64_t most = g->lanes ? (g->max_batch + g->lanes - 1) / g->lanes : g->max_batch;
    for (int l = 0; l < batch->n_lanes; l++)
        if (batch->lane_begin[l + 1] - batch->lane_begin[l] > most)
            return false;
    return batch->n_lanes <= (g->lanes ? g->lanes : UM_MAX_LANES);
}

static size_t view_bytes(const um_view *v)
{
    return (size_t)um_view_count(v) * um_dtype_bytes(v->dtype);
}

static um_status need_zeros(um_exec *e)
{
    size_t most = 0;
    for (int i = 0; i < e->graph->n_nodes; i++)
        for (int k = 0; k < UM_OP_MAX_OUT; k++)
            if (um_op_table[e->graph->nodes[i].op].flags & UM_OPF_S && view_bytes(&e->calls[i].out[k]) > most)
                most = view_bytes(&e->calls[i].out[k]);
    return e->zeros ? UM_OK : um_alloc(&e->zeros, 1, most);
}

/* A node on a rank without images: per-image results do not exist, sums over the batch are zero, and the rest is as ever. */
static um_status run_empty(um_exec *e, int i, const um_batch *batch)
{
    um_status rc = UM_OK;
    um_op op = e->graph->nodes[i].op;
    um_op_call call = e->calls[i];
    call.batch = batch;
    if (e->batched[i] >> 8)
        return UM_OK;
    if (!(um_op_table[op].flags & UM_OPF_S))
        return e->backend->iface->run(e->backend, op, &call);
    UM_TRY(need_zeros(e));
    for (int k = 0; k < UM_OP_MAX_OUT && !call.accumulate; k++)
        if (call.out[k].data)
            UM_TRY(e->backend->iface->upload(e->backend, call.out[k].data, e->zeros, view_bytes(&call.out[k])));
done:
    return rc;
}

/* One node on n images. */
static um_status run_node(um_exec *e, const um_batch *batch, int64_t n, int i)
{
    um_status rc = UM_OK;
    um_op_call call = e->calls[i];
    um_op op = e->graph->nodes[i].op;
    call.batch = batch;
    if (n == 0)
        return run_empty(e, i, batch);
    for (int k = 0; k < UM_OP_MAX_IN; k++)
        if (e->batched[i] >> k & 1)
            call.in[k].n = n;
    for (int k = 0; k < UM_OP_MAX_OUT; k++)
        if (e->batched[i] >> (8 + k) & 1)
            call.out[k].n = n;
    double start = um_now();
    rc = e->backend->iface->run(e->backend, op, &call);
    if (rc == UM_OK && e->timed && e->backend->iface->synchronise)
        rc = e->backend->iface->synchronise(e->backend);
    if (rc != UM_OK)
        um_trace_at(__FILE__, __LINE__, e->graph->nodes[i].name);
    e->times[op].seconds += um_now() - start;
    e->times[op].calls++;
    e->times[op].flops += (double)n * um_graph_flops(e->graph, i, i + 1);
    return rc;
}

static um_status run_nodes(um_exec *e, const um_batch *batch, int64_t n, int first, int last)
{
    um_status rc = UM_OK;
    for (int i = first; i < last; i++)
        UM_TRY(run_node(e, batch, n, i));
done:
    return rc;
}

static um_status record(um_exec *e, um_recording *r, const um_batch *batch, int64_t n)
{
    um_status rc = UM_OK;
    const um_backend_iface *iface = e->backend->iface;
    UM_TRY(iface->record_begin(e->backend, batch));
    rc = run_nodes(e, batch, n, r->first, r->last);
    if (rc != UM_OK) {
        (void)iface->record_end(e->backend, false, NULL);
        goto done;
    }
    UM_TRY(iface->record_end(e->backend, true, &r->handle));
done:
    return rc;
}

/* Nodes that need nobody in between: the first time as they are, which prepares what is prepared late; the second time recorded. */
static um_status run_stretch(um_exec *e, const um_batch *batch, int64_t n, int first, int last)
{
    um_status rc = UM_OK;
    int known = e->recordings.n;
    um_recording *r = NULL;
    if (n > 0 && !e->timed && last - first >= 2)
        UM_TRY(um_recordings_get(&e->recordings, batch, first, last, &r));
    if (!r || e->recordings.n != known)
        return run_nodes(e, batch, n, first, last);
    if (!r->handle)
        UM_TRY(record(e, r, batch, n));
    UM_TRY(e->backend->iface->replay(e->backend, batch, r->handle));
done:
    return rc;
}

static bool recordable(const um_exec *e, const um_batch *batch, int i)
{
    const um_backend_iface *iface = e->backend->iface;
    return !iface->recordable || iface->recordable(e->backend, e->graph->nodes[i].op, batch);
}

um_status um_exec_run(um_exec *e, const um_batch *batch, int first, int last)
{
    um_status rc = UM_OK;
    int64_t n = batch->lane_begin[batch->n_lanes];
    int end = last < 0 ? e->graph->n_nodes : last;
    UM_REQUIRE(n >= (batch->reduce ? 0 : 1) && n <= e->graph->max_batch && lanes_fit(e->graph, batch));
    for (int i = first; i < end;) {
        int to = i;
        while (to < end && recordable(e, batch, to))
            to++;
        UM_TRY(run_stretch(e, batch, n, i, to));
        if (to < end)
            UM_TRY(run_node(e, batch, n, to));
        i = to + 1;
    }
done:
    return rc;
}

void um_exec_set_bn_momentum(um_exec *e, double momentum)
{
    for (int i = 0; i < e->graph->n_nodes; i++)
        if (e->graph->nodes[i].op == UM_OP_BN_COEF)
            e->calls[i].attr.bn.momentum = momentum;
    um_recordings_clear(&e->recordings);
}

const um_plan *um_exec_plan(const um_exec *e)
{
    return e->plan;
}

um_backend *um_exec_backend(const um_exec *e)
{
    return e->backend;
}

um_status um_exec_times(const um_exec *e, um_text *out)
{
    um_status rc = UM_OK;
    bool shown[UM_OP_COUNT] = {false};
    double total = 0;
    for (int op = 0; op < UM_OP_COUNT; op++)
        total += e->times[op].seconds;
    UM_TRY(um_text_add(out, "%-18s %10s %8s %7s %9s\n", "op", "seconds", "calls", "share", "GFLOP/s"));
    for (int k = 0; k < UM_OP_COUNT; k++) {
        int best = -1;
        for (int op = 0; op < UM_OP_COUNT; op++)
            if (!shown[op] && e->times[op].calls > 0 && (best < 0 || e->times[op].seconds > e->times[best].seconds))
                best = op;
        if (best < 0)
            break;
        shown[best] = true;
        const op_time *t = &e->times[best];
        UM_TRY(um_text_add(out, "%-18s %10.4f %8ld %6.1f%% %9.1f\n", um_op_table[best].name, t->seconds, (long)t->calls,
                           100 * t->seconds / (total > 0 ? total : 1), t->seconds > 0 ? t->flops / t->seconds * 1e-9 : 0));
    }
done:
    return rc;
}
