/* Sums with a fixed order (DESIGN D8, D9; ops.h). An image's pixels are dealt to `parts` threads per channel, pixel p to part
 * p % parts; an image's parts are added by um_image_sums, images in order within a lane, lanes by the tree of um_tree_sum. The number
 * of parts is a function of the shape of one image alone, so bits depend neither on the batch nor on the device. */
#ifndef UM_KERNELS_CUDA_LANES_CUH
#define UM_KERNELS_CUDA_LANES_CUH

#include "kernels/cuda/device.cuh"

/* The lanes of a um_batch, by value. */
struct um_lanes {
    int n;
    int32_t begin[UM_MAX_LANES + 1];
};

static inline um_lanes um_lanes_of(const um_batch *batch)
{
    um_lanes l = {batch->n_lanes, {0}};
    for (int i = 0; i <= batch->n_lanes; i++)
        l.begin[i] = (int32_t)batch->lane_begin[i];
    return l;
}

/* um_tree_sum over n values. */
template <class T> UM_HD T um_tree(T *parts, int n)
{
    for (int step = 1; step < n; step *= 2)
        for (int i = 0; i + step < n; i += 2 * step)
            parts[i] += parts[i + step];
    return parts[0];
}

/* Threads that share the channels of an image, four channels each, and of those the parts: enough to fill a device with a batch of 16
 * and more, few enough that adding their sums up costs nothing beside reading the image. */
constexpr int64_t UM_SUM_THREADS = 4096, UM_SUM_PARTS = 512, UM_SUM_PIXELS = 16; /* the last: at least, per part */

static inline int64_t um_sum_parts(int64_t pixels, int64_t c)
{
    int64_t wanted = UM_SUM_THREADS / ((c + 3) / 4), most = (pixels + UM_SUM_PIXELS - 1) / UM_SUM_PIXELS;
    wanted = wanted > UM_SUM_PARTS ? UM_SUM_PARTS : wanted;
    wanted = wanted > most ? most : wanted;
    return wanted < 1 ? 1 : wanted;
}

/* Sums of W values over the pixels of each image, f(p, double *s) adding what pixel p brings. parts: f64 [images][W][parts]. */
template <int W, class F> struct um_pixel_parts {
    int64_t pixels, parts;
    double *to;
    F f;
    UM_HD void operator()(int64_t i) const
    {
        um_split image(i, parts);
        double s[W] = {0};
        int64_t first = image.a * pixels;
#ifdef __CUDA_ARCH__
#pragma unroll 4
#endif
        for (int64_t p = image.b; p < pixels; p += parts)
            f(first + p, s);
        for (int w = 0; w < W; w++)
            to[(image.a * W + w) * parts + image.b] = s[w];
    }
};

/* The same for every channel of N views: a thread has A::V channels to itself (um_quad_f32 and its kind), for which it makes
 * an F::column<V>(f, image, k), and reads several pixels before it adds them, so that several loads are on their way.
 * column.add(l, x, p, s): what x[0..N-1], element k + l of pixel p, bring. parts: f64 [images][W][c][parts]. */
constexpr int UM_TURN = 4;

template <class A, int N, int W, class F> struct um_column_parts {
    um_view in[N];
    int64_t pixels, parts;
    double *to;
    F f;
    template <int U, class C> UM_HD void turn(const C &own, int64_t p, int64_t k, double (&s)[A::V][W]) const
    {
        float x[U][N][A::V];
        for (int u = 0; u < U; u++)
            for (int j = 0; j < N; j++)
                A::load(in[j], p + u * parts, k, x[u][j]);
        for (int u = 0; u < U; u++)
            for (int l = 0; l < A::V; l++) {
                float operands[N];
                for (int j = 0; j < N; j++)
                    operands[j] = x[u][j][l];
                own.add(l, operands, p + u * parts, s[l]);
            }
    }
    UM_HD void operator()(int64_t i) const
    {
        int64_t c = in[0].c;
        um_split group(i, c / A::V), part(group.a, parts);
        int64_t k = group.b * A::V, p = part.a * pixels + part.b, end = (part.a + 1) * pixels;
        typename F::template column<A::V> own(f, part.a, k);
        double s[A::V][W] = {};
        for (; p + (UM_TURN - 1) * parts < end; p += UM_TURN * parts)
            turn<UM_TURN>(own, p, k, s);
        for (; p < end; p += parts)
            turn<1>(own, p, k, s);
        for (int w = 0; w < W; w++)
            for (int l = 0; l < A::V; l++)
                to[((part.a * W + w) * c + k + l) * parts + part.b] = s[l][w];
    }
};

