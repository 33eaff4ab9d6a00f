/* Inside train/: a parameter set as named tensors in PyTorch's layout, for checkpoints. */
#ifndef UM_TRAIN_NET_TENSORS_H
#define UM_TRAIN_NET_TENSORS_H

#include "io/checkpoint.h"
#include "nn/param.h"

typedef struct um_net_tensors {
    um_named_tensor *list; /* values and buffers (and BatchNorm counters when asked for) */
    um_named_tensor *m, *v; /* moments of what is trained; NULL without */
    size_t n, n_adam;
} um_net_tensors; /* initialise with {0}, release with um_net_tensors_free */

typedef enum um_net_tensors_what {
    UM_NET_TENSORS_MODEL, /* f32, with NAME.num_batches_tracked: what PyTorch loads */
    UM_NET_TENSORS_STATE, /* the backend's real type, with Adam's moments: what continues bit for bit */
} um_net_tensors_what;

/* Appends the tensors of a set under PREFIX.NAME (no prefix when NULL). filled: with their present content, else zero (for loading). */
um_status um_net_tensors_add(um_net_tensors *t, const um_params *p, const char *prefix, um_net_tensors_what what, bool filled);
/* Writes the tensors back into the set, starting at entry *at of list and *at_adam of the moments; both are advanced. */
um_status um_net_tensors_store(const um_net_tensors *t, size_t *at, size_t *at_adam, um_params *p);
void um_net_tensors_free(um_net_tensors *t);

#endif
