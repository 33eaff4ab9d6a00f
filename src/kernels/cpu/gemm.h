/* Matrix products through the serial OpenBLAS, called from our own threads. All matrices are row-major; ld in elements.
 * The bits of a product depend on its extents, so callers cut their rows into chunks by the shape alone (um_gemm_chunk). */
#ifndef UM_KERNELS_CPU_GEMM_H
#define UM_KERNELS_CPU_GEMM_H

#include <cblas.h>

#include "kernels/cpu/real.h"

typedef struct um_mat {
    const real *data;
    int64_t ld;
    bool turned; /* used as its transpose */
} um_mat;

/* c[m,n] = a[m,k] b[k,n] + (add ? c : 0) */
UM_INLINE void um_gemm(int64_t m, int64_t n, int64_t k, um_mat a, um_mat b, real *c, int64_t ldc, bool add)
{
    CBLAS_TRANSPOSE ta = a.turned ? CblasTrans : CblasNoTrans, tb = b.turned ? CblasTrans : CblasNoTrans;
    blasint im = (blasint)m, in = (blasint)n, ik = (blasint)k, ia = (blasint)a.ld, ib = (blasint)b.ld, ic = (blasint)ldc;
#if UM_REAL_IS_F64
    cblas_dgemm(CblasRowMajor, ta, tb, im, in, ik, 1.0, a.data, ia, b.data, ib, add ? 1.0 : 0.0, c, ic);
#else
    cblas_sgemm(CblasRowMajor, ta, tb, im, in, ik, 1.0f, a.data, ia, b.data, ib, add ? 1.0f : 0.0f, c, ic);
#endif
}

/* Pixels per product: about 1024, equal pieces of an image of `pixels`. */
UM_INLINE int64_t um_gemm_chunk(int64_t pixels)
{
    int64_t pieces = (pixels + 1023) / 1024;
    return (pixels + pieces - 1) / pieces;
}

#endif
