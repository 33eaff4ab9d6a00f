/* Strips: how the direct 3x3 kernels lay out an image.
 *
 * With g pixels in a vector (conv_panel.h) an output row of w pixels is cut into g stretches of `cols` columns, and column j of all
 * stretches is computed together. Input is interleaved the same way, so one broadcast of g reals feeds a multiply-add.
 *
 * A strip is rows [row0 - 1, row0 + rows + 1) of an image with zero padding, interleaved: [row][cols + 2][c][g]; element
 * (r, j, ch, p) is input row row0 - 1 + r, column p*cols + j - 1. A 3x3 window is three contiguous segments of 3*c*g reals. */
#ifndef UM_KERNELS_CPU_CONV_STRIP_H
#define UM_KERNELS_CPU_CONV_STRIP_H

#include "kernels/cpu/conv_panel.h"

typedef struct um_strip_plan {
    int64_t n, h, w, c; /* c: channels of the padded side */
    int64_t cols;       /* columns of a stretch: ceil(w / g) */
    int64_t pitch;      /* reals of a strip row: (cols + 2) * c * g */
    int64_t rows;       /* rows of a strip; the last one of an image may have fewer */
    int64_t strips;     /* strips of an image */
    um_panels out;      /* the channels in the vector lanes */
} um_strip_plan;

/* strip_bytes: size to aim at. A function of the shape alone. */
void UM_FN(um_strip_plan_set)(um_strip_plan *p, int64_t n, int64_t h, int64_t w, int64_t c, int64_t channels, int64_t strip_bytes);
int64_t UM_FN(um_strip_reals)(const um_strip_plan *p); /* size of a strip, with the scratch row that filling it needs */
void UM_FN(um_strip_fill)(const um_strip_plan *p, const um_view *x, int64_t image, int64_t row0, int64_t rows, real *strip);

/* out[i*g + p] = in[p*stride + i] for i < n; g is 2 or 4. */
void UM_FN(um_strip_interleave)(real *restrict out, const real *restrict in, int64_t n, int64_t stride, int g);

#endif
