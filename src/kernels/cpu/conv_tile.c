#include "kernels/cpu/conv_tile.h"

#define UNROLL _Pragma("GCC unroll 16")

/* p[0..g) repeated through the vector. g * sizeof(real) is sizeof(real), 8 or 16 bytes. */
UM_INLINE vreal v_repeat(const real *p, const int g)
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

/* One column, one pixel per vector. */
UM_INLINE void store_plain(const um_conv_tile *t, real *y, const vreal *acc, const int nv)
{
    UNROLL
    for (int j = 0; j < nv; j++) {
        int n = (int)i_min(VL, t->channels - j * VL);
        if (n == VL) {
            v_store(y + j * VL, t->accumulate ? v_load(y + j * VL) + acc[j] : acc[j]);
        } else {
            v_store_n(y + j * VL, t->accumulate ? v_load_n(y + j * VL, n) + acc[j] : acc[j], n);
        }
    }
}

/* The lanes of stretch p first: lane k of the result is lane k*g + p. */
UM_INLINE vreal lanes_of(vreal v, const int g, const int p)
{
    v_index from;
    UNROLL
    for (int l = 0; l < VL; l++) {
        from[l] = (l * g + p) % VL;
    }
    return v_permute(v, from);
}

/* One column of g stretches; the last stretch may end before it. */
UM_INLINE void store_grouped(const um_conv_tile *t, real *y, vreal acc, const int g, bool last_inside)
{
    int n = (int)t->channels;
    UNROLL
    for (int p = 0; p < g; p++, y += t->y_part) {
        if (p == g - 1 && !last_inside) {
            return;
        }
        vreal v = lanes_of(acc, g, p);
        v_store_n(y, t->accumulate ? v_load_n(y, n) + v : v, n);
    }
}

UM_INLINE void tile_run(const um_conv_tile *t, const int mr, const int nv, const int g)
{
    vreal acc[UM_MAX_MR][UM_MAX_NV];
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int j = 0; j < nv; j++) {
            acc[i][j] = v_load(t->bias + j * VL);
        }
    }
    const real *b = t->b, *row = t->a;
    for (int64_t r = 0; r < t->rows; r++, row += t->a_row) {
        const real *a = row;
        for (int64_t s = 0; s < t->segments; s++, a += t->a_seg) {
            for (const real *x = a, *end = a + t->depth * g; x != end; x += g, b += nv * VL) {
                UNROLL
                for (int i = 0; i < mr; i++) {
                    vreal v = v_repeat(x + i * t->a_col, g);
                    UNROLL
                    for (int j = 0; j < nv; j++) {
                        acc[i][j] += v * v_load(b + j * VL);
                    }
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < mr; i++) {
        if (g == 1) {
            store_plain(t, t->y + i * t->y_col, acc[i], nv);
        } else {
            store_grouped(t, t->y + i * t->y_col, acc[i][0], g, i < t->last_cols);
        }
    }
}

UM_INLINE void outer_run(const um_outer_tile *t, real *to, const int mr, const int nv, const int g)
{
    vreal acc[UM_MAX_MR][UM_MAX_NV];
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int j = 0; j < nv; j++) {
            acc[i][j] = (vreal){0};
        }
    }
    for (int64_t r = 0; r < t->rows; r++) {
        const real *a = t->a + r * t->a_row, *d = t->d + r * t->d_row;
        for (int64_t c = 0; c < t->cols; c++, a += t->a_col, d += t->d_col) {
            UNROLL
            for (int i = 0; i < mr; i++) {
                vreal x = v_repeat(a + i * g, g);
                UNROLL
                for (int j = 0; j < nv; j++) {
                    acc[i][j] += x * v_load(d + j * VL);
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int j = 0; j < nv; j++) {
            real *out = to + (i * nv + j) * VL;
            v_store(out, t->fresh ? acc[i][j] : v_load(out) + acc[i][j]);
        }
    }
}

/* One pair of functions per shape; LIST_n names the shapes with mr = 1..n. */
#define DEFINE(mr, nv, g)                                                                                                      \
    static void tile_##mr##_##nv##_##g(const um_conv_tile *t)                                                                  \
    {                                                                                                                          \
        tile_run(t, mr, nv, g);                                                                                                \
    }                                                                                                                          \
    static void outer_##mr##_##nv##_##g(const um_outer_tile *t, real *to)                                                      \
    {                                                                                                                          \
        outer_run(t, to, mr, nv, g);                                                                                           \
    }
#define LIST_4(X, nv, g) X(1, nv, g) X(2, nv, g) X(3, nv, g) X(4, nv, g)
#define LIST_6(X, nv, g) LIST_4(X, nv, g) X(5, nv, g) X(6, nv, g)
#define LIST_8(X, nv, g) LIST_6(X, nv, g) X(7, nv, g) X(8, nv, g)
#define LIST_12(X, nv, g) LIST_8(X, nv, g) X(9, nv, g) X(10, nv, g) X(11, nv, g) X(12, nv, g)
#define LIST_14(X, nv, g) LIST_12(X, nv, g) X(13, nv, g) X(14, nv, g)

/* Follows um_tile_rows(); grouped pixels come with one vector of channels. */
#if defined(UM_VECTOR_IS_512)
#define SHAPES(X) LIST_14(X, 1, 1) LIST_14(X, 2, 1) LIST_8(X, 3, 1) LIST_6(X, 4, 1) LIST_14(X, 1, 2) LIST_14(X, 1, 4)
#else
#define SHAPES(X) LIST_12(X, 1, 1) LIST_6(X, 2, 1) LIST_4(X, 3, 1) LIST_12(X, 1, 2) LIST_12(X, 1, 4)
#endif

SHAPES(DEFINE)

typedef void (*tile_fn)(const um_conv_tile *t);
typedef void (*outer_fn)(const um_outer_tile *t, real *to);

/* By group (1, 2, 4 at 0, 1, 2), panel width and rows. */
#define ENTRY(mr, nv, g) [g / 2][nv][mr] = tile_##mr##_##nv##_##g,
static const tile_fn tiles[3][UM_MAX_NV + 1][UM_MAX_MR + 1] = {SHAPES(ENTRY)};
#undef ENTRY
#define ENTRY(mr, nv, g) [g / 2][nv][mr] = outer_##mr##_##nv##_##g,
static const outer_fn outers[3][UM_MAX_NV + 1][UM_MAX_MR + 1] = {SHAPES(ENTRY)};
#undef ENTRY

void UM_FN(um_conv_row)(const um_conv_tile *t, int64_t cols, int nv, int g)
{
    um_conv_tile part = *t;
    int64_t n = i_ceil_div(cols, um_tile_rows(nv));
    for (int64_t i = 0, begin = 0; i < n; i++) {
        int64_t end = cols * (i + 1) / n;
        part.a = t->a + begin * t->a_col;
        part.y = t->y + begin * t->y_col;
        part.last_cols = t->last_cols - begin;
        tiles[g / 2][nv][end - begin](&part);
        begin = end;
    }
}

void UM_FN(um_conv_outer)(const um_outer_tile *t, int64_t depth, int nv, int g, real *out)
{
    um_outer_tile part = *t;
    int64_t n = i_ceil_div(depth, um_tile_rows(nv));
    for (int64_t i = 0, begin = 0; i < n; i++) {
        int64_t end = depth * (i + 1) / n;
        part.a = t->a + begin * g;
        outers[g / 2][nv][end - begin](&part, out + begin * nv * VL);
        begin = end;
    }
}
