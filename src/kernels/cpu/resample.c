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

static void bilinear_run(real *restrict y, const real *const corner[4], real lx, real ly, int64_t c)
{
    const real *x00 = corner[0], *x01 = corner[1], *x10 = corner[2], *x11 = corner[3];
    for (int64_t k = 0; k < c; k++) {
        real top = x00[k] + lx * (x01[k] - x00[k]), bottom = x10[k] + lx * (x11[k] - x10[k]);
        y[k] = top + ly * (bottom - top);
    }
}

static void bilinear_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    for (int64_t r = begin; r < end; r++) {
        axis_point row = axis_at(r % y->h, x->h);
        int64_t top = (r / y->h * x->h + row.i0) * x->w, bottom = (r / y->h * x->h + row.i1) * x->w;
        for (int64_t j = 0; j < y->w; j++) {
            axis_point col = axis_at(j, x->w);
            const real *const corner[4] = {pixel_at(x, top + col.i0), pixel_at(x, top + col.i1), pixel_at(x, bottom + col.i0),
                                           pixel_at(x, bottom + col.i1)};
            bilinear_run(pixel_at(y, r * y->w + j), corner, col.l, row.l, x->c);
        }
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

um_status UM_FN(um_cpu_upsample_fwd)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
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

/* The outputs that read one input pixel. */
typedef struct pixel_taps {
    int n;
    const real *from[MAX_TAPS * MAX_TAPS];
    real weight[MAX_TAPS * MAX_TAPS];
} pixel_taps;

static void find_taps(pixel_taps *t, const um_view *dy, int64_t image_row, const axis_taps *rows, const axis_taps *cols)
{
    t->n = 0;
    for (int a = 0; a < rows->n; a++)
        for (int b = 0; b < cols->n; b++) {
            t->from[t->n] = pixel_at(dy, (image_row + rows->first + a) * dy->w + cols->first + b);
            t->weight[t->n++] = rows->weight[a] * cols->weight[b];
        }
}

/* Eight channels at once: networks have multiples of it. */
enum { CHUNK = 8 };
typedef real vchunk __attribute__((vector_size(CHUNK * sizeof(real)), aligned(sizeof(real)), may_alias));

static void gather_taps(real *restrict dx, const pixel_taps *t, int64_t c, bool accumulate)
{
    int64_t k = 0;
    for (; k + CHUNK <= c; k += CHUNK) {
        vchunk *to = (vchunk *)(dx + k), sum = {0};
        if (accumulate)
            sum = *to;
        for (int i = 0; i < t->n; i++)
            sum += t->weight[i] * *(const vchunk *)(t->from[i] + k);
        *to = sum;
    }
    for (; k < c; k++) {
        real sum = accumulate ? dx[k] : 0;
        for (int i = 0; i < t->n; i++)
            sum += t->weight[i] * t->from[i][k];
        dx[k] = sum;
    }
}

static void upsample_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    const axis_taps *cols = call->workspace;
    pixel_taps taps;
    for (int64_t r = begin; r < end; r++) {
        axis_taps rows = axis_taps_at(call->attr.upsample.mode, r % dx->h, dx->h);
        for (int64_t j = 0; j < dx->w; j++) {
            find_taps(&taps, dy, r / dx->h * dy->h, &rows, &cols[j]);
            gather_taps(pixel_at(dx, r * dx->w + j), &taps, dx->c, call->accumulate);
        }
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
