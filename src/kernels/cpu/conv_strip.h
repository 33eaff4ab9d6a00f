/* What the direct 3x3 kernels share: how an image is cut and laid out for vectors.
 *
 * Groups. A vector of VL lanes holds VL/g channels of g pixels: lane k*g + p is channel k of pixel p. With many output channels
 * g = 1. With few, g > 1 fills the lanes that would idle: an output row of w pixels is cut into g stretches of `cols` columns, and
 * column j of all stretches is computed together. Input is interleaved the same way, so one broadcast of g reals feeds a
 * multiply-add.
 *
 * Strip: rows [row0 - 1, row0 + rows + 1) of an image with zero padding, interleaved: [row][cols + 2][c][g]; element (r, j, ch, p)
 * is input row row0 - 1 + r, column p*cols + j - 1. A 3x3 window is then three contiguous segments of 3*c*g reals.
 *
 * Panel: nv vectors of output channels, the width of one micro-kernel. */
#ifndef UM_KERNELS_CPU_CONV_STRIP_H
#define UM_KERNELS_CPU_CONV_STRIP_H

#include "kernels/cpu/conv.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

typedef struct um_strip_plan {
    int64_t n, h, w, ci, co; /* ci: channels of the padded side; co: channels in the vector lanes */
    int g;
    int64_t cols;    /* columns of a stretch: ceil(w / g) */
    int64_t pitch;   /* reals of a strip row: (cols + 2) * ci * g */
    int64_t n_vec;   /* vectors that hold co channels: ceil(co * g / VL) */
    int nv;          /* vectors of a full panel */
    int64_t panels;  /* ceil(n_vec / nv) */
    int64_t rows;    /* rows of a strip; the last one of an image may have fewer */
    int64_t strips;  /* strips of an image */
} um_strip_plan;

enum { UM_MAX_NV = 4, UM_MAX_MR = 14 };

/* Rows of the micro-kernels (pixels forward, taps for weights) by panel width: as many accumulators as registers allow. */
UM_INLINE int um_tile_rows(int nv)
{
    static const int rows[UM_MAX_NV + 1] =
#if UM_VECTOR_IS_512
        {0, 14, 14, 8, 6};
#else
        {0, 12, 6, 4, 0};
#endif
    return rows[nv];
}

/* strip_bytes: size to aim at. A function of the shape alone. */
void UM_FN(um_strip_plan_set)(um_strip_plan *p, int64_t n, int64_t h, int64_t w, int64_t ci, int64_t co, int64_t strip_bytes);
int64_t UM_FN(um_strip_reals)(const um_strip_plan *p); /* size of a strip, with the scratch row that filling it needs */
void UM_FN(um_strip_fill)(const um_strip_plan *p, const um_view *x, int64_t image, int64_t row0, int64_t rows, real *strip);

/* out[i*g + p] = in[p*stride + i] for i < n. */
void UM_FN(um_strip_interleave)(real *restrict out, const real *restrict in, int64_t n, int64_t stride, int g);

UM_INLINE int um_panel_vectors(const um_strip_plan *p, int64_t panel)
{
    return (int)i_min(p->nv, p->n_vec - panel * p->nv);
}

/* p[0..g) repeated through the vector. g * sizeof(real) is sizeof(real), 8 or 16 bytes. */
UM_INLINE vreal v_repeat(const real *p, int g)
{
    if (g == 1) {
        return v_set(*p);
    }
    if (g * sizeof(real) == 8) {
        typedef long long v_long __attribute__((vector_size(UM_VECTOR_BYTES)));
        long long pair;
        memcpy(&pair, p, sizeof pair);
        return (vreal)(pair + (v_long){0});
    }
#if defined(__AVX512F__)
    return (vreal)_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
#elif defined(__AVX2__)
    return (vreal)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
#else
    return v_load(p);
#endif
}

#endif
