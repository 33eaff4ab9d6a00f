#include "mpi/reducer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/host.h"
#include "base/mem.h"
#include "mpi/nccl.h"
#include "mpi/stage.h"

enum { SMALL_BYTES = 1 << 18, SETTLED = 0, NAP_US = 20 };
enum { IN_ORDER, BESIDE, N_WAYS }; /* of NCCL: small sums, which runs wait for, and buckets, which must not hold them up */

struct um_reducer {
    um_comm *comm;
    um_backend *backend;
    um_reduce_path path;
    um_reducer_config config;
    char why[256];
    um_nccl *nccl[N_WAYS];   /* BESIDE: NULL where one communicator does both (um_nccl_orders) */
    um_queue *queue[N_WAYS]; /* IN_ORDER: NULL, that of the runs */
    void *scratch[N_WAYS];   /* device memory, a bucket each */
    um_stage *stage;   /* of the other paths */
    void *small;       /* pinned, SMALL_BYTES */
    bool dead;
};

/* ---- which way ---- */

um_status um_reduce_choose(um_reduce_path *out, char why[256], um_reduce_path wanted, const um_reduce_facts *f)
{
    char nccl[192] = "", mpi[128] = "";
    if (f->nccl)
        snprintf(nccl, sizeof nccl, "%.190s", f->nccl);
    else if (f->n_shared > 0)
        snprintf(nccl, sizeof nccl, "%d ranks share a device, which NCCL does not allow", f->n_shared);
    if (!f->aware)
        snprintf(mpi, sizeof mpi, "%.80s does not take device memory", f->mpi);
    if (wanted == UM_REDUCE_NCCL && nccl[0])
        return um_fail(UM_E_CONFIG, "run.allreduce = nccl is not possible: %s; use auto", nccl);
    if (wanted == UM_REDUCE_MPI && mpi[0])
        return um_fail(UM_E_CONFIG, "run.allreduce = mpi is not possible: %s; use auto", mpi);
    if (wanted == UM_REDUCE_NCCL || (wanted == UM_REDUCE_AUTO && !nccl[0])) {
        *out = UM_REDUCE_NCCL;
        snprintf(why, 256, "NCCL %.20s, %s", f->version, wanted ? "as run.allreduce says" : "since every rank has a device of its own");
    } else if (wanted == UM_REDUCE_MPI || (wanted == UM_REDUCE_AUTO && !mpi[0])) {
        *out = UM_REDUCE_MPI;
        snprintf(why, 256, "MPI from device memory (%.60s), %s%.140s", f->mpi, wanted ? "as run.allreduce says" : "since ",
                 wanted ? "" : nccl);
    } else {
        *out = UM_REDUCE_STAGED;
        if (wanted)
            snprintf(why, 256, "pinned host memory and MPI, as run.allreduce says");
        else
            snprintf(why, 256, "pinned host memory and MPI, since %.130s, and %.80s", nccl, mpi);
    }
    return UM_OK;
}

typedef struct address {
    char host[UM_HOST_TEXT], device[sizeof(((um_backend *)0)->device)];
} address;

um_status um_comm_devices(um_comm *comm, const um_backend *b, um_device_places *out)
{
    um_status rc = UM_OK;
    address *all = NULL;
    int64_t *count = NULL;
    int size = um_comm_size(comm);
    um_device_places p = {0};
    UM_TRY(UM_NEW_ARRAY(all, size));
    UM_TRY(UM_NEW_ARRAY(count, size));
    for (int r = 0; r < size; r++)
        count[r] = 1;
    um_host_name(all[um_comm_rank(comm)].host);
    memcpy(all[um_comm_rank(comm)].device, b->device, sizeof b->device);
    if (size > 1)
        UM_TRY(um_comm_gather(comm, all, count, sizeof *all, "devices of the ranks"));
    for (int r = 0; r < size; r++) {
        int sharing = 0;
        for (int k = 0; k < size; k++)
            sharing += memcmp(&all[r], &all[k], sizeof *all) == 0;
        p.n_shared += all[r].device[0] && sharing > 1;
        p.most_sharing = all[r].device[0] && sharing > p.most_sharing ? sharing : p.most_sharing;
    }
    *out = p;
done:
    um_free(count);
    um_free(all);
    return rc;
}

enum { NO_NCCL = 1, NOT_AWARE = 2, NO_THREADS = 4, NO_ORDER = 8 };

