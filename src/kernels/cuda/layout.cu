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
    return um_each(cu, "layout", s->k_pad * s->taps * s->c_pad, pack_filter{*s, from, to, type});
}

um_status um_cuda_filter_unpack(um_cuda *cu, const um_filter_shape *s, const void *from, um_dtype type, float *to, bool accumulate)
{
    return um_each(cu, "layout", s->taps * s->c * s->k, unpack_filter{*s, from, type, to, accumulate});
}

um_status um_cuda_bias_add(um_cuda *cu, const um_view *y, const float *bias)
{
    return um_map(cu, "bias", {y}, *y, false, add_bias{bias});
}
