/* The parts of the direct 3x3 algorithm; conv.c binds them into um_conv_direct. Shapes: um_conv_impl. */
#ifndef UM_KERNELS_CPU_CONV_DIRECT_H
#define UM_KERNELS_CPU_CONV_DIRECT_H

#include "kernels/cpu/conv.h"

size_t UM_FN(um_conv_direct_workspace)(const um_conv_shape *s, um_op op); /* fwd and bwd_data */
void UM_FN(um_conv_direct_fwd)(const um_conv_shape *s, const um_op_call *call);
void UM_FN(um_conv_direct_bwd_data)(const um_conv_shape *s, const um_op_call *call);

size_t UM_FN(um_conv_direct_weight_workspace)(const um_conv_shape *s);
void UM_FN(um_conv_direct_bwd_weight)(const um_conv_shape *s, const um_op_call *call);

#endif
