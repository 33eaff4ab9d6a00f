/* Windows: max and mean pooling, patches, upsampling by two, pads and crops (ops.h). Gradients gather; nothing is scattered. */
#include "kernels/cuda/device.cuh"

namespace {

/* Pixel p of a view as image, row and column; cuda.c refuses views of more than 2^31 pixels. */
struct place {
    int image, row, col;
    UM_HD place(const um_view &v, int64_t p)
    {
        uint32_t rows = (uint32_t)p / (uint32_t)v.w;
        col = (int)((uint32_t)p - rows * (uint32_t)v.w);
        image = (int)(rows / (uint32_t)v.h);
        row = (int)(rows - (uint32_t)image * (uint32_t)v.h);
    }
};

UM_HD int64_t pixel_of(const um_view &v, int image, int row, int col)
{
    return (image * (int)v.h + row) * (int)v.w + col;
}

/* apart: no place is in two windows. The numbers of one kind of window are known where the kernel is compiled. */
struct window {
    static constexpr bool apart = false;
    int size, stride, pad;
};
struct window_2x2 {
    static constexpr bool apart = true;
    static constexpr int size = 2, stride = 2, pad = 0;
};

/* What a pixel reads is worked out once for several pieces of its channels. */
enum { MOST_PIECES = 4 };

struct pieces {
    int n, step; /* channels from one piece to the next */
};

template <class A> pieces pieces_of(const um_view &v)
{
    int groups = (int)(v.c / A::V), n = MOST_PIECES;
    while (groups % n != 0)
        n--;
    pieces p = {n, groups / n * A::V};
    return p;
}

/* V numbers of a window, a byte each. */
template <int V> UM_HD void put_from(const um_view &which, int64_t p, int64_t k, const int *from)
{
    uint8_t *to = (uint8_t *)which.data + p * which.ld + k;
    if (V == 1)
        to[0] = (uint8_t)from[0];
    else
        *(uint32_t *)to = (uint32_t)from[0] | (uint32_t)from[1 % V] << 8 | (uint32_t)from[2 % V] << 16 | (uint32_t)from[3 % V] << 24;
}

template <int V> UM_HD void get_from(const um_view &which, int64_t p, int64_t k, int *from)
{
    const uint8_t *at = (const uint8_t *)which.data + p * which.ld + k;
    uint32_t four = V == 1 ? *at : *(const uint32_t *)at;
    for (int l = 0; l < V; l++)
        from[l] = (int)(four >> 8 * l & 0xFF);
}

template <class A, class O> struct maxpool {
    um_view x, y, which;
    pieces piece;
    O o;
    UM_HD void most(int64_t p, const place &out, int64_t k) const
    {
        constexpr int V = A::V;
        float best[V] = {0}, v[V];
        int from[V] = {0};
        bool first = true;
        for (int u = 0; u < o.size; u++)
            for (int w = 0; w < o.size; w++) {
                int row = out.row * o.stride - o.pad + u, col = out.col * o.stride - o.pad + w;
                if ((unsigned)row >= (unsigned)x.h || (unsigned)col >= (unsigned)x.w)
                    continue;
                A::load(x, pixel_of(x, out.image, row, col), k, v);
                for (int l = 0; l < V; l++) {
                    bool take = first || (!(v[l] <= best[l]) && best[l] == best[l]);
                    best[l] = take ? v[l] : best[l];
                    from[l] = take ? u * o.size + w : from[l];
                }
                first = false;
            }
        A::store(y, p, k, best);
        put_from<V>(which, p, k, from);
    }
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / A::V / piece.n);
        place out(y, at.a);
        for (int part = 0; part < piece.n; part++)
            most(at.a, out, at.b * A::V + part * piece.step);
    }
};

/* The windows that hold a place of an axis begin at first and before; the place is number `tap` of the first's. */
struct holders {
    int first, tap, n;
    template <class O> UM_HD holders(const O &o, int at, int64_t windows)
    {
        first = (at + o.pad) / o.stride;
        tap = at + o.pad - first * o.stride;
        if (O::apart) {
            n = first < (int)windows;
            return;
        }
        n = (o.size - 1 - tap + o.stride) / o.stride;
        for (; n > 0 && first >= (int)windows; n--) {
            first--;
            tap += o.stride;
        }
        n = n > first + 1 ? first + 1 : n;
    }
};

