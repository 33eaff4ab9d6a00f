/* Micro-kernels of the direct 3x3 convolution, one function per (mr, nv, g), looked up in a table. All of them run the same
 * multiply-add per output in the same order, so it does not matter for the bits which one computes an output. */
#ifndef UM_KERNELS_CPU_CONV_TILE_H
#define UM_KERNELS_CPU_CONV_TILE_H

#include "kernels/cpu/conv_strip.h"

/* y[j][:] = bias + sum over 3 segments and their depth of a[segment][j][depth] * b[segment][depth][:], j = 0..mr-1. */
typedef struct um_conv_tile {
    const real *a;         /* strip at the tile's first column */
    int64_t a_row, a_col;  /* strip pitch, column stride ci * g */
    int64_t depth;         /* 3 * ci */
    const real *b;         /* packed panel [3 * depth][nv * VL] */
    const real *bias;      /* [nv * VL] */
    real *y;               /* output pixel of stretch 0 */
    int64_t y_col, y_part; /* reals from a column to the next, from a stretch to the next */
    int64_t channels;      /* valid channels of the panel */
    int64_t parts_cut;     /* columns from the tile's first one to where the last stretch leaves the image */
    bool accumulate;
} um_conv_tile;

typedef void (*um_conv_tile_fn)(const um_conv_tile *t);
um_conv_tile_fn UM_FN(um_conv_tile_find)(int mr, int nv, int g);

/* out[i][:] += sum over rows and columns of a[row][column][i] * d[row][column][:], i = 0..mr-1. */
typedef struct um_weight_tile {
    const real *a;        /* strip at the first row and column, shifted to the tile's tap and channel */
    int64_t a_row, a_col;
    const real *d;        /* output gradients [row][column][nv * VL] */
    int64_t d_row, d_col;
    int64_t rows, cols;
    real *out;            /* [mr][nv * VL] */
} um_weight_tile;

typedef void (*um_weight_tile_fn)(const um_weight_tile *t);
um_weight_tile_fn UM_FN(um_weight_tile_find)(int mr, int nv, int g);

#endif
