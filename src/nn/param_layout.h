/* Between PyTorch's element order and the kernels' (param.h). */
#ifndef UM_NN_PARAM_LAYOUT_H
#define UM_NN_PARAM_LAYOUT_H

#include "nn/param.h"

/* memory: q->count elements of `real` in kernel layout; torch: the same in PyTorch order, as doubles. */
void um_param_to_torch(const um_param *q, um_dtype real, const void *memory, double *torch);
void um_param_from_torch(const um_param *q, um_dtype real, const double *torch, void *memory);

#endif
