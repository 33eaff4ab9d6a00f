/* Per-channel arithmetic on pixels. A *column* is a few vectors of channels through the pixels of a tile: its coefficients and sums
 * stay in registers, and the tile stays in the first-level cache. Where a pixel is narrower than a vector and pixels follow each other
 * without gap, a row of a column is several pixels. Private to the kernels of this folder. */
#ifndef UM_KERNELS_CPU_COLUMNS_H
#define UM_KERNELS_CPU_COLUMNS_H

#include "kernels/cpu/real.h"

enum { COLUMN_TILE = 4096, MAX_VECTORS = 4 }; /* reals of one operand in a tile; vectors of a column */

UM_INLINE int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

UM_INLINE real *pixel_at(const um_view *v, int64_t p)
{
    return (real *)v->data + p * v->ld;
}

typedef struct columns {
    int64_t c, fold, width; /* channels, pixels per row, reals per row */
} columns;

UM_INLINE columns columns_of(int64_t c, bool dense)
{
    int64_t fold = dense && c < VL && VL % c == 0 ? VL / c : 1;
    return (columns){c, fold, fold * c};
}

/* Rows from `pixel` on; of each row `vectors` vectors from real k on. lanes < VL only in a last single vector. */
typedef struct column {
    int64_t pixel, rows, k;
    int vectors, lanes;
} column;
typedef void column_fn(const void *context, column at);

/* One column after the other; the numbers of vectors and lanes are constants where `visit` is inlined. */
UM_INLINE void columns_row(columns grid, column at, int most, column_fn *visit, const void *context)
{
    at.lanes = VL;
    if (most == MAX_VECTORS)
        for (at.vectors = MAX_VECTORS; grid.width - at.k >= MAX_VECTORS * VL; at.k += MAX_VECTORS * VL)
            visit(context, at);
    for (at.vectors = 2; grid.width - at.k >= 2 * VL; at.k += 2 * VL)
        visit(context, at);
    for (at.vectors = 1; grid.width - at.k >= VL; at.k += VL)
        visit(context, at);
    at.lanes = (int)(grid.width - at.k);
    if (at.lanes > 0)
        visit(context, at);
}

/* Where a pixel has several columns, each asks for its part of the next tile: the hardware does not fetch ahead across the gaps.
 * row: of this tile. */
UM_INLINE void prefetch_next(columns grid, column at, const real *row, int64_t step)
{
    if (grid.width > at.vectors * VL)
        for (int i = 0; i < at.vectors * VL; i += 64 / (int)sizeof(real))
            __builtin_prefetch(row + at.rows * step + i);
}

/* All columns of the pixels [begin, end), tile by tile. `visit` is inlined (UM_INLINE); most: vectors that it has registers for,
 * 2 or MAX_VECTORS. */
UM_INLINE void columns_visit(columns grid, int64_t begin, int64_t end, int most, column_fn *visit, const void *context)
{
    int64_t rows = (end - begin) / grid.fold, tile = COLUMN_TILE > grid.width ? COLUMN_TILE / grid.width : 1;
    for (int64_t r = 0; r < rows; r += tile)
        columns_row(grid, (column){.pixel = begin + r * grid.fold, .rows = min64(tile, rows - r)}, most, visit, context);
    int64_t done = begin + rows * grid.fold;
    if (done < end)
        visit(context, (column){done, 1, 0, 1, (int)((end - done) * grid.c)});
}

/* Vector i of a column from v[c]. */
UM_INLINE vreal column_coef(columns grid, column at, int i, const real *v)
{
    if (grid.fold == 1)
        return v_load_lanes(v + at.k + i * VL, at.lanes);
    real repeated[VL] = {0};
    for (int64_t p = 0; p < grid.fold; p++)
        memcpy(repeated + p * grid.c, v, (size_t)grid.c * sizeof *v);
    return v_load(repeated);
}

/* Sums over pixels: `n` rows of grid.width each, in `part` itself or, where pixels share a row, in buffer[n * VL]. */
UM_INLINE double *columns_sums(columns grid, double *part, double *buffer, int n)
{
    double *sums = grid.fold == 1 ? part : buffer;
    memset(sums, 0, (size_t)(n * grid.width) * sizeof *sums);
    return sums;
}

/* Adds the pixels of a row, in order. */
UM_INLINE void columns_fold(columns grid, double *part, const double *sums, int n)
{
    if (sums == part)
        return;
    for (int64_t i = 0; i < n * grid.c; i++) {
        const double *row = sums + i / grid.c * grid.width + i % grid.c;
        double s = 0;
        for (int64_t p = 0; p < grid.fold; p++)
            s += row[p * grid.c];
        part[i] = s;
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

#endif
