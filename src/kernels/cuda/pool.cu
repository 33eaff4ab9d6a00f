/* Windows: max and mean pooling, patches, upsampling by two, pads and crops (ops.h). Gradients gather; nothing is scattered. */
#include "kernels/cuda/device.cuh"

namespace {

/* Pixel p of a view as image, row and column. */
struct place {
    int64_t image, row, col;
    UM_HD place(const um_view &v, int64_t p)
    {
        um_split rows(p, v.w), images(rows.a, v.h);
        image = images.a;
        row = images.b;
        col = rows.b;
    }
};

UM_HD int64_t pixel_of(const um_view &v, int64_t image, int64_t row, int64_t col)
{
    return (image * v.h + row) * v.w + col;
}

struct window {
    int64_t size, stride, pad;
};

template <int V> struct maxpool {
    um_view x, y, which;
    window o;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        float best[V] = {0}, v[V];
        uint8_t from[V] = {0};
        bool first = true;
        for (int64_t t = 0; t < o.size * o.size; t++) {
            int64_t row = out.row * o.stride - o.pad + t / o.size, col = out.col * o.stride - o.pad + t % o.size;
            if (row < 0 || col < 0 || row >= x.h || col >= x.w)
                continue;
            um_load<V>(x, pixel_of(x, out.image, row, col), k, v);
            for (int l = 0; l < V; l++) {
                bool take = first || (!(v[l] <= best[l]) && best[l] == best[l]);
                best[l] = take ? v[l] : best[l];
                from[l] = take ? (uint8_t)t : from[l];
            }
            first = false;
        }
        um_store<V>(y, p, k, best);
        for (int l = 0; l < V; l++)
            ((uint8_t *)which.data)[p * which.ld + k + l] = from[l];
    }
};

template <int V> struct unpool {
    um_view dy, which, dx;
    window o;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c / V);
        int64_t p = at.a, k = at.b * V;
        place in(dx, p);
        float sum[V] = {0}, g[V];
        if (accumulate)
            um_load<V>(dx, p, k, sum);
        for (int64_t t = 0; t < o.size * o.size; t++) {
            int64_t row = in.row + o.pad - t / o.size, col = in.col + o.pad - t % o.size;
            if (row < 0 || col < 0 || row % o.stride || col % o.stride || row / o.stride >= dy.h || col / o.stride >= dy.w)
                continue;
            int64_t q = pixel_of(dy, in.image, row / o.stride, col / o.stride);
            um_load<V>(dy, q, k, g);
            for (int l = 0; l < V; l++)
                sum[l] += ((const uint8_t *)which.data)[q * which.ld + k + l] == t ? g[l] : 0;
        }
        um_store<V>(dx, p, k, sum);
    }
};

/* Means over windows of h x w pixels that do not overlap; their sum in f64, row by row. */
template <int V> struct mean_pool {
    um_view x, y;
    int64_t h, w;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        double sum[V] = {0};
        float v[V];
        for (int64_t row = out.row * h; row < (out.row + 1) * h; row++)
            for (int64_t col = out.col * w; col < (out.col + 1) * w; col++) {
                um_load<V>(x, pixel_of(x, out.image, row, col), k, v);
                for (int l = 0; l < V; l++)
                    sum[l] += (double)v[l];
            }
        for (int l = 0; l < V; l++)
            v[l] = (float)(sum[l] / (double)(h * w));
        um_store<V>(y, p, k, v);
    }
};

/* Pixels outside every window get nothing. */
template <int V> struct mean_unpool {
    um_view dy, dx;
    int64_t h, w;
    float share;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c / V);
        int64_t p = at.a, k = at.b * V;
        place in(dx, p);
        int64_t row = in.row / h, col = in.col / w;
        float g[V] = {0}, old[V] = {0};
        if (row < dy.h && col < dy.w)
            um_load<V>(dy, pixel_of(dy, in.image, row, col), k, g);
        if (accumulate)
            um_load<V>(dx, p, k, old);
        for (int l = 0; l < V; l++)
            g[l] = accumulate ? old[l] + share * g[l] : share * g[l];
        um_store<V>(dx, p, k, g);
    }
};

