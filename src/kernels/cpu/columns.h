/* Per-channel coefficients against pixels. Where pixels follow each other without gap, several of them make one long inner loop
 * over coefficients repeated that many times; else one pixel at a time. Private to the kernels of this folder. */
#ifndef UM_KERNELS_CPU_PATTERN_H
#define UM_KERNELS_CPU_PATTERN_H

#include "kernels/cpu/real.h"

enum { PATTERN = 128 }; /* elements of a repeated pattern at most */

UM_INLINE real *pixel_at(const um_view *v, int64_t p)
{
    return (real *)v->data + p * v->ld;
}

/* Pixels per inner loop. */
UM_INLINE int64_t pattern_pixels(int64_t c, bool dense)
{
    return dense && c <= PATTERN / 2 ? PATTERN / c : 1;
}

/* v[c] repeated `pixels` times: in buffer, or v itself for one pixel. */
UM_INLINE const real *pattern_fill(real buffer[PATTERN], const real *v, int64_t c, int64_t pixels)
{
    if (pixels == 1)
        return v;
    for (int64_t p = 0; p < pixels; p++)
        memcpy(buffer + p * c, v, (size_t)c * sizeof *v);
    return buffer;
}

/* Adds the repeats of a pattern of f64 sums into one: out[k] = sum over p of sums[p*c + k], in order. */
UM_INLINE void pattern_fold(double *out, const double *sums, int64_t c, int64_t pixels)
{
    for (int64_t k = 0; k < c; k++) {
        double s = 0;
        for (int64_t p = 0; p < pixels; p++)
            s += sums[p * c + k];
        out[k] = s;
    }
}

/* A gradient travels between ranks as `real`: lane sums are rounded before the tree, which ranks continue. lanes: [n_lanes][n] in
 * f64, with room for as many reals behind; returns the n sums there. */
UM_INLINE const real *lanes_rounded_sum(const double *lanes, int n_lanes, int64_t n)
{
    real *rounded = (real *)(lanes + n_lanes * n);
    for (int64_t i = 0; i < n_lanes * n; i++)
        rounded[i] = (real)lanes[i];
#if UM_REAL_IS_F64
    um_tree_sum_f64(rounded, n_lanes, n);
#else
    um_tree_sum_f32(rounded, n_lanes, n);
#endif
    return rounded;
}

UM_INLINE int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