/* Sums and sums of squares. */
struct um_moments {
    template <int V> struct column {
        UM_HD column(const um_moments &, int64_t, int64_t) {}
        UM_HD void add(int, const float *x, int64_t, double *s) const
        {
            double v = (double)x[0];
            s[0] += v;
            s[1] += v * v;
        }
    };
};

/* sums[i] of the parts from[i][parts]: a warp for many, a thread for few. */
constexpr int64_t UM_FEW_PARTS = 16;

struct um_image_sums {
    const double *from;
    int64_t parts;
    double *sums;
    UM_D void operator()(int64_t i, const um_warp &w) const
    {
        const double *own = from + i * parts;
        double s = um_warp_sum(w, parts, [&](int64_t part) { return own[part]; });
        if (w.leads())
            sums[i] = s;
    }
};

struct um_image_sums_few {
    const double *from;
    int64_t parts;
    double *sums;
    UM_HD void operator()(int64_t i) const
    {
        double s = 0;
#ifdef __CUDA_ARCH__
#pragma unroll 8
#endif
        for (int64_t part = 0; part < parts; part++)
            s += from[i * parts + part];
        sums[i] = s;
    }
};

static inline um_status um_join_parts(const um_cuda *cu, const char *op, int64_t n, const double *from, int64_t parts, double *sums)
{
    if (parts <= UM_FEW_PARTS)
        return um_each(cu, op, n, um_image_sums_few{from, parts, sums});
    return um_each_warp(cu, op, n, um_image_sums{from, parts, sums});
}

/* Images to lanes to the whole: out[k] in f64, and rounded[k], where every lane is rounded to f32 first, as a gradient that travels
 * between ranks is. Either may be NULL. */
struct um_lane_sums {
    const double *sums; /* [images][width] */
    int64_t width;
    um_lanes lanes;
    double *out;
    float *rounded;
    bool accumulate; /* rounded += */
    UM_HD void operator()(int64_t k) const
    {
        double parts[UM_MAX_LANES];
        float narrow[UM_MAX_LANES];
        for (int l = 0; l < lanes.n; l++) {
            double s = 0;
#ifdef __CUDA_ARCH__
#pragma unroll 8
#endif
            for (int64_t i = lanes.begin[l]; i < lanes.begin[l + 1]; i++)
                s += sums[i * width + k];
            parts[l] = s;
            narrow[l] = (float)s;
        }
        if (rounded)
            rounded[k] = um_tree(narrow, lanes.n) + (accumulate ? rounded[k] : 0);
        if (out)
            out[k] = um_tree(parts, lanes.n);
    }
};

/* Bytes of workspace for sums of W values over images of so many pixels and channels, with room for the sums themselves when they
 * have no other home. Pixel sums: c = 1. */
static inline size_t um_sum_bytes(int64_t images, int64_t pixels, int64_t c, int w)
{
    return (size_t)(images * (um_sum_parts(pixels, c) + 1) * w * c) * sizeof(double);
}

/* sums: [images][W]. workspace: um_sum_bytes. */
template <int W, class F> um_status um_sum_pixels(const um_cuda *cu, const char *op, int64_t images, int64_t pixels, void *workspace,
    double *sums, const F &f)
{
    int64_t parts = um_sum_parts(pixels, 1);
    double *own = (double *)workspace;
    um_pixel_parts<W, F> deal = {pixels, parts, own, f};
    um_status rc = um_each(cu, op, images * parts, deal);
    return rc == UM_OK ? um_join_parts(cu, op, images * W, own, parts, sums) : rc;
}

