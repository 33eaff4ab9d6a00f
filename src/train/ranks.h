/* One training on several ranks (DESIGN D8). Every rank has the whole network and works on its share of every batch; sums over the
 * batch (BatchNorm, Dice, loss, gradients) go over the ranks, so that all ranks take the same step.
 *
 *     ordered   the batch is cut into `lanes` slices whatever the number of ranks, and rank r of P holds lanes [r*lanes/P, (r+1)*lanes/P).
 *               Sums over a rank's lanes are subtrees of the sum over all: where P is a power of two that divides the lanes, any
 *               such P gives the same bits. Other numbers of ranks add in another order, which is fixed too.
 *     fast      one lane per rank: fewer, larger slices; results depend on the number of ranks within rounding.
 *
 * A rank whose lanes hold no image of a batch (a last, small batch) takes part in the sums with zeros. */
#ifndef UM_TRAIN_RANKS_H
#define UM_TRAIN_RANKS_H

#include "mpi/reducer.h"
#include "nn/exec.h"
#include "train/options.h"

/* How work is spread: part of the configuration of whatever trains. Zero-initialised but for lanes: one rank. */
typedef struct um_spread {
    um_comm *comm; /* borrowed; NULL: one rank */
    int lanes;
    bool fast;
    bool bn_per_lane; /* run.bn: um_graph.bn_per_lane */
} um_spread;
um_spread um_spread_of(const um_run_options *run, um_comm *comm);
/* UM_E_CONFIG when there are more ranks than lanes. */
um_status um_spread_check(const um_spread *s);

/* This rank's share of a batch of n images: images [first, first + batch's), and the batch to run with. */
typedef struct um_share {
    int64_t first, n;
    um_batch batch;
} um_share;
void um_share_set(um_share *out, const um_spread *s, int64_t n);
/* Tells a training graph how its batches are cut (lanes, bn_per_lane), before layers are added to it. */
void um_share_graph(const um_spread *s, um_graph *g);
/* The most images that any rank may get of a batch of at most n. */
int64_t um_share_most(const um_spread *s, int64_t n);

/* How ranks that train together on devices add up (mpi/reducer.h), said in one line; NULL with one rank, or where b computes on the CPU.
 * Before their first step; collective. Errors: UM_E_CONFIG for a run.allreduce that is not possible. out: owned by the caller, who
 * closes it before b and comm. */
um_status um_spread_device(um_reducer **out, const um_run_options *run, um_comm *comm, um_backend *b);

/* Runs a training graph on a share, and sums the gradients over the ranks before what is derived from them. */
um_status um_share_run(um_exec *e, const um_graph *g, const um_share *share, um_comm *comm);
/* The same, but what it leaves on a device may wait for other ranks there: who waits for the device does it by um_reducer_wait. */
um_status um_share_begin(um_exec *e, const um_graph *g, const um_share *share, um_comm *comm);

/* Work on single images, without sums: rank r does items [first, first + n) of n_items, and um_ranks_collect brings the results of all
 * together, `bytes` per item, in data. */
void um_ranks_slice(um_comm *comm, int64_t n_items, int64_t *first, int64_t *n);
um_status um_ranks_collect(um_comm *comm, void *data, int64_t n_items, size_t bytes, const char *what);

#endif
