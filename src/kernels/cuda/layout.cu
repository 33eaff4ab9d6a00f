/* Moves between our layouts and those that libraries want. */
#include "kernels/cuda/device.cuh"

namespace {

struct move_item {
    um_view from, to;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, to.c);
        float v = at.b < from.c ? um_get(from, at.a, at.b) : 0;
        um_put(to, at.a, at.b, accumulate ? um_get(to, at.a, at.b) + v : v);
    }
};

struct copy_item {
    UM_HD float operator()(const float *x, int64_t, int64_t) const { return x[0]; }
};

/* A number of either type. */
UM_HD float read_as(const void *from, um_dtype type, int64_t i)
{
    return type == UM_BF16 ? um_from_bf16(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

/* Where our filter has (tap, c, k). */
UM_HD int64_t filter_at(const um_filter_shape &s, int64_t tap, int64_t c, int64_t k)
{
    return s.outer ? (k * s.taps + tap) * s.c + c : (tap * s.c + c) * s.k + k;
}

struct pack_filter {
    um_filter_shape s;
    const float *from;
    void *to;
    um_dtype type;
    UM_HD void operator()(int64_t i) const
    {
        um_split row(i, s.c_pad), filter(row.a, s.taps);
        int64_t c = row.b, tap = filter.b, k = filter.a;
        float v = c < s.c && k < s.k ? from[filter_at(s, tap, c, k)] : 0;
        if (type == UM_BF16)
            ((uint16_t *)to)[i] = um_to_bf16(v);
        else
            ((float *)to)[i] = v;
    }
};

struct unpack_filter {
    um_filter_shape s;
    const void *from;
    um_dtype type;
    float *to;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split row(i, s.k), place(row.a, s.c);
        int64_t k = row.b, c = place.b, tap = place.a, at = filter_at(s, tap, c, k);
        float v = read_as(from, type, (k * s.taps + tap) * s.c_pad + c);
        to[at] = accumulate ? to[at] + v : v;
    }
};

/* A square of 4 x 4 weights of one tap. The 32 items of a warp lie side by side as 4 squares along c and 8 along k: 128 bytes of
 * a row of ours, and a whole sector of a row of the library's. */
constexpr int TILE = 4;
constexpr int64_t TILES_C = 4, TILES_K = 8;

struct tile {
    int64_t tap, c, k;
    UM_HD tile(const um_filter_shape &s, int64_t i)
    {
        int64_t in_c = i / TILES_K % TILES_C, in_k = i % TILES_K, wide = (s.c + TILE * TILES_C - 1) / (TILE * TILES_C);
        um_split column(i / (TILES_C * TILES_K), wide), row(column.a, (s.k + TILE * TILES_K - 1) / (TILE * TILES_K));
        tap = row.a;
        c = (column.b * TILES_C + in_c) * TILE;
        k = (row.b * TILES_K + in_k) * TILE;
    }
    UM_HD bool inside(const um_filter_shape &s) const { return c < s.c && k < s.k; }
};

int64_t tile_items(const um_filter_shape &s)
{
    int64_t wide = (s.c + TILE * TILES_C - 1) / (TILE * TILES_C), high = (s.k + TILE * TILES_K - 1) / (TILE * TILES_K);
    return s.taps * wide * high * TILES_C * TILES_K;
}

/* [taps][C][K] to [K][taps][C]. */
template <class T> struct pack_tiles {
    um_filter_shape s;
    const float *from;
    T *to;
    UM_HD void operator()(int64_t i) const
    {
        tile t(s, i);
        float in[TILE][TILE], out[TILE];
        if (!t.inside(s))
            return;
        for (int a = 0; a < TILE; a++)
            um_load_four(from + (t.tap * s.c + t.c + a) * s.k + t.k, in[a]);
        for (int b = 0; b < TILE; b++) {
            for (int a = 0; a < TILE; a++)
                out[a] = in[a][b];
            um_store_four(to + ((t.k + b) * s.taps + t.tap) * s.c + t.c, out);
        }
    }
};

/* And back. */
template <class T> struct unpack_tiles {
    um_filter_shape s;
    const T *from;
    float *to;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        tile t(s, i);
        float in[TILE][TILE], out[TILE];
        if (!t.inside(s))
            return;
        for (int b = 0; b < TILE; b++)
            um_load_four(from + ((t.k + b) * s.taps + t.tap) * s.c + t.c, in[b]);
        for (int a = 0; a < TILE; a++) {
            float *row = to + (t.tap * s.c + t.c + a) * s.k + t.k;
            float old[TILE] = {0};
            if (accumulate)
                um_load_four(row, old);
            for (int b = 0; b < TILE; b++)
                out[b] = old[b] + in[b][a];
            um_store_four(row, out);
        }
    }
};

