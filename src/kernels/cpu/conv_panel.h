/* Panels: how output channels lie in vectors, for every convolution kernel here.
 *
 * Groups. A vector of VL lanes holds VL/g channels of g pixels: lane k*g + p is channel k of pixel p. With many channels g = 1;
 * with few, g > 1 fills lanes that would idle (conv_strip.h).
 * Panels. The n_vec vectors that hold `channels` are cut into `count` panels of nv vectors (the last may have fewer): a panel is
 * the width of one micro-kernel. A packed matrix of `depth` rows is [panel][depth][nv * VL]; lanes past the last channel are 0. */
#ifndef UM_KERNELS_CPU_CONV_PANEL_H
#define UM_KERNELS_CPU_CONV_PANEL_H

#include "kernels/cpu/conv.h"

enum { UM_MAX_NV = 4, UM_MAX_MR = 14 };

typedef struct um_panels {
    int64_t channels, n_vec, count;
    int g, nv;
} um_panels;

/* Rows of the micro-kernels by panel width: as many accumulators as registers allow. 0: no such width. */
UM_INLINE int um_tile_rows(int nv)
{
#if defined(UM_VECTOR_IS_512)
    static const int rows[UM_MAX_NV + 1] = {0, 14, 14, 8, 6};
#else
    static const int rows[UM_MAX_NV + 1] = {0, 12, 6, 4, 0};
#endif
    return rows[nv];
}

/* cols: columns of an output row; short rows leave accumulators of tall tiles idle and get wider panels. */
void UM_FN(um_panels_set)(um_panels *p, int64_t channels, int g, int64_t cols);

UM_INLINE int um_panel_vectors(const um_panels *p, int64_t panel)
{
    return (int)i_min(p->nv, p->n_vec - panel * p->nv);
}
UM_INLINE int64_t um_panel_first(const um_panels *p, int64_t panel)
{
    return panel * p->nv * VL / p->g;
}
UM_INLINE int64_t um_panel_channels(const um_panels *p, int64_t panel)
{
    return i_min((int64_t)um_panel_vectors(p, panel) * VL / p->g, p->channels - um_panel_first(p, panel));
}
/* Where a panel of a packed matrix begins, and the size of all of it, in reals. */
UM_INLINE int64_t um_panel_at(const um_panels *p, int64_t panel, int64_t depth)
{
    return panel * p->nv * VL * depth;
}
UM_INLINE int64_t um_panels_reals(const um_panels *p, int64_t depth)
{
    return um_reals_aligned(p->n_vec * VL * depth);
}

/* A weight matrix in memory: element (row, channel) at w[row*step_row + channel*step_channel]. */
typedef struct um_matrix {
    const real *w;
    int64_t step_row, step_channel;
} um_matrix;

/* Rows [first, first + rows) of a panel whose matrix has `depth` rows; m.w points at the first of these rows. */
void UM_FN(um_panel_pack)(const um_panels *p, int64_t panel, int64_t depth, int64_t first, int64_t rows, um_matrix m, real *packed);
/* All rows of all panels, in parallel. */
void UM_FN(um_panels_pack)(const um_panels *p, int64_t depth, um_matrix m, real *packed);
/* [n_vec * VL]; bias NULL: zeros. */
void UM_FN(um_panels_pack_bias)(const um_panels *p, const real *bias, real *packed);

/* Pixels [rows][cols] of `channels` reals, row_step and col_step apart, to dense pixels of `width` reals, zeros behind. */
void UM_FN(um_pixels_pack)(real *out, const real *in, int64_t rows, int64_t row_step, int64_t cols, int64_t col_step,
                           int64_t channels, int64_t width);

/* Sums the parts at data, data + stride, ... (packed matrices of `depth` rows) by the tree, adds the pixels of a group and writes
 * row after row to dw, ld apart. */
void UM_FN(um_panels_sum)(const um_panels *p, int64_t depth, const um_conv_parts *parts, const real *data, int64_t stride, real *dw,
                          int64_t ld, bool accumulate);

#endif