struct patches {
    um_view x, y;
    window o;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c), tap(at.b, x.c), uv(tap.a, o.size);
        place out(y, at.a);
        int64_t row = out.row * o.stride - o.pad + uv.a, col = out.col * o.stride - o.pad + uv.b;
        bool inside = row >= 0 && col >= 0 && row < x.h && col < x.w;
        um_put(y, at.a, at.b, inside ? um_get(x, pixel_of(x, out.image, row, col), tap.b) : 0);
    }
};

struct patches_bwd {
    um_view dy, dx;
    window o;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c);
        place in(dx, at.a);
        float sum = accumulate ? um_get(dx, at.a, at.b) : 0;
        for (int64_t t = 0; t < o.size * o.size; t++) {
            int64_t row = in.row + o.pad - t / o.size, col = in.col + o.pad - t % o.size;
            if (row < 0 || col < 0 || row % o.stride || col % o.stride || row / o.stride >= dy.h || col / o.stride >= dy.w)
                continue;
            sum += um_get(dy, pixel_of(dy, in.image, row / o.stride, col / o.stride), t * dx.c + at.b);
        }
        um_put(dx, at.a, at.b, sum);
    }
};

/* Where output o of an axis of `in` inputs reads: (1-l)*x[i0] + l*x[i1]; o lies at o*(in-1)/(2*in-1). */
struct axis_point {
    int64_t i0, i1;
    float l;
    UM_HD axis_point(int64_t o, int64_t in)
    {
        int64_t out = 2 * in;
        um_split at(o * (in - 1), out - 1);
        i0 = at.a;
        i1 = i0 + 1 < in ? i0 + 1 : i0;
        l = (float)((double)at.b / (double)(out - 1));
    }
};

template <int V> struct bilinear {
    um_view x, y;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        axis_point row(out.row, x.h), col(out.col, x.w);
        float x00[V], x01[V], x10[V], x11[V], v[V];
        um_load<V>(x, pixel_of(x, out.image, row.i0, col.i0), k, x00);
        um_load<V>(x, pixel_of(x, out.image, row.i0, col.i1), k, x01);
        um_load<V>(x, pixel_of(x, out.image, row.i1, col.i0), k, x10);
        um_load<V>(x, pixel_of(x, out.image, row.i1, col.i1), k, x11);
        for (int l = 0; l < V; l++) {
            float top = x00[l] + col.l * (x01[l] - x00[l]), bottom = x10[l] + col.l * (x11[l] - x10[l]);
            v[l] = top + row.l * (bottom - top);
        }
        um_store<V>(y, p, k, v);
    }
};

template <int V> struct nearest {
    um_view x, y;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        place out(y, at.a);
        float v[V];
        um_load<V>(x, pixel_of(x, out.image, out.row / 2, out.col / 2), at.b * V, v);
        um_store<V>(y, at.a, at.b * V, v);
    }
};

/* Which outputs read input i of an axis, and with which weight: at most those from 2i-3 to 2i+3. */
enum { MAX_TAPS = 7 };
struct axis_taps {
    int64_t first;
    int n;
    float weight[MAX_TAPS];
    UM_HD axis_taps(um_upsample_mode mode, int64_t i, int64_t in)
    {
        first = 2 * i;
        n = 2;
        for (int t = 0; t < MAX_TAPS; t++)
            weight[t] = 1;
        if (mode == UM_UPSAMPLE_NEAREST)
            return;
        n = 0;
        for (int64_t o = i > 1 ? 2 * i - 3 : 0; o < 2 * in && o <= 2 * i + 3; o++) {
            axis_point p(o, in);
            float share = (p.i0 == i ? 1 - p.l : 0) + (p.i1 == i ? p.l : 0);
            if (!(share > 0))
                continue;
            if (n == 0)
                first = o;
            weight[n++] = share;
        }
    }
};

