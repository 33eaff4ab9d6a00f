/* Upsampling by two and windows. Bilinear positions (align_corners) are exact fractions: output o lies at o*(in-1)/(out-1). */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* Where output o of an axis reads: (1-l)*x[i0] + l*x[i1]. */
typedef struct axis_point {
    int64_t i0, i1;
    real l;
} axis_point;

static axis_point axis_at(int64_t o, int64_t in)
{
    int64_t out = 2 * in, i0 = o * (in - 1) / (out - 1), rest = o * (in - 1) % (out - 1);
    return (axis_point){i0, i0 + 1 < in ? i0 + 1 : i0, (real)((double)rest / (double)(out - 1))};
}

UM_INLINE vreal between(vreal a, vreal b, real l)
{
    return a + l * (b - a);
}

/* x: the upper left corner; right, down: distances to the others. */
UM_INLINE void bilinear_run(real *restrict y, const real *restrict x, int64_t right, int64_t down, real lx, real ly, int64_t c)
{
    for (int64_t k = 0; k < c; k += VL) {
        int n = (int)min64(VL, c - k);
        const real *p = x + k;
        vreal top = between(v_load_lanes(p, n), v_load_lanes(p + right, n), lx);
        vreal bottom = between(v_load_lanes(p + down, n), v_load_lanes(p + down + right, n), lx);
        v_store_lanes(y + k, between(top, bottom, ly), n);
    }
}

static void bilinear_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    const axis_point *cols = call->workspace;
    for (int64_t r = begin; r < end; r++) {
        axis_point row = axis_at(r % y->h, x->h);
        const real *top = pixel_at(x, (r / y->h * x->h + row.i0) * x->w);
        real *to = pixel_at(y, r * y->w);
        int64_t down = (row.i1 - row.i0) * x->w * x->ld;
        for (int64_t j = 0; j < y->w; j++, to += y->ld)
            bilinear_run(to, top + cols[j].i0 * x->ld, (cols[j].i1 - cols[j].i0) * x->ld, down, cols[j].l, row.l, x->c);
    }
}

static void nearest_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    for (int64_t r = begin; r < end; r++) {
        int64_t from = (r / y->h * x->h + r % y->h / 2) * x->w;
        for (int64_t j = 0; j < y->w; j++)
            memcpy(pixel_at(y, r * y->w + j), pixel_at(x, from + j / 2), (size_t)x->c * sizeof(real));
    }
}

um_status UM_FN(um_cpu_upsample_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = (size_t)call->out[0].w * sizeof(axis_point);
    return UM_OK;
}

um_status UM_FN(um_cpu_upsample_fwd)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    axis_point *cols = call->workspace;
    for (int64_t j = 0; j < y->w; j++)
        cols[j] = axis_at(j, y->w / 2);
    um_span_run(call, y->n * y->h, y->w * y->c, call->attr.upsample.mode == UM_UPSAMPLE_BILINEAR ? bilinear_span : nearest_span);
    return UM_OK;
}

/* Which outputs read input i of an axis, and with which weight: at most the 7 outputs from 2i-3 to 2i+3. */
enum { MAX_TAPS = 7 };
typedef struct axis_taps {
    int64_t first;
    int n;
    real weight[MAX_TAPS];
} axis_taps;

static axis_taps bilinear_taps(int64_t i, int64_t in)
{
    axis_taps t = {0};
    for (int64_t o = i > 1 ? 2 * i - 3 : 0; o < 2 * in && o <= 2 * i + 3; o++) {
        axis_point p = axis_at(o, in);
        real weight = (p.i0 == i ? 1 - p.l : 0) + (p.i1 == i ? p.l : 0);
        if (!(weight > 0))
            continue;
        if (t.n == 0)
            t.first = o;
        t.weight[t.n++] = weight;
    }
    return t;
}

static axis_taps axis_taps_at(um_upsample_mode mode, int64_t i, int64_t in)
{
    return mode == UM_UPSAMPLE_BILINEAR ? bilinear_taps(i, in) : (axis_taps){2 * i, 2, {1, 1}};
}

/* Pixels of dy that lie below one another, added with the weights of their rows; to: [pixels][n]. Asks for the two rows that the next
 * row of dx reads for the first time. */
UM_INLINE void add_rows(real *restrict to, const real *restrict dy, int64_t ld, int64_t row, const axis_taps *rows, int64_t pixels,
                        int64_t n)
{
    for (int64_t p = 0; p < pixels; p++, dy += ld, to += n)
        for (int64_t k = 0; k < n; k += VL) {
            int lanes = (int)min64(VL, n - k);
            vreal sum = rows->weight[0] * v_load_lanes(dy + k, lanes);
            for (int a = 1; a < rows->n; a++)
                sum += rows->weight[a] * v_load_lanes(dy + a * row + k, lanes);
            v_store_lanes(to + k, sum, lanes);
            __builtin_prefetch(dy + rows->n * row + k);
            __builtin_prefetch(dy + (rows->n + 1) * row + k);
        }
}

