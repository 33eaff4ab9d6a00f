/* Sums with a fixed order (DESIGN D8, D9; ops.h). An image's pixels are dealt to `parts` threads per channel, pixel p to part
 * p % parts; parts are added in order within an image, images in order within a lane, lanes by the tree of um_tree_sum. The
 * number of
 * parts is a function of the shape of one image alone, so bits depend neither on the batch nor on the device. */
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

/* Threads per channel that share an image of `pixels` pixels: enough to fill a device with a batch of 16 and more. */
static inline int64_t um_sum_parts(int64_t pixels, int64_t c)
{
    int64_t groups = (c + 3) / 4, wanted = 2048 / groups, most = (pixels + 15) / 16;
    wanted = wanted > 256 ? 256 : wanted;
    wanted = wanted > most ? most : wanted;
    return wanted < 1 ? 1 : wanted;
}

/* Sums over the pixels of each image, W of them per channel, f(p, k, double *s) adding what element k of pixel p brings.
 * parts: f64 [images][parts][W][c]. Several pixels per turn keep several loads in flight; their order stays. */
template <int W, class F> struct um_part_sums {
    int64_t pixels, c, parts;
    double *to;
    F f;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, c), image(at.a, parts); /* at.b: channel; image.b: part */
        double s[W] = {0};
        int64_t first = image.a * pixels;
#ifdef __CUDA_ARCH__
#pragma unroll 4
#endif
        for (int64_t p = image.b; p < pixels; p += parts)
            f(first + p, at.b, s);
        for (int w = 0; w < W; w++)
            to[(at.a * W + w) * c + at.b] = s[w];
    }
};

/* sums: f64 [images][width], width = W * c: parts in order. */
struct um_image_sums {
    const double *from;
    int64_t parts, width;
    double *sums;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, width);
        double s = 0;
#ifdef __CUDA_ARCH__
#pragma unroll 8
#endif
        for (int64_t part = 0; part < parts; part++)
            s += from[(at.a * parts + part) * width + at.b];
        sums[i] = s;
    }
};

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
            parts[l] = 0;
            for (int64_t i = lanes.begin[l]; i < lanes.begin[l + 1]; i++)
                parts[l] += sums[i * width + k];
            narrow[l] = (float)parts[l];
        }
        if (rounded)
            rounded[k] = um_tree(narrow, lanes.n) + (accumulate ? rounded[k] : 0);
        if (out)
            out[k] = um_tree(parts, lanes.n);
    }
};

/* Bytes of workspace for um_sum_images, with room for the sums themselves when they have no other home. */
static inline size_t um_sum_bytes(int64_t images, int64_t pixels, int64_t c, int w)
{
    return (size_t)(images * (um_sum_parts(pixels, c) + 1) * w * c) * sizeof(double);
}

/* sums: [images][W][c], in front of the parts in the workspace when NULL. Returns where they are in *at. */
template <int W, class F> um_status um_sum_images(const um_cuda *cu, const char *op, int64_t images, int64_t pixels, int64_t c,
    void *workspace, double *sums, const F &f, double **at)
{
    int64_t parts = um_sum_parts(pixels, c), width = W * c;
    double *own = (double *)workspace, *to = sums ? sums : own;
    um_part_sums<W, F> deal = {pixels, c, parts, own + images * width, f};
    um_image_sums gather = {own + images * width, parts, width, to};
    um_status rc = um_each(cu, op, images * parts * c, deal);
    if (rc == UM_OK)
        rc = um_each(cu, op, images * width, gather);
    if (at)
        *at = to;
    return rc;
}

#endif
