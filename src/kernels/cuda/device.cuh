/* How a kernel of ours is written, once, for the device and for the host.
 *
 * A kernel is a struct with its operands and a function operator()(int64_t i) that does item i of n; um_each launches it over all
 * items. Items are independent, and none waits for another: so the same source, compiled by a host compiler with UM_CUDA_HOST,
 * does the items in a
 * loop, and the tests compare every kernel with its oracle on machines without a device. What needs a whole warp (sums along a
 * row) is written in terms of um_warp, whose host form does the 32 lanes in turn and adds in the same order. There is no shared
 * memory and no atomic operation anywhere: sums have a fixed order that is a function of the shapes.
 *
 * Numbers in memory are f32 or bf16, by the view's dtype; arithmetic is f32, sums are f64. A thread moves V neighbouring channels
 * (4 where the extents and addresses of all operands allow it, else 1), which never changes a bit of the result. */
#ifndef UM_KERNELS_CUDA_DEVICE_CUH
#define UM_KERNELS_CUDA_DEVICE_CUH

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cuda/runtime.h"
#include "kernels/cuda/table.h"

#ifdef UM_CUDA_HOST
#define UM_HD inline
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#define UM_HD __host__ __device__ __forceinline__
#endif

/* ---- numbers ---- */

UM_HD float um_bits_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

UM_HD uint32_t um_float_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

UM_HD float um_from_bf16(uint16_t h)
{
    return um_bits_float((uint32_t)h << 16);
}

/* To the nearest, ties to even; NaN stays NaN. */
UM_HD uint16_t um_to_bf16(float f)
{
#ifdef __CUDA_ARCH__
    return __bfloat16_as_ushort(__float2bfloat16_rn(f));
#else
    uint32_t bits = um_float_bits(f);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
#endif
}

/* ---- views ---- */

/* Element k of pixel p. */
UM_HD float um_get(const um_view &v, int64_t p, int64_t k)
{
    int64_t i = p * v.ld + k;
    return v.dtype == UM_BF16 ? um_from_bf16(((const uint16_t *)v.data)[i]) : ((const float *)v.data)[i];
}

UM_HD void um_put(const um_view &v, int64_t p, int64_t k, float x)
{
    int64_t i = p * v.ld + k;
    if (v.dtype == UM_BF16)
        ((uint16_t *)v.data)[i] = um_to_bf16(x);
    else
        ((float *)v.data)[i] = x;
}

/* Four neighbours in one access of 16, 8 or 4 bytes, where the address is a multiple of that. The compiler takes stores of
 * vector types apart again: hence the intrinsics. */
UM_HD void um_load_four(const float *from, float *x)
{
#ifdef __CUDA_ARCH__
    float4 four = *(const float4 *)from;
    x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
#else
    memcpy(x, from, 4 * sizeof *x);
#endif
}

UM_HD void um_store_four(float *to, const float *x)
{
#ifdef __CUDA_ARCH__
    __stwb((float4 *)to, make_float4(x[0], x[1], x[2], x[3]));
#else
    memcpy(to, x, 4 * sizeof *x);
#endif
}

UM_HD void um_load_four(const uint16_t *from, float *x)
{
    uint32_t pair[2];
#ifdef __CUDA_ARCH__
    uint2 four = *(const uint2 *)from;
    pair[0] = four.x, pair[1] = four.y;
#else
    memcpy(pair, from, sizeof pair);
#endif
    for (int l = 0; l < 2; l++) {
        x[2 * l] = um_bits_float(pair[l] << 16);
        x[2 * l + 1] = um_bits_float(pair[l] & 0xFFFF0000u);
    }
}

UM_HD void um_store_four(uint16_t *to, const float *x)
{
    uint32_t pair[2];
    for (int l = 0; l < 2; l++)
        pair[l] = (uint32_t)um_to_bf16(x[2 * l]) | (uint32_t)um_to_bf16(x[2 * l + 1]) << 16;
#ifdef __CUDA_ARCH__
    __stwb((uint2 *)to, make_uint2(pair[0], pair[1]));
#else
    memcpy(to, pair, sizeof pair);
#endif
}

/* V elements from k on. V = 4 needs what um_width checks. */
template <int V> UM_HD void um_load(const um_view &v, int64_t p, int64_t k, float *x)
{
    int64_t i = p * v.ld + k;
    if (V == 1)
        x[0] = um_get(v, p, k);
    else if (v.dtype == UM_BF16)
        um_load_four((const uint16_t *)v.data + i, x);
    else
        um_load_four((const float *)v.data + i, x);
}

template <int V> UM_HD void um_store(const um_view &v, int64_t p, int64_t k, const float *x)
{
    int64_t i = p * v.ld + k;
    if (V == 1)
        um_put(v, p, k, x[0]);
    else if (v.dtype == UM_BF16)
        um_store_four((uint16_t *)v.data + i, x);
    else
        um_store_four((float *)v.data + i, x);
}

