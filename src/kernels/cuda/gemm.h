/* Matrix products on the device, in f32 memory, by cuBLASLt (gemm_lt.c; a plain loop in tests/kernels/cuda_host). Row-major:
 *
 *     C[b] = alpha * op(A[b]) op(B[b]) + beta * C[b],   b = 0 .. batch-1,   op(A): m x k, op(B): k x n
 *
 * Products round their operands to tf32 in the tf32 and bf16 precisions and are exact f32 in fp32. Algorithms come from the
 * library's
 * heuristic with a fixed workspace, so they are a function of the shape; none splits a sum with atomics. */
#ifndef UM_KERNELS_CUDA_GEMM_H
#define UM_KERNELS_CUDA_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct um_gemm um_gemm;

typedef struct um_gemm_call {
    bool trans_a, trans_b;
    int64_t m, n, k, batch;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;                /* elements between rows as stored */
    int64_t stride_a, stride_b, stride_c; /* elements between members of the batch */
    float alpha, beta;
} um_gemm_call;

um_status um_gemm_create(um_gemm **out, um_dev *dev, um_precision precision);
void um_gemm_free(um_gemm *g); /* accepts NULL */
um_status um_gemm_run(um_gemm *g, const um_gemm_call *call);

#ifdef __cplusplus
}
#endif
#endif
