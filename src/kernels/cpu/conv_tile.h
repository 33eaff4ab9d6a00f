/* Micro-kernels: a block of output pixels (or of weights) in registers. One function per (mr, nv, g); all of them run the same
 * multiply-add per output in the same order, so it does not matter for the bits which one computes an output. */
#ifndef UM_KERNELS_CPU_CONV_TILE_H
#define UM_KERNELS_CPU_CONV_TILE_H

#include "kernels/cpu/conv_panel.h"

/* y[j][:] = bias + sum over rows r, segments q, depth d of a[r*a_row + q*a_seg + j*a_col + d*g] * b[(r*segments + q)*depth + d][:].
 *   3x3: 3 rows of one segment 3*C deep.  1x1: one segment, C deep.  Transposed 2x2, gradient: 2 rows of 2 segments, O deep. */
typedef struct um_conv_tile {
    const real *a;
    int64_t rows, a_row, segments, a_seg, depth, a_col;
    const real *b;         /* packed panel [rows * segments * depth][nv * VL] */
    const real *bias;      /* [nv * VL] */
    real *y;               /* output pixel of column 0, stretch 0 */
    int64_t y_col, y_part; /* reals from a column to the next, from a stretch to the next */
    int64_t channels;      /* valid channels of the panel */
    int64_t last_cols;     /* columns of the last stretch (g > 1): from there on it has left the image */
    bool accumulate;
} um_conv_tile;

/* Columns 0..cols-1 of an output row, in tiles of nearly equal size. */
void UM_FN(um_conv_row)(const um_conv_tile *t, int64_t cols, int nv, int g);

/* out[i][:] += sum over rows and columns of a[r*a_row + c*a_col + i*g] * d[r*d_row + c*d_col][:] for i < depth; fresh: out = sum. */
typedef struct um_outer_tile {
    const real *a;
    int64_t a_row, a_col;
    const real *d; /* output gradients, nv * VL reals each */
    int64_t d_row, d_col;
    int64_t rows, cols;
    bool fresh;
} um_outer_tile;

void UM_FN(um_conv_outer)(const um_outer_tile *t, int64_t depth, int nv, int g, real *out);

#endif