template <class A, class O> struct unpool {
    um_view dx, dy, which;
    pieces piece;
    O o;
    bool accumulate;
    /* What window (a, b) of a place's holders gives back. */
    UM_HD void add(const place &in, const holders &rows, const holders &cols, int a, int b, int64_t k, float *sum) const
    {
        constexpr int V = A::V;
        float g[V];
        int from[V], own = (rows.tap + a * o.stride) * o.size + cols.tap + b * o.stride;
        int64_t q = pixel_of(dy, in.image, rows.first - a, cols.first - b);
        A::load(dy, q, k, g);
        get_from<V>(which, q, k, from);
        for (int l = 0; l < V; l++)
            sum[l] += from[l] == own ? g[l] : 0;
    }
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c / A::V / piece.n);
        place in(dx, at.a);
        holders rows(o, in.row, dy.h), cols(o, in.col, dy.w);
        for (int part = 0; part < piece.n; part++) {
            int64_t k = at.b * A::V + part * piece.step;
            float sum[A::V] = {0};
            if (accumulate)
                A::load(dx, at.a, k, sum);
            if (O::apart && rows.n && cols.n)
                add(in, rows, cols, 0, 0, k, sum);
            for (int a = 0; a < (O::apart ? 0 : rows.n); a++)
                for (int b = 0; b < cols.n; b++)
                    add(in, rows, cols, a, b, k, sum);
            A::store(dx, at.a, k, sum);
        }
    }
};

/* Means over windows of h x w pixels that do not overlap; their sum in f64, row by row. */
template <int V> struct mean_pool {
    um_view x, y;
    int h, w;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        double sum[V] = {0};
        float v[V];
        for (int row = out.row * h; row < (out.row + 1) * h; row++)
            for (int col = out.col * w; col < (out.col + 1) * w; col++) {
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
    int h, w;
    float share;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, dx.c / V);
        int64_t p = at.a, k = at.b * V;
        place in(dx, p);
        int row = in.row / h, col = in.col / w;
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
        int row = out.row * o.stride - o.pad + (int)uv.a, col = out.col * o.stride - o.pad + (int)uv.b;
        bool inside = (unsigned)row < (unsigned)x.h && (unsigned)col < (unsigned)x.w;
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
        holders rows(o, in.row, dy.h), cols(o, in.col, dy.w);
        float sum = accumulate ? um_get(dx, at.a, at.b) : 0;
        for (int a = 0; a < rows.n; a++)
            for (int b = 0; b < cols.n; b++) {
                int t = (rows.tap + a * o.stride) * o.size + cols.tap + b * o.stride;
                sum += um_get(dy, pixel_of(dy, in.image, rows.first - a, cols.first - b), t * dx.c + at.b);
            }
        um_put(dx, at.a, at.b, sum);
    }
};

/* ---- twice the size ---- */

/* Where output o of an axis of `in` inputs reads: (1-l)*x[i0] + l*x[i1]; o lies at o*(in-1)/(2*in-1). */
struct axis_point {
    int i0, i1;
    float l;
    UM_HD axis_point(int o, int in)
    {
        uint32_t whole = (uint32_t)o * (uint32_t)(in - 1), parts = 2 * (uint32_t)in - 1;
        i0 = (int)(whole / parts);
        i1 = i0 + 1 < in ? i0 + 1 : i0;
        l = (float)(whole - (uint32_t)i0 * parts) / (float)parts;
    }
};

