#include "mpi/nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mpi/nccl_library.h"

enum { NAP_US = 50, ORDERS_SINCE = 22600 };

struct um_nccl {
    um_comm *comm;       /* borrowed */
    um_backend *backend; /* borrowed */
    ncclComm_t handle;
    bool aborted;
};

static um_status failed(const um_nccl *n, const char *call, ncclResult_t r)
{
    const char *more = n->handle ? um_nccl_call.ncclGetLastError(n->handle) : "";
    return um_fail(UM_E_COMM, "NCCL: %s: %s%s%.200s; NCCL_DEBUG=INFO tells more, run.allreduce = staged does without NCCL", call,
                   um_nccl_call.ncclGetErrorString(r), more && more[0] ? ": " : "", more ? more : "");
}

/* Calls of a communicator that does not block say that they are under way; the next one may come when they are done. */
static um_status done_with(um_nccl *n, const char *call, ncclResult_t r)
{
    um_status rc = UM_OK;
    double start = um_now(), deadline = n->comm ? n->comm->deadline_s : 0;
    struct timespec nap = {.tv_nsec = NAP_US * 1000L};
    while (r == ncclInProgress) {
        ncclResult_t asked;
        nanosleep(&nap, NULL);
        asked = um_nccl_call.ncclCommGetAsyncError(n->handle, &r);
        if (asked != ncclSuccess)
            r = asked;
        UM_TRY(um_comm_listen(n->comm, "start of NCCL"));
        if (deadline > 0 && um_now() - start > deadline)
            UM_TRY(um_fail(UM_E_COMM, "NCCL: %s: not done after %g s (run.deadline_s)", call, deadline));
    }
    if (r != ncclSuccess)
        rc = failed(n, call, r);
done:
    return rc;
}

#define TRY_NCCL(n, call) UM_TRY(done_with((n), #call, um_nccl_call.call))

um_status um_nccl_find(char version[24])
{
    um_status rc = UM_OK;
    int v = 0;
    UM_TRY(um_nccl_load());
    if (um_nccl_call.ncclGetVersion(&v) != ncclSuccess)
        UM_TRY(um_fail(UM_E_UNSUPPORTED, "NCCL does not tell its version"));
    snprintf(version, 24, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
done:
    return rc;
}

bool um_nccl_orders(void)
{
    int v = 0;
    return um_nccl_load() == UM_OK && um_nccl_call.ncclGetVersion(&v) == ncclSuccess && v >= ORDERS_SINCE;
}

um_status um_nccl_open(um_nccl **out, um_comm *c, um_backend *b)
{
    um_status rc = UM_OK;
    um_nccl *n = NULL;
    ncclUniqueId id = {{0}};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    UM_TRY(um_nccl_load());
    if (setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "1", 0) != 0)
        return um_fail(UM_E_MEMORY, "the environment has no room for NCCL_LAUNCH_ORDER_IMPLICIT");
    UM_TRY(UM_NEW(n));
    n->comm = c;
    n->backend = b;
    if (um_comm_leads(c))
        TRY_NCCL(n, ncclGetUniqueId(&id));
    UM_TRY(um_comm_bcast(c, &id, sizeof id, "start of NCCL"));
    TRY_NCCL(n, ncclCommInitRankConfig(&n->handle, um_comm_size(c), id, um_comm_rank(c), &config));
    *out = n;
    n = NULL;
done:
    if (n)
        um_nccl_abort(n);
    um_nccl_close(n);
    return rc;
}

void um_nccl_abort(um_nccl *n)
{
    if (!n->aborted && n->handle)
        (void)um_nccl_call.ncclCommAbort(n->handle);
    n->aborted = true;
    n->handle = NULL;
}

/* Failures here have nobody to tell. */
void um_nccl_close(um_nccl *n)
{
    if (n && n->handle) {
        (void)done_with(n, "ncclCommFinalize", um_nccl_call.ncclCommFinalize(n->handle));
        (void)um_nccl_call.ncclCommDestroy(n->handle);
    }
    um_free(n);
}

um_status um_nccl_check(um_nccl *n)
{
    ncclResult_t r = ncclSuccess, asked;
    if (!n->handle)
        return um_fail(UM_E_COMM, "NCCL: the ranks have already lost each other");
    asked = um_nccl_call.ncclCommGetAsyncError(n->handle, &r);
    if (asked != ncclSuccess || (r != ncclSuccess && r != ncclInProgress))
        return failed(n, "a sum over the ranks", asked != ncclSuccess ? asked : r);
    return UM_OK;
}

/* ---- sums ---- */

typedef struct sum {
    um_nccl *n;
    um_queue *q;
    void *stream; /* of q */
} sum;

static um_status exchange(void *self, int to, const void *give, size_t n_give, int from, void *take, size_t n_take, const char *what)
{
    um_status rc = UM_OK;
    const sum *s = self;
    ncclResult_t sent = ncclSuccess, received = ncclSuccess;
    (void)what;
    TRY_NCCL(s->n, ncclGroupStart());
    if (to >= 0)
        sent = um_nccl_call.ncclSend(give, n_give, ncclInt8, to, s->n->handle, s->stream);
    if (from >= 0)
        received = um_nccl_call.ncclRecv(take, n_take, ncclInt8, from, s->n->handle, s->stream);
    TRY_NCCL(s->n, ncclGroupEnd()); /* also after a failure, which it repeats */
    UM_TRY(done_with(s->n, "ncclSend", sent));
    UM_TRY(done_with(s->n, "ncclRecv", received));
done:
    return rc;
}

static um_status add(void *self, void *to, const void *from, um_dtype type, int64_t n)
{
    const sum *s = self;
    return s->n->backend->queues->add(s->n->backend, s->q, to, from, type, n);
}

um_status um_nccl_sum(um_nccl *n, um_queue *q, void *data, um_dtype type, int64_t count, bool ordered, void *scratch, size_t room)
{
    um_status rc = UM_OK;
    sum s = {.n = n, .q = q, .stream = n->backend->queues->stream(n->backend, q)};
    um_sum_way way = {exchange, add, &s, scratch, room};
    if (!n->handle)
        return um_fail(UM_E_COMM, "NCCL: the ranks have already lost each other");
    if (ordered)
        UM_TRY(um_comm_sum_by(n->comm, &way, data, type, count, "sum over the ranks"));
    else
        TRY_NCCL(n, ncclAllReduce(data, data, (size_t)count, type == UM_F64 ? ncclFloat64 : ncclFloat32, ncclSum, n->handle, s.stream));
done:
    return rc;
}