static inline bool um_four_fit(const um_view *v)
{
    size_t bytes = v->dtype == UM_U8 ? 4 : 4 * um_dtype_bytes(v->dtype);
    return v->c % 4 == 0 && v->ld % 4 == 0 && (uintptr_t)v->data % bytes == 0;
}

/* Channels per thread: 4 if all n views allow it. */
static inline int um_width(const um_view *const *views, int n)
{
    for (int i = 0; i < n; i++)
        if (!um_four_fit(views[i]))
            return 1;
    return 4;
}

/* V neighbouring channels of a view whose type and width are known where the kernel is compiled, and the kind for all others. */
template <class T> struct um_quad {
    static constexpr int V = 4;
    static UM_HD void load(const um_view &v, int64_t p, int64_t k, float *x) { um_load_four((const T *)v.data + p * v.ld + k, x); }
    static UM_HD void store(const um_view &v, int64_t p, int64_t k, const float *x) { um_store_four((T *)v.data + p * v.ld + k, x); }
};
typedef um_quad<float> um_quad_f32;
typedef um_quad<uint16_t> um_quad_bf16;

struct um_single {
    static constexpr int V = 1;
    static UM_HD void load(const um_view &v, int64_t p, int64_t k, float *x) { x[0] = um_get(v, p, k); }
    static UM_HD void store(const um_view &v, int64_t p, int64_t k, const float *x) { um_put(v, p, k, x[0]); }
};

/* g(A()) for the kind A that suits all n views. */
template <class G> um_status um_by_access(const um_view *const *views, int n, const G &g)
{
    bool f32 = um_width(views, n) == 4, bf16 = f32;
    for (int i = 0; i < n; i++) {
        f32 = f32 && views[i]->dtype == UM_F32;
        bf16 = bf16 && views[i]->dtype == UM_BF16;
    }
    return f32 ? g(um_quad_f32()) : bf16 ? g(um_quad_bf16()) : g(um_single());
}

/* i = a * n + b with 0 <= b < n, by 32-bit division where that does. */
struct um_split {
    int64_t a, b;
    UM_HD um_split(int64_t i, int64_t n)
    {
        if ((uint64_t)(i | n) >> 32 == 0) {
            uint32_t q = (uint32_t)i / (uint32_t)n;
            a = q;
            b = (uint32_t)i - q * (uint32_t)n;
        } else {
            a = i / n;
            b = i - a * n;
        }
    }
};

/* ---- launches ---- */

#ifdef UM_CUDA_HOST

/* A launch of the host form: done at once, or kept while a capture is on (tests/kernels/cuda_host). */
extern "C" void um_host_launch(void (*run)(const void *job), const void *job, size_t bytes);

template <class F> struct um_host_job {
    F f;
    int64_t n;
    static void run(const void *job)
    {
        const um_host_job *j = (const um_host_job *)job;
        for (int64_t i = 0; i < j->n; i++)
            j->f(i);
    }
};

template <class F> um_status um_each(const um_cuda *cu, const char *op, int64_t n, const F &f)
{
    um_host_job<F> job = {f, n};
    (void)cu;
    um_host_launch(um_host_job<F>::run, &job, sizeof job);
    return um_dev_launched(op);
}

#else

constexpr int UM_BLOCK = 256;
constexpr int64_t UM_MAX_BLOCKS = 1 << 16;

template <class F> __global__ void __launch_bounds__(UM_BLOCK) um_each_kernel(const F f, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * UM_BLOCK;
    for (int64_t i = (int64_t)blockIdx.x * UM_BLOCK + threadIdx.x; i < n; i += step)
        f(i);
}

template <class F> um_status um_each(const um_cuda *cu, const char *op, int64_t n, const F &f)
{
    int64_t blocks = (n + UM_BLOCK - 1) / UM_BLOCK;
    if (n == 0)
        return UM_OK;
    um_each_kernel<F><<<(unsigned)(blocks < UM_MAX_BLOCKS ? blocks : UM_MAX_BLOCKS), UM_BLOCK, 0,
        (cudaStream_t)um_dev_stream(cu->dev)>>>(f, n);
    return um_dev_launched(op);
}

#endif

/* ---- warps ---- */

constexpr int UM_WARP = 32;