/* What holds for all ranks. */
static um_status choose(um_reducer *r, bool *threads, bool *orders)
{
    um_status rc = UM_OK;
    um_device_places places;
    char version[24] = "", reason[192] = "";
    um_reduce_facts f = {.version = version, .mpi = um_comm_library()};
    unsigned missing = 0;
    bool own = um_nccl_find(version) == UM_OK;
    if (!own)
        snprintf(reason, sizeof reason, "%.190s", um_error_text());
    um_error_clear();
    missing |= own ? 0 : NO_NCCL;
    missing |= own && um_nccl_orders() ? 0 : NO_ORDER;
    missing |= um_comm_link_takes_device() ? 0 : NOT_AWARE;
    missing |= r->comm && r->comm->link && um_comm_link_threads(r->comm) ? 0 : NO_THREADS;
    UM_TRY(um_comm_devices(r->comm, r->backend, &places));
    if (um_comm_size(r->comm) > 1)
        UM_TRY(um_comm_any(r->comm, &missing));
    f.nccl = !(missing & NO_NCCL) ? NULL : own ? "another rank has no NCCL" : reason;
    f.n_shared = places.n_shared;
    f.aware = !(missing & NOT_AWARE);
    *threads = !(missing & NO_THREADS);
    *orders = !(missing & NO_ORDER);
    UM_TRY(um_reduce_choose(&r->path, r->why, r->config.path, &f));
done:
    return rc;
}

/* ---- life ---- */

static um_status open_path(um_reducer *r, bool threads, bool orders)
{
    um_status rc = UM_OK;
    um_backend *b = r->backend;
    size_t bytes = (size_t)r->config.bucket_bytes;
    UM_TRY(b->queues->pin(b, &r->small, SMALL_BYTES));
    if (r->path != UM_REDUCE_NCCL) {
        UM_TRY(um_stage_open(&r->stage, r->comm, b, bytes, r->path == UM_REDUCE_MPI, threads));
        goto done;
    }
    UM_TRY(b->queues->open(b, &r->queue[BESIDE]));
    for (int i = 0; i < N_WAYS; i++) {
        UM_TRY(b->iface->alloc(b, &r->scratch[i], bytes));
        if (i == IN_ORDER || orders)
            UM_TRY(um_nccl_open(&r->nccl[i], r->comm, b));
    }
done:
    return rc;
}

um_status um_reducer_open(um_reducer **out, um_comm *comm, um_backend *b, const um_reducer_config *config)
{
    um_status rc = UM_OK;
    um_reducer *r = NULL;
    bool threads = false, orders = false;
    UM_REQUIRE(b->queues && config->bucket_bytes >= 4096 && !(comm && comm->reducer));
    UM_TRY(UM_NEW(r));
    *r = (um_reducer){.comm = comm, .backend = b, .config = *config};
    rc = choose(r, &threads, &orders);
    if (rc == UM_OK)
        rc = open_path(r, threads, orders);
    UM_TRY(um_comm_agree(comm, rc));
    if (comm)
        comm->reducer = r;
    *out = r;
    r = NULL;
done:
    um_reducer_close(r);
    return rc;
}

void um_reducer_close(um_reducer *r)
{
    if (!r)
        return;
    um_backend *b = r->backend;
    um_stage_close(r->stage);
    for (int i = 0; i < N_WAYS; i++)
        um_nccl_close(r->nccl[i]);
    b->queues->close(b, r->queue[BESIDE]);
    for (int i = 0; i < N_WAYS; i++)
        b->iface->free(b, r->scratch[i]);
    b->queues->unpin(b, r->small);
    if (r->comm && r->comm->reducer == r)
        r->comm->reducer = NULL;
    um_free(r);
}

um_reducer *um_comm_reducer(const um_comm *comm, const um_backend *b)
{
    return comm && comm->reducer && comm->reducer->backend == b ? comm->reducer : NULL;
}

um_reduce_path um_reducer_path(const um_reducer *r)
{
    return r->path;
}

const char *um_reducer_describe(const um_reducer *r)
{
    return r->why;
}

int64_t um_reducer_bucket_bytes(const um_reducer *r)
{
    return r->config.bucket_bytes;
}

const char *um_nccl_about(void)
{
    static char text[192];
    char version[24];
    snprintf(text, sizeof text, "%.190s", um_nccl_find(version) == UM_OK ? version : um_error_text());
    um_error_clear();
    return text;
}

