/* The CUDA backend (backend.h): kernels of our own (device.cuh), convolutions by cuDNN, matrix products by cuBLASLt, all in one
 * stream.
 *
 *     fp32   f32 everywhere, without tensor cores
 *     tf32   f32 in memory; products round their operands to 10 bits of mantissa
 *     bf16   activations in bf16 (um_graph_narrow says which); parameters, statistics, losses, perturbations and their images in
 * f32
 *
 * Results repeat bit for bit on the same device and library version: no atomics, deterministic engines only. They differ from the
 * CPU's by rounding. */
#ifndef UM_KERNELS_CUDA_CUDA_H
#define UM_KERNELS_CUDA_CUDA_H

#include "kernels/backend.h"

/* real: UM_F32. Errors: UM_E_UNSUPPORTED when this machine has no device, in one line. */
um_status um_cuda_backend_create(um_backend **out, um_dtype real, um_precision precision);

int um_cuda_devices(void); /* 0: none, or no driver */

#endif
