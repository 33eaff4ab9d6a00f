/* Sums of gradients over the ranks on a device, beside the backward pass. Inside train/.
 *
 * The gradient block of a network is cut into buckets of fixed extents, from its end, since the backward pass comes to the last layers
 * first. A bucket may be summed as soon as no node before um_graph.n_local reads or writes it. */
#ifndef UM_TRAIN_EXCHANGE_H
#define UM_TRAIN_EXCHANGE_H

#include "mpi/reducer.h"
#include "nn/exec.h"

typedef struct um_grad_bucket {
    um_params *params;
    int64_t begin, n; /* elements of its gradient block */
    int ready;        /* nodes that come before */
} um_grad_bucket;

/* The buckets of all networks that learn in the graph, in the order in which they become ready. out: owned by the caller. */
um_status um_grad_buckets(um_grad_bucket **out, int *n, const um_graph *g, int64_t bucket_bytes);

/* um_share_begin by a reducer of the executor's backend. */
um_status um_exchange_run(um_exec *e, const um_graph *g, const um_batch *batch, um_reducer *r);

#endif