template <int V> struct upsample_bwd {
    um_view dy, dx;
    um_upsample_mode mode;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c / V);
        int64_t p = at.a, k = at.b * V;
        place in(dx, p);
        axis_taps rows(mode, in.row, dx.h), cols(mode, in.col, dx.w);
        float sum[V] = {0}, g[V];
        if (accumulate)
            um_load<V>(dx, p, k, sum);
        for (int a = 0; a < rows.n; a++)
            for (int b = 0; b < cols.n; b++) {
                um_load<V>(dy, pixel_of(dy, in.image, rows.first + a, cols.first + b), k, g);
                for (int l = 0; l < V; l++)
                    sum[l] += rows.weight[a] * cols.weight[b] * g[l];
            }
        um_store<V>(dx, p, k, sum);
    }
};

template <int V> struct shift {
    um_view x, y;
    int64_t top, left;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        int64_t row = out.row + top, col = out.col + left;
        float v[V] = {0}, old[V] = {0};
        if (row >= 0 && col >= 0 && row < x.h && col < x.w)
            um_load<V>(x, pixel_of(x, out.image, row, col), k, v);
        if (accumulate)
            um_load<V>(y, p, k, old);
        for (int l = 0; l < V; l++)
            v[l] = accumulate ? old[l] + v[l] : v[l];
        um_store<V>(y, p, k, v);
    }
};

/* Channels per thread that suit all of a call's operands. */
int width_of(const um_view *a, const um_view *b, const um_view *c)
{
    const um_view *const views[] = {a, b, c};
    return um_width(views, c ? 3 : 2);
}

template <template <int> class F, class... Args> um_status each_v(const um_cuda *cu, const char *op, const um_view *out, int v,
    Args... args)
{
    int64_t n = um_view_pixels(out) * (out->c / v);
    return v == 4 ? um_each(cu, op, n, F<4>{args...}) : um_each(cu, op, n, F<1>{args...});
}

}

UM_CUDA_OP(maxpool_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *which = &call->out[1];
    window o = {call->attr.pool.size, call->attr.pool.stride, call->attr.pool.pad};
    return each_v<maxpool>(cu, "maxpool_fwd", y, width_of(x, y, NULL), *x, *y, *which, o);
}

UM_CUDA_OP(maxpool_bwd)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    window o = {call->attr.pool.size, call->attr.pool.stride, call->attr.pool.pad};
    return each_v<unpool>(cu, "maxpool_bwd", dx, width_of(dy, dx, NULL), *dy, *which, *dx, o, call->accumulate);
}

UM_CUDA_OP(avgpool_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t size = call->attr.pool.size;
    return each_v<mean_pool>(cu, "avgpool_fwd", y, width_of(x, y, NULL), *x, *y, size ? size : x->h, size ? size : x->w);
}

UM_CUDA_OP(avgpool_bwd)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    int64_t size = call->attr.pool.size, h = size ? size : dx->h, w = size ? size : dx->w;
    return each_v<mean_unpool>(cu, "avgpool_bwd", dx, width_of(dy, dx, NULL), *dy, *dx, h, w, (float)(1 / (double)(h * w)),
        call->accumulate);
}

UM_CUDA_OP(patches_fwd)
{
    window o = {call->attr.patch.size, call->attr.patch.stride, call->attr.patch.pad};
    return um_each(cu, "patches_fwd", um_view_count(&call->out[0]), patches{call->in[0], call->out[0], o});
}

UM_CUDA_OP(patches_bwd)
{
    window o = {call->attr.patch.size, call->attr.patch.stride, call->attr.patch.pad};
    return um_each(cu, "patches_bwd", um_view_count(&call->out[0]), patches_bwd{call->in[0], call->out[0], o, call->accumulate});
}

UM_CUDA_OP(upsample_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int v = width_of(x, y, NULL);
    if (call->attr.upsample.mode == UM_UPSAMPLE_NEAREST)
        return each_v<nearest>(cu, "upsample_fwd", y, v, *x, *y);
    return each_v<bilinear>(cu, "upsample_fwd", y, v, *x, *y);
}

UM_CUDA_OP(upsample_bwd)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    return each_v<upsample_bwd>(cu, "upsample_bwd", dx, width_of(dy, dx, NULL), *dy, *dx, call->attr.upsample.mode,
        call->accumulate);
}

UM_CUDA_OP(window)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    return each_v<shift>(cu, "window", y, width_of(x, y, NULL), *x, *y, call->attr.window.top, call->attr.window.left,
        call->accumulate);
}