/* A pixel of dx from the added rows, whose first pixel that it reads is `from`. */
UM_INLINE void add_cols(real *restrict dx, const real *restrict from, const axis_taps *cols, int64_t n, bool accumulate)
{
    for (int64_t k = 0; k < n; k += VL) {
        int lanes = (int)min64(VL, n - k);
        vreal sum = accumulate ? v_load_lanes(dx + k, lanes) : (vreal){0};
        for (int b = 0; b < cols->n; b++)
            sum += cols->weight[b] * v_load_lanes(from + b * n + k, lanes);
        v_store_lanes(dx + k, sum, lanes);
    }
}

/* Added rows of dy that stay in the first-level cache: so many reals, so many channels at most. */
enum { ROWS_TILE = 4096, ROWS_CHANNELS = 256 };

/* Pixels [begin, end) of a row of dx, channels [k, k + n). dy: the first of the rows that it reads. */
static void upsample_bwd_tile(const um_op_call *call, real *dx, const real *dy, const axis_taps *rows, int64_t begin, int64_t end,
                              int64_t k, int64_t n)
{
    const um_view *in = &call->in[0];
    const axis_taps *cols = call->workspace, *last = &cols[end - 1];
    real added[ROWS_TILE];
    int64_t first = cols[begin].first;
    add_rows(added, dy + first * in->ld + k, in->ld, in->w * in->ld, rows, last->first + last->n - first, n);
    for (int64_t j = begin; j < end; j++)
        add_cols(dx + j * call->out[0].ld + k, added + (cols[j].first - first) * n, &cols[j], n, call->accumulate);
}

static void upsample_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    int64_t channels = min64(dx->c, ROWS_CHANNELS), pixels = (ROWS_TILE / channels - MAX_TAPS) / 2;
    for (int64_t r = begin; r < end; r++) {
        axis_taps rows = axis_taps_at(call->attr.upsample.mode, r % dx->h, dx->h);
        const real *from = pixel_at(dy, (r / dx->h * dy->h + rows.first) * dy->w);
        for (int64_t j = 0; j < dx->w; j += pixels)
            for (int64_t k = 0; k < dx->c; k += channels)
                upsample_bwd_tile(call, pixel_at(dx, r * dx->w), from, &rows, j, min64(j + pixels, dx->w), k,
                                  min64(channels, dx->c - k));
    }
}

um_status UM_FN(um_cpu_upsample_bwd_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = (size_t)call->out[0].w * sizeof(axis_taps);
    return UM_OK;
}

um_status UM_FN(um_cpu_upsample_bwd)(const um_op_call *call)
{
    const um_view *dx = &call->out[0];
    axis_taps *cols = call->workspace;
    for (int64_t j = 0; j < dx->w; j++)
        cols[j] = axis_taps_at(call->attr.upsample.mode, j, dx->w);
    um_span_run(call, dx->n * dx->h, 9 * dx->w * dx->c, upsample_bwd_span);
    return UM_OK;
}

static void window_run(real *restrict y, const real *restrict x, int64_t n, bool accumulate)
{
    for (int64_t k = 0; k < n; k++)
        y[k] = accumulate ? y[k] + x[k] : x[k];
}

static void zero_pixels(const um_view *y, int64_t begin, int64_t end)
{
    for (int64_t p = begin; p < end; p++)
        memset(pixel_at(y, p), 0, (size_t)y->c * sizeof(real));
}

static void window_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t top = call->attr.window.top, left = call->attr.window.left;
    int64_t j0 = left < 0 ? min64(-left, y->w) : 0, j1 = min64(x->w - left, y->w);
    for (int64_t r = begin; r < end; r++) {
        int64_t i = r % y->h + top, row = r * y->w;
        bool inside = i >= 0 && i < x->h && j0 < j1;
        int64_t first = inside ? j0 : 0, last = inside ? j1 : 0;
        for (int64_t j = first; j < last; j++)
            window_run(pixel_at(y, row + j), pixel_at(x, (r / y->h * x->h + i) * x->w + j + left), y->c, call->accumulate);
        if (!call->accumulate) {
            zero_pixels(y, row, row + first);
            zero_pixels(y, row + last, row + y->w);
        }
    }
}

um_status UM_FN(um_cpu_window)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    um_span_run(call, y->n * y->h, y->w * y->c, window_span);
    return UM_OK;
}
