/* Winograd convolution F(4x4, 3x3): 3x3, stride 1, pad 1 (Lavin & Gray, arXiv:1509.09308; points 0, 1, -1, 2, -2, inf).
 *
 * y is cut into tiles of 4x4 pixels. With B, G, A below, a tile of y is A^T [ sum over c of (G w G^T) . (B^T x B) ] A, "." element
 * by element: 36 products for 16 pixels instead of 144. x: the 6x6 pixels around a tile, w: the 3x3 weights.
 *
 *   B^T = 4  0 -5  0  1  0     G =  1/4    0     0     A^T = 1  1  1  1  1  0
 *         0 -4 -4  1  1  0        -1/6  -1/6  -1/6           0  1 -1  2 -2  0
 *         0  4 -4 -1  1  0        -1/6   1/6  -1/6           0  1  1  4  4  0
 *         0 -2 -1  2  1  0        1/24  1/12   1/6           0  1 -1  8 -8  1
 *         0  2 -1 -2  1  0        1/24 -1/12   1/6
 *         0  4  0 -5  0  1           0     0     1
 *
 * Weight gradients are the exact adjoint: dw = G^T [ sum over tiles of (B^T x B) . (A dy A^T) ] G.
 * All transforms work on vectors of channels; "taps" are the 36 elements of a transformed tile. Relative L2 error against float64
 * on random data: 1e-6..6e-6 forward and data, 1e-6..3e-5 weights (direct: 2e-7..2e-6, 4e-7..1e-5). */
#ifndef UM_KERNELS_CPU_CONV_WINOGRAD_H
#define UM_KERNELS_CPU_CONV_WINOGRAD_H

#include "kernels/cpu/conv_panel.h"

enum { UM_WINO_TAPS = 36, UM_WINO_SIDE = 4 };

/* Tiles of an image in rows of tw, counted through all images. */
typedef struct um_wino_grid {
    int64_t h, w, th, tw;
} um_wino_grid;

UM_INLINE um_wino_grid um_wino_grid_of(int64_t h, int64_t w)
{
    return (um_wino_grid){h, w, i_ceil_div(h, UM_WINO_SIDE), i_ceil_div(w, UM_WINO_SIDE)};
}
UM_INLINE int64_t um_wino_tiles(const um_wino_grid *g)
{
    return g->th * g->tw;
}

/* B^T x B of one tile for all channels of x. Channel vector v of tap t goes to out[t*tap_step + v*vector_step]; lanes past the last
 * channel are 0. zeros: x->c zeros, rounded up to whole vectors, for pixels outside the image. */
void UM_FN(um_wino_input)(const um_wino_grid *g, const um_view *x, int64_t tile, const real *zeros, real *out, int64_t tap_step,
                          int64_t vector_step);
/* A dy A^T in the same way. */
void UM_FN(um_wino_gradient)(const um_wino_grid *g, const um_view *dy, int64_t tile, const real *zeros, real *out, int64_t tap_step,
                             int64_t vector_step);

/* A^T m A of one tile to channels [first, first + channels) of y. m: tap t, vector v at m[t*tap_step + v*VL]. bias: whole vectors,
 * NULL for none. */
void UM_FN(um_wino_output)(const um_wino_grid *g, const real *m, int64_t tap_step, const um_view *y, int64_t tile, int64_t first,
                           int64_t channels, const real *bias, bool accumulate);

/* G w G^T for the `channels` outputs from `first` and the inputs [depth, depth + n): out[t*tap_step + i*width + lane], zeros in the
 * lanes past the last channel. w: [3][3][C][K]; turned: the weights of backward-data, inputs K, outputs C, taps in reverse. */
typedef struct um_wino_weights {
    const real *w;
    int64_t c, k;
    bool turned;
} um_wino_weights;
void UM_FN(um_wino_weight)(const um_wino_weights *w, int64_t first, int64_t channels, int64_t depth, int64_t n, real *out,
                           int64_t tap_step, int64_t width);

/* G^T m G: tap t at m[t*tap_step], gradient tap (r, q) to out[(3*r + q)*out_step]; one vector. */
void UM_FN(um_wino_weight_gradient)(const real *m, int64_t tap_step, real *out, int64_t out_step);

/* conv_winograd.c, conv_winograd_weight.c; bound together in conv.c. */
size_t UM_FN(um_wino_workspace)(const um_conv_shape *s, um_op op);
void UM_FN(um_wino_fwd)(const um_conv_shape *s, const um_op_call *call);
void UM_FN(um_wino_bwd_data)(const um_conv_shape *s, const um_op_call *call);
size_t UM_FN(um_wino_bwd_weight_workspace)(const um_conv_shape *s);
void UM_FN(um_wino_bwd_weight)(const um_conv_shape *s, const um_op_call *call);

#endif
