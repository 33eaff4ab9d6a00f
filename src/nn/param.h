/* Parameters of one network: four flat blocks (value, gradient, Adam's two moments) and one of buffers (BatchNorm's running
 * statistics), carved into named tensors. One all-reduce, one optimiser call, one checkpoint.
 *
 * Outside, a tensor has PyTorch's name, shape and element order; inside, the layout the kernels want (view.h). The first build of
 * a network adds its tensors; um_params_allocate then fixes the set, and every further graph over the same network finds them. */
#ifndef UM_NN_PARAM_H
#define UM_NN_PARAM_H

#include "base/rng.h"
#include "kernels/backend.h"

typedef enum um_param_kind {
    UM_PARAM_CONV,   /* PyTorch [O,I,kh,kw] or, linear, [O,I] (n_dims 2, dims[2] = dims[3] = 1)    memory [kh][kw][I][O] */
    UM_PARAM_CONVT,  /* PyTorch [I,O,kh,kw]    memory [I][kh][kw][O] */
    UM_PARAM_VECTOR, /* [C] */
    UM_PARAM_TABLE,  /* [1,T,C] */
    UM_PARAM_BUFFER, /* [C], not trained */
} um_param_kind;

typedef struct um_param {
    char name[96];
    um_param_kind kind;
    int n_dims;
    int64_t dims[4];      /* PyTorch order */
    int64_t count, offset; /* elements; offset into the value block, or into the buffer block */
    double init_bound;    /* U(-b, b); 0 = constant init_value */
    double init_sd;       /* N(0, sd) where > 0 */
    double init_value;
} um_param;

typedef enum um_param_block { UM_BLOCK_VALUE, UM_BLOCK_GRAD, UM_BLOCK_M, UM_BLOCK_V, UM_BLOCK_COUNT } um_param_block;

typedef struct um_params {
    um_backend *backend; /* borrowed */
    um_param *list;
    int n, cap;
    int64_t n_values, n_buffers; /* elements of the two kinds of block */
    void *block[UM_BLOCK_COUNT]; /* device memory, real; NULL before um_params_allocate */
    void *buffers;
    void *workspace;             /* of the optimiser's call */
    double *pace;                /* device memory, [2]: learning rate and number of the update to come (ops.h ADAM) */
    int64_t adam_step;           /* updates made so far */
    int64_t bn_batches;          /* num_batches_tracked of every BatchNorm */
    bool fixed;
} um_params;

um_status um_params_create(um_params **out, um_backend *backend);
void um_params_free(um_params *p);

/* Finds the tensor, or adds it while the set is open. out: its index. Errors: UM_E_BUG for another shape under the same name, or a
 * new name in a fixed set. */
um_status um_params_require(um_params *p, const um_param *wanted, int *out);
int um_params_find(const um_params *p, const char *name); /* -1: none */

/* Fixes the set and allocates the blocks (zeroed). No effect when already fixed. */
um_status um_params_allocate(um_params *p);

/* Fresh weights: element i of tensor NAME from Philox (seed, purpose, hash of NAME), in PyTorch order; resets moments and
 * counters. */
um_status um_params_init(um_params *p, uint64_t seed, um_rng_purpose purpose);

/* One tensor in PyTorch order, converted to or from double. block is ignored for buffers (UM_BLOCK_VALUE). */
um_status um_params_read(const um_params *p, int index, um_param_block block, double *out);
um_status um_params_write(um_params *p, int index, um_param_block block, const double *in);

int64_t um_params_trainable_count(const um_params *p); /* the parameter count of models.md */

/* Device address of a tensor inside a block. */
void *um_params_address(const um_params *p, int index, um_param_block block);
/* The tensor's view in kernel layout (data NULL before allocation). */
um_view um_params_view(const um_params *p, int index, um_param_block block);

/* One Adam step over the whole value block from the gradient block. */
um_status um_params_adam(um_params *p, const um_adam_attr *attr);
/* Where a graph makes the updates (um_graph_update): tells the next run of it the learning rate and that it makes update adam_step + 1, and counts
 * that. */
um_status um_params_next(um_params *p, double lr);

/* Values and buffers as they stand, bit for bit, in the kernels' layout: for keeping several states of one network in memory.
 * host: um_params_snapshot_bytes. The moments stay as they are. */
size_t um_params_snapshot_bytes(const um_params *p);
um_status um_params_snapshot(const um_params *p, void *host);
um_status um_params_restore(um_params *p, const void *host);

/* SHA-256 over values and buffers: equal bits, equal hash (restart and reproducibility tests). */
um_status um_params_sha256(const um_params *p, char out[65]);

#endif