/* Whole squares and nothing padded: all filters but those of the first and the last layer. */
bool fits_tiles(const um_filter_shape &s, const float *ours)
{
    return !s.outer && s.c % TILE == 0 && s.k % TILE == 0 && s.c == s.c_pad && s.k == s.k_pad && (uintptr_t)ours % (TILE * sizeof *ours) == 0;
}

/* A filter whose order is the library's as a row of pixels. */
um_view filter_view(const um_filter_shape &s, const void *data, um_dtype type)
{
    um_view v = {(void *)data, type, 1, 1, s.k * s.taps, s.c, s.c};
    return v;
}

struct add_bias {
    const float *bias;
    UM_HD float operator()(const float *x, int64_t, int64_t k) const { return x[0] + bias[k]; }
};

}

um_status um_cuda_move(um_cuda *cu, const um_view *from, const um_view *to, bool accumulate)
{
    if (from->c == to->c)
        return um_map(cu, "layout", {from}, *to, accumulate, copy_item());
    return um_each(cu, "layout", um_view_count(to), move_item{*from, *to, accumulate});
}

um_status um_cuda_filter_pack(um_cuda *cu, const um_filter_shape *s, const float *from, void *to, um_dtype type)
{
    if (s->outer && s->c == s->c_pad && s->k == s->k_pad) {
        um_view ours = filter_view(*s, from, UM_F32), theirs = filter_view(*s, to, type);
        return um_map(cu, "layout", {&ours}, theirs, false, copy_item());
    }
    if (fits_tiles(*s, from) && type == UM_BF16)
        return um_each(cu, "layout", tile_items(*s), pack_tiles<uint16_t>{*s, from, (uint16_t *)to});
    if (fits_tiles(*s, from))
        return um_each(cu, "layout", tile_items(*s), pack_tiles<float>{*s, from, (float *)to});
    return um_each(cu, "layout", s->k_pad * s->taps * s->c_pad, pack_filter{*s, from, to, type});
}

um_status um_cuda_filter_unpack(um_cuda *cu, const um_filter_shape *s, const void *from, um_dtype type, float *to, bool accumulate)
{
    if (s->outer && s->c == s->c_pad && s->k == s->k_pad) {
        um_view theirs = filter_view(*s, from, type), ours = filter_view(*s, to, UM_F32);
        return um_map(cu, "layout", {&theirs}, ours, accumulate, copy_item());
    }
    if (fits_tiles(*s, to) && type == UM_BF16)
        return um_each(cu, "layout", tile_items(*s), unpack_tiles<uint16_t>{*s, (const uint16_t *)from, to, accumulate});
    if (fits_tiles(*s, to))
        return um_each(cu, "layout", tile_items(*s), unpack_tiles<float>{*s, (const float *)from, to, accumulate});
    return um_each(cu, "layout", s->taps * s->c * s->k, unpack_filter{*s, from, type, to, accumulate});
}

um_status um_cuda_bias_add(um_cuda *cu, const um_view *y, const float *bias)
{
    return um_map(cu, "bias", {y}, *y, false, add_bias{bias});
}