/* The 32 lanes that share an item of um_each_warp. Values and side effects of a lane come from the function of its number. */
struct um_warp {
#ifdef UM_CUDA_HOST
    template <class G> void each(int64_t n, const G &g) const /* g(k) for k in [0, n), spread over the lanes */
    {
        for (int64_t k = 0; k < n; k++)
            g(k);
    }
    template <class T, class G, class Join> T fold(int64_t n, T start, const G &g, const Join &join) const
    {
        T lanes[UM_WARP], next[UM_WARP];
        for (int l = 0; l < UM_WARP; l++) {
            lanes[l] = start;
            for (int64_t k = l; k < n; k += UM_WARP)
                lanes[l] = join(lanes[l], g(k));
        }
        for (int step = UM_WARP / 2; step > 0; step /= 2) {
            for (int l = 0; l < UM_WARP; l++)
                next[l] = join(lanes[l], lanes[l ^ step]);
            memcpy(lanes, next, sizeof lanes);
        }
        return lanes[0];
    }
    bool leads() const { return true; }
#else
    int lane;
    template <class G> __device__ __forceinline__ void each(int64_t n, const G &g) const
    {
        for (int64_t k = lane; k < n; k += UM_WARP)
            g(k);
    }
    template <class T, class G, class Join> __device__ __forceinline__ T fold(int64_t n, T start, const G &g,
        const Join &join) const
    {
        T own = start;
        for (int64_t k = lane; k < n; k += UM_WARP)
            own = join(own, g(k));
        for (int step = UM_WARP / 2; step > 0; step /= 2)
            own = join(own, __shfl_xor_sync(0xFFFFFFFFu, own, step));
        return own;
    }
    __device__ __forceinline__ bool leads() const { return lane == 0; }
#endif
};

#ifdef UM_CUDA_HOST
#define UM_D inline
#else
#define UM_D __device__ __forceinline__
#endif

struct um_plus {
    UM_D double operator()(double a, double b) const { return a + b; }
};
struct um_larger {
    UM_D float operator()(float a, float b) const { return b > a ? b : a; }
};

/* Sum over k in [0, n) of g(k), every lane gets it: strided partial sums, then a butterfly. */
template <class G> UM_D double um_warp_sum(const um_warp &w, int64_t n, const G &g)
{
    return w.fold(n, 0.0, g, um_plus());
}

/* f(i, warp) for every i in [0, n), a warp each. */
#ifdef UM_CUDA_HOST

template <class F> struct um_host_warp_item {
    F f;
    void operator()(int64_t i) const { f(i, um_warp()); }
};

template <class F> um_status um_each_warp(const um_cuda *cu, const char *op, int64_t n, const F &f)
{
    return um_each(cu, op, n, um_host_warp_item<F>{f});
}

#else

template <class F> __global__ void __launch_bounds__(UM_BLOCK) um_each_warp_kernel(const F f, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * (UM_BLOCK / UM_WARP);
    um_warp w = {(int)(threadIdx.x % UM_WARP)};
    for (int64_t i = (int64_t)blockIdx.x * (UM_BLOCK / UM_WARP) + threadIdx.x / UM_WARP; i < n; i += step)
        f(i, w);
}

template <class F> um_status um_each_warp(const um_cuda *cu, const char *op, int64_t n, const F &f)
{
    int64_t per_block = UM_BLOCK / UM_WARP, blocks = (n + per_block - 1) / per_block;
    if (n == 0)
        return UM_OK;
    um_each_warp_kernel<F><<<(unsigned)(blocks < UM_MAX_BLOCKS ? blocks : UM_MAX_BLOCKS), UM_BLOCK, 0,
        (cudaStream_t)um_dev_stream(cu->dev)>>>(f, n);
    return um_dev_launched(op);
}

#endif

/* ---- maps: y[p][k] = f(x0[p][k], x1[p][k], ...; p, k), perhaps added to what is there ---- */

/* f(const float *x, int64_t p, int64_t k): x[j] from in[j]. Reads an element before it writes it, so out may be in[0]. */
template <int V, int N, class F> struct um_map_items {
    um_view in[N], out;
    bool accumulate;
    F f;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, out.c / V);
        int64_t p = at.a, k = at.b * V;
        float x[N][V], y[V] = {0};
        for (int j = 0; j < N; j++)
            um_load<V>(in[j], p, k, x[j]);
        if (accumulate)
            um_load<V>(out, p, k, y);
        for (int l = 0; l < V; l++) {
            float operands[N];
            for (int j = 0; j < N; j++)
                operands[j] = x[j][l];
            float value = f(operands, p, k + l);
            y[l] = accumulate ? y[l] + value : value;
        }
        um_store<V>(out, p, k, y);
    }
};

template <int N, class F> um_status um_map(const um_cuda *cu, const char *op, const um_view *const (&in)[N], const um_view &out,
    bool accumulate, const F &f)
{
    const um_view *all[N + 1];
    for (int j = 0; j < N; j++)
        all[j] = in[j];
    all[N] = &out;
    if (um_width(all, N + 1) == 4) {
        um_map_items<4, N, F> items = {{}, out, accumulate, f};
        for (int j = 0; j < N; j++)
            items.in[j] = *in[j];
        return um_each(cu, op, um_view_pixels(&out) * (out.c / 4), items);
    }
    um_map_items<1, N, F> items = {{}, out, accumulate, f};
    for (int j = 0; j < N; j++)
        items.in[j] = *in[j];
    return um_each(cu, op, um_view_pixels(&out) * out.c, items);
}

#endif