template <class A> struct bilinear {
    um_view x, y;
    pieces piece;
    UM_HD void operator()(int64_t i) const
    {
        constexpr int V = A::V;
        um_split at(i, y.c / V / piece.n);
        int64_t p = at.a;
        place out(y, p);
        axis_point row(out.row, (int)x.h), col(out.col, (int)x.w);
        int64_t p00 = pixel_of(x, out.image, row.i0, col.i0), p01 = pixel_of(x, out.image, row.i0, col.i1);
        int64_t p10 = pixel_of(x, out.image, row.i1, col.i0), p11 = pixel_of(x, out.image, row.i1, col.i1);
        for (int part = 0; part < piece.n; part++) {
            int64_t k = at.b * V + part * piece.step;
            float x00[V], x01[V], x10[V], x11[V], v[V];
            A::load(x, p00, k, x00);
            A::load(x, p01, k, x01);
            A::load(x, p10, k, x10);
            A::load(x, p11, k, x11);
            for (int l = 0; l < V; l++) {
                float top = x00[l] + col.l * (x01[l] - x00[l]), bottom = x10[l] + col.l * (x11[l] - x10[l]);
                v[l] = top + row.l * (bottom - top);
            }
            A::store(y, p, k, v);
        }
    }
};

template <class A> struct nearest {
    um_view x, y;
    pieces piece;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / A::V / piece.n);
        place out(y, at.a);
        int64_t from = pixel_of(x, out.image, out.row / 2, out.col / 2);
        for (int part = 0; part < piece.n; part++) {
            float v[A::V];
            A::load(x, from, at.b * A::V + part * piece.step, v);
            A::store(y, at.a, at.b * A::V + part * piece.step, v);
        }
    }
};

/* Which outputs read input i of an axis, and with which weight: at most those from 2i-3 to 2i+3. */
enum { MAX_TAPS = 7 };
struct axis_taps {
    int first, n;
    float weight[MAX_TAPS];
    UM_HD axis_taps(um_upsample_mode mode, int i, int in)
    {
        first = 2 * i;
        n = 2;
        for (int t = 0; t < MAX_TAPS; t++)
            weight[t] = 1;
        if (mode == UM_UPSAMPLE_NEAREST)
            return;
        n = 0;
        for (int o = i > 1 ? 2 * i - 3 : 0; o < 2 * in && o <= 2 * i + 3; o++) {
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

template <class A> struct upsample_bwd {
    um_view dy, dx;
    pieces piece;
    um_upsample_mode mode;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        constexpr int V = A::V;
        um_split at(i, dx.c / V / piece.n);
        int64_t p = at.a;
        place in(dx, p);
        axis_taps rows(mode, in.row, (int)dx.h), cols(mode, in.col, (int)dx.w);
        for (int part = 0; part < piece.n; part++) {
            int64_t k = at.b * V + part * piece.step;
            float sum[V] = {0}, g[V];
            if (accumulate)
                A::load(dx, p, k, sum);
            for (int a = 0; a < rows.n; a++)
                for (int b = 0; b < cols.n; b++) {
                    A::load(dy, pixel_of(dy, in.image, rows.first + a, cols.first + b), k, g);
                    for (int l = 0; l < V; l++)
                        sum[l] += rows.weight[a] * cols.weight[b] * g[l];
                }
            A::store(dx, p, k, sum);
        }
    }
};

template <int V> struct shift {
    um_view x, y;
    int top, left;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        um_split at(i, y.c / V);
        int64_t p = at.a, k = at.b * V;
        place out(y, p);
        int row = out.row + top, col = out.col + left;
        float v[V] = {0}, old[V] = {0};
        if ((unsigned)row < (unsigned)x.h && (unsigned)col < (unsigned)x.w)
            um_load<V>(x, pixel_of(x, out.image, row, col), k, v);
        if (accumulate)
            um_load<V>(y, p, k, old);
        for (int l = 0; l < V; l++)
            v[l] = accumulate ? old[l] + v[l] : v[l];
        um_store<V>(y, p, k, v);
    }
};

/* Channels per thread that suit all of a call's operands. */
int width_of(const um_view *a, const um_view *b)
{
    const um_view *const views[] = {a, b};
    return um_width(views, 2);
}

template <template <int> class F, class... Args> um_status each_v(const um_cuda *cu, const char *op, const um_view *out, int v,
    Args... args)
{
    int64_t n = um_view_pixels(out) * (out->c / v);
    return v == 4 ? um_each(cu, op, n, F<4>{args...}) : um_each(cu, op, n, F<1>{args...});
}

/* F<A, O> for the operands (big, small, which), with windows of 2x2 pixels compiled in; one item for each place of `over`. */
template <template <class, class> class F, class... Rest> um_status each_window(const um_cuda *cu, const char *op, const um_view &big,
    const um_view &small, const um_view &which, const um_view &over, const um_op_attr &attr, Rest... rest)
{
    const um_view *const views[] = {&big, &small};
    const auto &pool = attr.pool;
    bool twos = pool.size == 2 && pool.stride == 2 && pool.pad == 0;
    auto run = [&](auto access) {
        using A = decltype(access);
        pieces piece = pieces_of<A>(over);
        int64_t n = um_view_pixels(&over) * (over.c / A::V / piece.n);
        if (twos)
            return um_each(cu, op, n, F<A, window_2x2>{big, small, which, piece, window_2x2(), rest...});
        return um_each(cu, op, n, F<A, window>{big, small, which, piece, {pool.size, pool.stride, pool.pad}, rest...});
    };
    return um_four_fit(&which) ? um_by_access(views, 2, run) : run(um_single());
}

template <template <class> class F, class... Rest> um_status each_piece(const um_cuda *cu, const char *op, const um_view &from,
    const um_view &to, Rest... rest)
{
    const um_view *const views[] = {&from, &to};
    return um_by_access(views, 2, [&](auto access) {
        using A = decltype(access);
        pieces piece = pieces_of<A>(to);
        return um_each(cu, op, um_view_pixels(&to) * (to.c / A::V / piece.n), F<A>{from, to, piece, rest...});
    });
}

}

