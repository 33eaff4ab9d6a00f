/* Sums over ranks of what lies in the memory of a device: gradients, and the small sums of BatchNorm and losses.
 *
 *     nccl     between the devices: buckets on a queue and by a communicator of their own, so that small sums, which runs wait
 *              for, do not wait for them. Needs the library and a device for every rank
 *     mpi      MPI is given addresses of device memory. Needs an MPI that takes them. Small sums go as staged ones
 *     staged   through page-locked host memory, a ring of buckets: while bucket k is exchanged, k+1 comes from the device and k-1
 *              goes back
 *
 * All of them add in the order of um_comm_sum, so they give the same bits as each other and as ranks on CPUs do with the same parts;
 * but for nccl with `fast`, where the library's own all-reduce may add in another order.
 *
 * start and join let sums run beside the backend's work: exchanges of nccl are on a queue, those of mpi and staged on a thread of
 * their own, where MPI allows threads; else they are made by join. The order of sums is that of the calls, on every rank the same.
 *
 * um_comm_waited does not know what devices wait for each other (nccl); the time that runs wait for join is in it otherwise.
 *
 * Every wait listens: a rank that fails interrupts the others', as in um_comm_exchange. */
#ifndef UM_MPI_REDUCER_H
#define UM_MPI_REDUCER_H

#include "kernels/queue.h"
#include "mpi/comm.h"

typedef enum um_reduce_path { UM_REDUCE_AUTO, UM_REDUCE_NCCL, UM_REDUCE_MPI, UM_REDUCE_STAGED } um_reduce_path;

typedef struct um_reducer_config {
    um_reduce_path path; /* AUTO: the first of the three that is possible */
    bool fast;           /* run.reduce */
    int64_t bucket_bytes;
} um_reducer_config;

/* What a choice depends on, of all ranks together. */
typedef struct um_reduce_facts {
    const char *nccl;  /* why NCCL cannot be used on some rank; NULL: it can */
    const char *version; /* of NCCL */
    int n_shared;      /* ranks that share their device with another one */
    bool aware;        /* every rank's MPI takes device memory */
    const char *mpi;   /* um_comm_library */
} um_reduce_facts;
/* why: for people, "NCCL 2.28.9, since every rank has a device of its own". Errors: UM_E_CONFIG when `wanted` is not possible, with the
 * reason. */
um_status um_reduce_choose(um_reduce_path *out, char why[256], um_reduce_path wanted, const um_reduce_facts *facts);

typedef struct um_reducer um_reducer;

/* Collective; with one rank too. comm, b: borrowed, and b must have queues. Until it is closed, um_comm_reducer finds it. Errors: those
 * of um_reduce_choose, of the device and of MPI. */
um_status um_reducer_open(um_reducer **out, um_comm *comm, um_backend *b, const um_reducer_config *config);
void um_reducer_close(um_reducer *r); /* before its backend and its ranks; accepts NULL */
um_reducer *um_comm_reducer(const um_comm *comm, const um_backend *b); /* local; NULL: none for this backend. Borrowed */

um_reduce_path um_reducer_path(const um_reducer *r);
const char *um_reducer_describe(const um_reducer *r); /* `why`; borrowed */
int64_t um_reducer_bucket_bytes(const um_reducer *r);

/* data[i] summed over the ranks, in order with the backend's runs: what runs next sees the sum. type: UM_F32 or UM_F64. */
um_status um_reducer_sum(um_reducer *r, void *data, um_dtype type, int64_t n, const char *what);

/* The same beside the runs: data is complete when the runs so far are done, and belongs to the reducer until join, after which runs see
 * the sums of all that was started. n: at most um_reducer_bucket_bytes. */
um_status um_reducer_start(um_reducer *r, void *data, um_dtype type, int64_t n, const char *what);
um_status um_reducer_join(um_reducer *r);
/* Waits for a mark of queue q (kernels/queue.h), which is behind sums. Where those wait for other ranks on the device (nccl),
 * who only waits for the device would not hear of a rank that failed. Abandons the reducer when it fails. */
um_status um_reducer_wait(um_reducer *r, um_queue *q, int mark);
/* The same for the backend's runs so far; returns at once where they contain no such sums. */
um_status um_reducer_settle(um_reducer *r);
/* After a failure: nothing is under way any more when it returns. The reducer can be closed only. */
void um_reducer_abandon(um_reducer *r);

const char *um_nccl_about(void); /* local: "2.28.9", or why not; borrowed */

/* Every rank's device, known to all: how many ranks of this host share the one of rank r. comm NULL: one. Collective. */
typedef struct um_device_places {
    int n_shared;       /* ranks that share theirs */
    int most_sharing;   /* on one device */
} um_device_places;
um_status um_comm_devices(um_comm *comm, const um_backend *b, um_device_places *out);

#endif
