/* Element by element: add, copy, fill, clip, bounds, activations, gates, dropout, tables added to every image (ops.h). */
#include "base/rng.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

struct identity {
    UM_HD float operator()(const float *x, int64_t, int64_t) const { return x[0]; }
};

struct sum {
    UM_HD float operator()(const float *x, int64_t, int64_t) const { return x[0] + x[1]; }
};

struct sum_f64 {
    um_view a, b, y;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c);
        ((double *)y.data)[at.a * y.ld + at.b] = ((const double *)a.data)[at.a * a.ld + at.b] + ((const double *)b.data)[at.a * b.ld + at.b];
    }
};

template <int V> struct constant {
    um_view y;
    float value;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        float v[V];
        for (int l = 0; l < V; l++)
            v[l] = value;
        um_store<V>(y, at.a, at.b * V, v);
    }
};

struct constant_f64 {
    um_view y;
    double value;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c);
        ((double *)y.data)[at.a * y.ld + at.b] = value;
    }
};

struct clip {
    float lo, hi;
    UM_HD float operator()(const float *x, int64_t, int64_t) const
    {
        float v = x[0] < lo ? lo : x[0];
        return v > hi ? hi : v;
    }
};

struct clip_slope {
    um_clip_rule rule;
    float lo, hi;
    UM_HD float operator()(const float *x, int64_t, int64_t) const
    {
        float v = x[0], g = x[1];
        bool inside = v >= lo && v <= hi;
        bool outward = (v >= hi && g < 0) || (v <= lo && g > 0);
        if (rule == UM_CLIP_MASKED)
            return inside ? g : 0;
        return rule == UM_CLIP_INWARD && outward ? 0 : g;
    }
};

struct act {
    um_act kind;
    UM_HD float operator()(const float *x, int64_t, int64_t) const
    {
        switch (kind) {
        case UM_ACT_RELU: return x[0] < 0 ? 0 : x[0];
        case UM_ACT_SIGMOID: return 1 / (1 + expf(-x[0]));
        default: return 0.5f * x[0] * (1 + erff(x[0] * 0.70710678118654752440f));
        }
    }
};

/* x[0]: dy; x[1]: the output of relu and sigmoid, the input of gelu. */
struct act_slope {
    um_act kind;
    UM_HD float operator()(const float *x, int64_t, int64_t) const
    {
        float t = x[1];
        switch (kind) {
        case UM_ACT_RELU: return t <= 0 ? 0 : x[0];
        case UM_ACT_SIGMOID: return x[0] * (t * (1 - t));
        default:
            return x[0] * (0.5f * (1 + erff(t * 0.70710678118654752440f)) + t * expf(-0.5f * t * t) * 0.39894228040143267794f);
        }
    }
};

struct gate {
    um_view m;
    UM_HD float operator()(const float *x, int64_t p, int64_t) const { return x[0] * um_get(m, p, 0); }
};

struct gate_product {
    um_view dy, x, dm;
    bool accumulate;
    UM_D void operator()(int64_t p, const um_warp &w) const
    {
        const um_view &g = dy, &v = x;
        double s = um_warp_sum(w, x.c, [&](int64_t k) { return (double)um_get(g, p, k) * (double)um_get(v, p, k); });
        if (w.leads())
            um_put(dm, p, 0, accumulate ? um_get(dm, p, 0) + (float)s : (float)s);
    }
};

/* Four neighbours share a draw: where a thread has all four, it is made once. */
template <class A> struct dropout {
    um_view x, y;
    bool accumulate;
    const um_cuda_step *step;
    uint32_t layer;
    float p, scale;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, x.c / A::V), image(at.a, x.h * x.w);
        int64_t k = at.b * A::V, e = image.b * x.c + k;
        uint64_t item = (uint64_t)layer << 32 | (uint64_t)(step->first + image.a);
        uint32_t words[4];
        float v[A::V], old[A::V] = {0};
        um_rng_words(step->seed, UM_RNG_DROPOUT, (uint32_t)(e / 4), item, step->step, words);
        A::load(x, at.a, k, v);
        if (accumulate)
            A::load(y, at.a, k, old);
        for (int l = 0; l < A::V; l++) {
            float kept = um_rng_unit(words[A::V == 4 ? l : (int)(e % 4)]) >= p ? v[l] * scale : 0;
            v[l] = accumulate ? old[l] + kept : kept;
        }
        A::store(y, at.a, k, v);
    }
};

struct embed {
    um_view e;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const { return x[0] + um_get(e, um_split(p, e.w).b, k); }
};

/* One channel of one token: images in order within a lane, lanes rounded to f32, then the tree. */
struct embed_sum {
    um_view dy, de;
    um_lanes lanes;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, de.c);
        float parts[UM_MAX_LANES];
        for (int l = 0; l < lanes.n; l++) {
            double s = 0;
            for (int64_t image = lanes.begin[l]; image < lanes.begin[l + 1]; image++)
                s += (double)um_get(dy, image * de.w + at.a, at.b);
            parts[l] = (float)s;
        }
        float s = um_tree(parts, lanes.n);
        um_put(de, at.a, at.b, accumulate ? um_get(de, at.a, at.b) + s : s);
    }
};

UM_HD float clip_to(float v, float b)
{
    v = v < -b ? -b : v;
    return v > b ? b : v;
}

