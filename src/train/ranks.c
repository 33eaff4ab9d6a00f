#include "train/ranks.h"

#include "base/log.h"
#include "base/mem.h"
#include "train/exchange.h"

um_spread um_spread_of(const um_run_options *run, um_comm *comm)
{
    bool fast = run->reduce == 1;
    return (um_spread){.comm = comm, .fast = fast, .lanes = fast ? um_comm_size(comm) : (int)run->lanes, .bn_per_lane = run->bn == 1};
}

um_status um_spread_check(const um_spread *s)
{
    int size = um_comm_size(s->comm);
    if (size > UM_MAX_LANES)
        return um_fail(UM_E_CONFIG, "%d ranks for one training; at most %d can share it (grid.ranks_per_cell)", size, UM_MAX_LANES);
    if (size > s->lanes)
        return um_fail(UM_E_CONFIG, "%d ranks cannot share %d lanes; raise run.lanes (which changes results in the last bits) or start fewer "
                       "ranks per training", size, s->lanes);
    return UM_OK;
}

static int reduce(void *arg, double *data, int64_t n)
{
    return (int)um_comm_sum(arg, data, UM_F64, n, "sum over the batch");
}

static int lane_of(const um_spread *s, int rank)
{
    return (int)((int64_t)s->lanes * rank / um_comm_size(s->comm));
}

void um_share_graph(const um_spread *s, um_graph *g)
{
    int rank = um_comm_rank(s->comm);
    g->lanes = lane_of(s, rank + 1) - lane_of(s, rank);
    g->bn_per_lane = s->bn_per_lane;
}

void um_share_set(um_share *out, const um_spread *s, int64_t n)
{
    int rank = um_comm_rank(s->comm), begin = lane_of(s, rank), end = lane_of(s, rank + 1);
    um_batch all;
    um_batch_set(&all, n, s->lanes);
    *out = (um_share){.first = all.lane_begin[begin], .n = all.lane_begin[end] - all.lane_begin[begin]};
    out->batch.n_total = n;
    out->batch.first = out->first;
    out->batch.n_lanes = end - begin;
    for (int l = begin; l <= end; l++)
        out->batch.lane_begin[l - begin] = all.lane_begin[l] - out->first;
    if (um_comm_size(s->comm) > 1) {
        out->batch.reduce = reduce;
        out->batch.reduce_arg = s->comm;
    }
}

int64_t um_share_most(const um_spread *s, int64_t n)
{
    int size = um_comm_size(s->comm), lanes = (s->lanes + size - 1) / size;
    int64_t lane = (n + s->lanes - 1) / s->lanes;
    return lane * lanes < n ? lane * lanes : n;
}

/* The sum over the ranks of a block in the backend's memory. */
static um_status sum_block(um_backend *b, um_comm *comm, void *block, int64_t n)
{
    um_status rc = UM_OK;
    void *host = NULL;
    size_t bytes = (size_t)n * um_dtype_bytes(b->real);
    if (b->on_host)
        return um_comm_sum(comm, block, b->real, n, "sum of the gradients");
    UM_TRY(um_alloc(&host, 1, bytes));
    UM_TRY(b->iface->download(b, host, block, bytes));
    UM_TRY(um_comm_sum(comm, host, b->real, n, "sum of the gradients"));
    UM_TRY(b->iface->upload(b, block, host, bytes));
done:
    um_free(host);
    return rc;
}

/* Sums the gradient block of every network that learns in this graph. */
static um_status sum_gradients(const um_graph *g, um_comm *comm)
{
    um_status rc = UM_OK;
    const um_params *done = NULL;
    for (um_tid t = 0; t < g->n_tensors; t++) {
        const um_params *p = g->tensors[t].params;
        if (g->tensors[t].kind != UM_T_GRAD || p == done)
            continue;
        bool seen = false;
        for (um_tid i = 0; i < t && !seen; i++)
            seen = g->tensors[i].kind == UM_T_GRAD && g->tensors[i].params == p;
        if (!seen)
            UM_TRY(sum_block(p->backend, comm, p->block[UM_BLOCK_GRAD], p->n_values));
        done = p;
    }
done:
    return rc;
}

um_status um_share_begin(um_exec *e, const um_graph *g, const um_share *share, um_comm *comm)
{
    um_status rc = UM_OK;
    um_reducer *r = um_comm_reducer(comm, um_exec_backend(e));
    if (um_comm_size(comm) == 1)
        return um_exec_run(e, &share->batch, 0, -1);
    if (r)
        return um_exchange_run(e, g, &share->batch, r);
    UM_TRY(um_exec_run(e, &share->batch, 0, g->n_local));
    UM_TRY(sum_gradients(g, comm));
    UM_TRY(um_exec_run(e, &share->batch, g->n_local, -1));
done:
    return rc;
}

um_status um_share_run(um_exec *e, const um_graph *g, const um_share *share, um_comm *comm)
{
    um_status rc = UM_OK;
    um_reducer *r = um_comm_reducer(comm, um_exec_backend(e));
    UM_TRY(um_share_begin(e, g, share, comm));
    if (r)
        UM_TRY(um_reducer_settle(r));
done:
    return rc;
}

um_status um_spread_device(um_reducer **out, const um_run_options *run, um_comm *comm, um_backend *b)
{
    um_status rc = UM_OK;
    um_reducer *r = NULL;
    um_reducer_config config = {.path = (um_reduce_path)run->allreduce, .fast = run->reduce == 1, .bucket_bytes = run->bucket_mib << 20};
    if (um_comm_size(comm) > 1 && !b->queues && config.path != UM_REDUCE_AUTO)
        return um_fail(UM_E_CONFIG, "run.allreduce is for ranks on GPUs, and backend %s sums in host memory; use auto", b->name);
    if (um_comm_size(comm) > 1 && b->queues) {
        UM_TRY(um_reducer_open(&r, comm, b, &config));
        um_log(UM_LOG_INFO, "sums of gradients and statistics over %d ranks: %s", um_comm_size(comm), um_reducer_describe(r));
    }
    *out = r;
done:
    return rc;
}

void um_ranks_slice(um_comm *comm, int64_t n_items, int64_t *first, int64_t *n)
{
    int64_t rank = um_comm_rank(comm), size = um_comm_size(comm);
    *first = n_items * rank / size;
    *n = n_items * (rank + 1) / size - *first;
}

um_status um_ranks_collect(um_comm *comm, void *data, int64_t n_items, size_t bytes, const char *what)
{
    um_status rc = UM_OK;
    int64_t *count = NULL, size = um_comm_size(comm);
    if (size == 1)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(count, size));
    for (int64_t r = 0; r < size; r++)
        count[r] = n_items * (r + 1) / size - n_items * r / size;
    UM_TRY(um_comm_gather(comm, data, count, bytes, what));
done:
    um_free(count);
    return rc;
}