/* ---- sums ---- */

static um_status alive(const um_reducer *r)
{
    return r->dead ? um_fail(UM_E_COMM, "sum over the ranks: the ranks have already lost each other") : UM_OK;
}

/* Piece by piece through `small`: it may be written again when the queue has read it, which the next fetch comes behind. */
static um_status sum_by_host(um_reducer *r, char *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    um_backend *b = r->backend;
    int64_t most = (int64_t)(SMALL_BYTES / um_dtype_bytes(type));
    for (int64_t at = 0; at < n; at += most) {
        int64_t own = n - at < most ? n - at : most;
        size_t bytes = (size_t)own * um_dtype_bytes(type);
        void *here = data + (size_t)at * um_dtype_bytes(type);
        UM_TRY(b->queues->fetch(b, NULL, r->small, here, bytes));
        UM_TRY(b->queues->mark(b, NULL, SETTLED));
        UM_TRY(b->queues->wait(b, NULL, SETTLED));
        UM_TRY(um_comm_sum(r->comm, r->small, type, own, what));
        UM_TRY(b->queues->send(b, NULL, here, r->small, bytes));
    }
done:
    return rc;
}

static bool by_nccl(const um_reducer *r)
{
    return r->path == UM_REDUCE_NCCL;
}

static um_status sum_by_nccl(um_reducer *r, int way, void *data, um_dtype type, int64_t n)
{
    um_nccl *by = r->nccl[way] ? r->nccl[way] : r->nccl[IN_ORDER];
    return um_nccl_sum(by, r->queue[way], data, type, n, !r->config.fast, r->scratch[way], (size_t)r->config.bucket_bytes);
}

um_status um_reducer_sum(um_reducer *r, void *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    UM_TRY(alive(r));
    if (by_nccl(r))
        UM_TRY(sum_by_nccl(r, IN_ORDER, data, type, n));
    else
        UM_TRY(sum_by_host(r, data, type, n, what));
done:
    return rc;
}

um_status um_reducer_start(um_reducer *r, void *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    UM_TRY(alive(r));
    UM_REQUIRE(n * (int64_t)um_dtype_bytes(type) <= r->config.bucket_bytes);
    if (!by_nccl(r)) {
        UM_TRY(um_stage_start(r->stage, data, type, n, what));
        goto done;
    }
    UM_TRY(r->backend->queues->follow(r->backend, r->queue[BESIDE], NULL));
    UM_TRY(sum_by_nccl(r, BESIDE, data, type, n));
done:
    return rc;
}

um_status um_reducer_join(um_reducer *r)
{
    um_status rc = UM_OK;
    UM_TRY(alive(r));
    if (by_nccl(r))
        UM_TRY(r->backend->queues->follow(r->backend, NULL, r->queue[BESIDE]));
    else
        UM_TRY(um_stage_join(r->stage));
done:
    return rc;
}

um_status um_reducer_wait(um_reducer *r, um_queue *q, int mark)
{
    um_status rc = UM_OK;
    um_backend *b = r->backend;
    struct timespec nap = {.tv_nsec = NAP_US * 1000L};
    bool there = false;
    UM_TRY(alive(r));
    if (!by_nccl(r))
        return b->queues->wait(b, q, mark);
    for (;;) {
        UM_TRY(b->queues->reached(b, q, mark, &there));
        if (there)
            break;
        for (int i = 0; i < N_WAYS && r->nccl[i]; i++)
            UM_TRY(um_nccl_check(r->nccl[i]));
        UM_TRY(um_comm_listen(r->comm, "sums over the ranks"));
        nanosleep(&nap, NULL);
    }
done:
    if (rc != UM_OK)
        um_reducer_abandon(r);
    return rc;
}

um_status um_reducer_settle(um_reducer *r)
{
    um_status rc = UM_OK;
    if (!by_nccl(r))
        return UM_OK;
    UM_TRY(alive(r));
    UM_TRY(r->backend->queues->mark(r->backend, NULL, SETTLED));
    UM_TRY(um_reducer_wait(r, NULL, SETTLED));
done:
    return rc;
}

void um_reducer_abandon(um_reducer *r)
{
    r->dead = true;
    for (int i = 0; i < N_WAYS; i++)
        if (r->nccl[i])
            um_nccl_abort(r->nccl[i]);
    if (r->stage)
        um_stage_abandon(r->stage);
}