struct bound {
    um_view b;
    um_bound_rule rule;
    float gain;
    UM_HD float operator()(const float *x, int64_t p, int64_t) const
    {
        float z = gain * x[0], limit = um_get(b, p, 0);
        switch (rule) {
        case UM_BOUND_BOX_TANH: return limit * tanhf(z);
        case UM_BOUND_TANH_THEN_CLIP: return clip_to(tanhf(z), limit);
        default: return clip_to(z, limit);
        }
    }
};

/* x[0]: z, x[1]: dd. dz = gain * rule(dd). */
struct bound_slope {
    um_view b;
    um_bound_rule rule;
    float gain;
    UM_HD float operator()(const float *x, int64_t p, int64_t) const
    {
        float z = gain * x[0], g = x[1], limit = um_get(b, p, 0), size = z < 0 ? -z : z;
        bool outward = (z >= limit && g < 0) || (z <= -limit && g > 0);
        float y = rule == UM_BOUND_BOX_TANH || rule == UM_BOUND_TANH_THEN_CLIP ? tanhf(z) : 0, d = (1 - y * y) * g;
        switch (rule) {
        case UM_BOUND_BOX_TANH: return gain * (limit * d);
        case UM_BOUND_TANH_THEN_CLIP: return (y < 0 ? -y : y) < limit ? gain * d : 0;
        case UM_BOUND_CLIP_MASKED: return size < limit ? gain * g : 0;
        case UM_BOUND_CLIP_STE: return limit > 0 ? gain * g : 0;
        default: return limit > 0 && !outward ? gain * g : 0;
        }
    }
};

}

UM_CUDA_OP(add)
{
    const um_view *a = &call->in[0], *b = &call->in[1], *y = &call->out[0];
    if (y->dtype == UM_F64)
        return um_each(cu, "add", um_view_count(y), sum_f64{*a, *b, *y});
    return um_map(cu, "add", {a, b}, *y, false, sum());
}

UM_CUDA_OP(copy)
{
    return um_map(cu, "copy", {&call->in[0]}, call->out[0], call->accumulate, identity());
}

UM_CUDA_OP(fill)
{
    const um_view *y = &call->out[0];
    if (y->dtype == UM_F64)
        return um_each(cu, "fill", um_view_count(y), constant_f64{*y, call->attr.fill.value});
    if (um_width(&y, 1) == 4)
        return um_each(cu, "fill", um_view_count(y) / 4, constant<4>{*y, (float)call->attr.fill.value});
    return um_each(cu, "fill", um_view_count(y), constant<1>{*y, (float)call->attr.fill.value});
}

UM_CUDA_OP(clip_fwd)
{
    return um_map(cu, "clip_fwd", {&call->in[0]}, call->out[0], false, clip{(float)call->attr.clip.lo, (float)call->attr.clip.hi});
}

UM_CUDA_OP(clip_bwd)
{
    clip_slope f = {call->attr.clip.rule, (float)call->attr.clip.lo, (float)call->attr.clip.hi};
    return um_map(cu, "clip_bwd", {&call->in[0], &call->in[1]}, call->out[0], call->accumulate, f);
}

UM_CUDA_OP(act_fwd)
{
    return um_map(cu, "act_fwd", {&call->in[0]}, call->out[0], false, act{call->attr.act.kind});
}

UM_CUDA_OP(act_bwd)
{
    return um_map(cu, "act_bwd", {&call->in[0], &call->in[1]}, call->out[0], call->accumulate, act_slope{call->attr.act.kind});
}

UM_CUDA_OP(gate_fwd)
{
    return um_map(cu, "gate_fwd", {&call->in[0]}, call->out[0], call->accumulate, gate{call->in[1]});
}

UM_CUDA_OP(gate_bwd_m)
{
    gate_product f = {call->in[0], call->in[1], call->out[0], call->accumulate};
    return um_each_warp(cu, "gate_bwd_m", um_view_pixels(&call->in[0]), f);
}

UM_CUDA_OP(dropout)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *const views[] = {x, y};
    double p = call->attr.dropout.p;
    return um_by_access(views, 2, [&](auto access) {
        using A = decltype(access);
        dropout<A> f = {*x, *y, call->accumulate, cu->step, call->attr.dropout.layer, (float)p, (float)(1 / (1 - p))};
        return um_each(cu, "dropout", um_view_count(x) / A::V, f);
    });
}

UM_CUDA_OP(embed_add)
{
    return um_map(cu, "embed_add", {&call->in[0]}, call->out[0], false, embed{call->in[1]});
}

UM_CUDA_OP(embed_bwd)
{
    embed_sum f = {call->in[0], call->out[0], um_lanes_of(call->batch), call->accumulate};
    return um_each(cu, "embed_bwd", um_view_count(&call->out[0]), f);
}

UM_CUDA_OP(bound_fwd)
{
    bound f = {call->in[1], call->attr.bound.rule, (float)call->attr.bound.gain};
    return um_map(cu, "bound_fwd", {&call->in[0]}, call->out[0], false, f);
}

UM_CUDA_OP(bound_bwd)
{
    bound_slope f = {call->in[1], call->attr.bound.rule, (float)call->attr.bound.gain};
    return um_map(cu, "bound_bwd", {&call->in[0], &call->in[2]}, call->out[0], call->accumulate, f);
}
