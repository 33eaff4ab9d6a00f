/* What a piece of work takes, known before it starts: for plans and `--dry-run`. */
#ifndef UM_TRAIN_COST_H
#define UM_TRAIN_COST_H

#include "nn/exec.h"

typedef struct um_cost {
    double flops; /* multiply-adds of convolutions and matrix products, times two */
    double bytes; /* device memory: activations at the largest batch, workspace, parameters with gradients and moments */
} um_cost;

/* flops: of one image through all nodes; bytes: of its activations and workspace. */
um_status um_cost_of_graph(um_cost *out, um_graph *g, um_backend *backend);
/* Bytes of a parameter set once allocated. */
double um_cost_of_params(const um_params *p);

#endif