/* sums: [images][W][c], in front of the parts in the workspace when NULL. *at, unless NULL: where they are. */
template <int W, int N, class F> um_status um_sum_columns(const um_cuda *cu, const char *op, const um_view *const (&in)[N],
    void *workspace, double *sums, const F &f, double **at)
{
    int64_t images = in[0]->n, pixels = in[0]->h * in[0]->w, c = in[0]->c, parts = um_sum_parts(pixels, c);
    double *own = (double *)workspace, *to = sums ? sums : own, *deal = own + images * W * c;
    um_status rc = um_by_access(in, N, [&](auto access) {
        using A = decltype(access);
        um_column_parts<A, N, W, F> items = {{}, pixels, parts, deal, f};
        for (int j = 0; j < N; j++)
            items.in[j] = *in[j];
        return um_each(cu, op, images * parts * (c / A::V), items);
    });
    if (rc == UM_OK)
        rc = um_join_parts(cu, op, images * W * c, deal, parts, to);
    if (at)
        *at = to;
    return rc;
}

/* ---- maps whose numbers depend on the channel, and perhaps on the image, but not on the pixel ---- */

/* out[p][k + l] = column.at(l, x), or is increased by it; x and column as in um_column_parts. Reads a pixel before it writes it, so out may be in[0]. */
template <class A, int N, class F> struct um_column_items {
    um_view in[N], out;
    bool accumulate;
    int64_t pixels, parts;
    F f;
    template <int U, class C> UM_HD void turn(const C &own, int64_t p, int64_t k) const
    {
        float x[U][N][A::V], y[U][A::V];
        for (int u = 0; u < U; u++)
            for (int j = 0; j < N; j++)
                A::load(in[j], p + u * parts, k, x[u][j]);
        for (int u = 0; u < U; u++)
            if (accumulate)
                A::load(out, p + u * parts, k, y[u]);
        for (int u = 0; u < U; u++)
            for (int l = 0; l < A::V; l++) {
                float operands[N];
                for (int j = 0; j < N; j++)
                    operands[j] = x[u][j][l];
                float value = own.at(l, operands);
                y[u][l] = accumulate ? y[u][l] + value : value;
            }
        for (int u = 0; u < U; u++)
            A::store(out, p + u * parts, k, y[u]);
    }
    UM_HD void operator()(int64_t i) const
    {
        um_split group(i, out.c / A::V), part(group.a, parts);
        int64_t k = group.b * A::V, p = part.a * pixels + part.b, end = (part.a + 1) * pixels;
        typename F::template column<A::V> own(f, part.a, k);
        for (; p + (UM_TURN - 1) * parts < end; p += UM_TURN * parts)
            turn<UM_TURN>(own, p, k);
        for (; p < end; p += parts)
            turn<1>(own, p, k);
    }
};

/* Pixels of a thread: its column is made once for all, but a device wants a quarter of a million threads first. */
constexpr int64_t UM_MAP_THREADS = 1 << 18, UM_MAP_PIXELS = 16;

template <int N, class F> um_status um_map_columns(const um_cuda *cu, const char *op, const um_view *const (&in)[N], const um_view &out,
    bool accumulate, const F &f)
{
    const um_view *all[N + 1];
    int64_t pixels = out.h * out.w;
    for (int j = 0; j < N; j++)
        all[j] = in[j];
    all[N] = &out;
    return um_by_access(all, N + 1, [&](auto access) {
        using A = decltype(access);
        int64_t groups = out.c / A::V, each = out.n * pixels * groups / UM_MAP_THREADS;
        each = each < 1 ? 1 : each > UM_MAP_PIXELS ? UM_MAP_PIXELS : each;
        int64_t parts = (pixels + each - 1) / each;
        um_column_items<A, N, F> items = {{}, out, accumulate, pixels, parts, f};
        for (int j = 0; j < N; j++)
            items.in[j] = *in[j];
        return um_each(cu, op, out.n * parts * groups, items);
    });
}

#endif
