/* Inside nn/: what the files of layers.h share. */
#ifndef UM_NN_LAYERS_INTERNAL_H
#define UM_NN_LAYERS_INTERNAL_H

#include "nn/layers.h"

/* Declares NAME.SUFFIX (NAME alone when the suffix is empty) and brings it into the graph; q: all but its name is set. */
um_status um_nn_param(const um_net *net, um_tid *out, const char *name, const char *suffix, um_param *q);

/* A batched activation of x's type. */
um_status um_nn_act_like(um_graph *g, um_tid *out, um_tid x, const char *name, int64_t h, int64_t w, int64_t c);

#endif