UM_CUDA_OP(maxpool_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *which = &call->out[1];
    return each_window<maxpool>(cu, "maxpool_fwd", *x, *y, *which, *y, call->attr);
}

UM_CUDA_OP(maxpool_bwd)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    return each_window<unpool>(cu, "maxpool_bwd", *dx, *dy, *which, *dx, call->attr, call->accumulate);
}

UM_CUDA_OP(avgpool_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int size = (int)call->attr.pool.size;
    return each_v<mean_pool>(cu, "avgpool_fwd", y, width_of(x, y), *x, *y, size ? size : (int)x->h, size ? size : (int)x->w);
}

UM_CUDA_OP(avgpool_bwd)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    int size = (int)call->attr.pool.size, h = size ? size : (int)dx->h, w = size ? size : (int)dx->w;
    return each_v<mean_unpool>(cu, "avgpool_bwd", dx, width_of(dy, dx), *dy, *dx, h, w, (float)(1 / (double)(h * w)),
        call->accumulate);
}

UM_CUDA_OP(patches_fwd)
{
    window o = {(int)call->attr.patch.size, (int)call->attr.patch.stride, (int)call->attr.patch.pad};
    return um_each(cu, "patches_fwd", um_view_count(&call->out[0]), patches{call->in[0], call->out[0], o});
}

UM_CUDA_OP(patches_bwd)
{
    window o = {(int)call->attr.patch.size, (int)call->attr.patch.stride, (int)call->attr.patch.pad};
    return um_each(cu, "patches_bwd", um_view_count(&call->out[0]), patches_bwd{call->in[0], call->out[0], o, call->accumulate});
}

UM_CUDA_OP(upsample_fwd)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    if (call->attr.upsample.mode == UM_UPSAMPLE_NEAREST)
        return each_piece<nearest>(cu, "upsample_fwd", *x, *y);
    return each_piece<bilinear>(cu, "upsample_fwd", *x, *y);
}

UM_CUDA_OP(upsample_bwd)
{
    return each_piece<upsample_bwd>(cu, "upsample_bwd", call->in[0], call->out[0], call->attr.upsample.mode, call->accumulate);
}

UM_CUDA_OP(window)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    return each_v<shift>(cu, "window", y, width_of(x, y), *x, *y, (int)call->attr.window.top, (int)call->attr.window.left,
        call->accumulate);
}
