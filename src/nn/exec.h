/* Plan and execution of a graph on a backend.
 *
 * The planner knows the life of every activation (first write to last read), lets an op write into its input's memory where that is
 * legal, and packs the rest by size into one arena: the peak is known before a byte is allocated. The executor binds addresses,
 * runs nodes in order, and adds up the time of every op. On a backend with recordings (backend.h) the nodes of a run that need no
 * host
 * in between are recorded the second time a batch of their shape comes, and start as one from then on; at log level debug nothing
 * is recorded, and every op is waited for. */
#ifndef UM_NN_EXEC_H
#define UM_NN_EXEC_H

#include "base/text.h"
#include "nn/graph.h"

typedef struct um_plan {
    size_t arena_bytes;      /* peak of all activations */
    size_t workspace_bytes;  /* one block shared by all nodes */
    size_t unshared_bytes;   /* what the activations would take without reuse */
    size_t *offset;          /* [n_tensors]: into the arena, for root activations and inputs */
    int *first, *last;       /* [n_tensors]: life as node indices, for roots */
    um_tid *shares;          /* [n_tensors]: root whose memory it writes in place, or itself */
    int n_tensors;
} um_plan;

/* backend NULL: activations alone, nobody is asked. Errors: UM_E_UNSUPPORTED naming the node when the backend lacks the op or the
 * shape; UM_E_BUG from um_graph_check. */
um_status um_plan_create(um_plan **out, const um_graph *g, um_backend *backend);
void um_plan_free(um_plan *p);
/* One line per activation: id, name, shape, bytes, life, offset; the peak last. */
um_status um_plan_print(const um_plan *p, const um_graph *g, um_text *out);

typedef struct um_exec um_exec;

/* graph, backend: borrowed for the life of the object; the parameter sets it uses are allocated here if they are not yet.
 * Activations
 * get the backend's storage type (narrow.h). */
um_status um_exec_create(um_exec **out, um_graph *g, um_backend *backend);
void um_exec_free(um_exec *e);

/* Copies host data of the graph's real type into an input tensor, n images; or a kept tensor out to the host. */
um_status um_exec_upload(um_exec *e, um_tid t, const void *host, int64_t n);
um_status um_exec_download(um_exec *e, um_tid t, void *host, int64_t n);

/* An input's place for n images, for whoever fills it by ops of the backend, or a kept tensor's, for whoever reads it so; stays
 * as long as the executor. */
um_view um_exec_input(const um_exec *e, um_tid t, int64_t n);

/* The same from and to memory of the backend, in order with its runs; for backends with queues (kernels/queue.h). */
um_status um_exec_copy_in(um_exec *e, um_tid t, const void *from, int64_t n);
um_status um_exec_copy_out(um_exec *e, um_tid t, void *to, int64_t n);

/* Runs nodes [first, last) for the batch; last < 0: to the end. A batch that is reduced over ranks may have no image here: then
 * sums
 * over it are zero on this rank. Errors: of the backend, with the node's name. */
um_status um_exec_run(um_exec *e, const um_batch *batch, int first, int last);

/* Momentum of every BatchNorm of this executor from now on (1/k for the k-th batch makes the running statistics a plain mean). */
void um_exec_set_bn_momentum(um_exec *e, double momentum);

const um_plan *um_exec_plan(const um_exec *e);
um_backend *um_exec_backend(const um_exec *e); /* borrowed */
/* Seconds per op since creation, most expensive first, with calls and GFLOP/s. */
um_status um_exec_times(const um_exec *e, um_text *out);

#endif
