/* Means over windows that do not overlap, or over the whole image (ops.h AVGPOOL). */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

enum { CHANNELS = 64 };

typedef struct window {
    int64_t h, w;
} window;

static window window_of(const um_op_call *call, const um_view *x)
{
    int64_t size = call->attr.pool.size;
    return size ? (window){size, size} : (window){x->h, x->w};
}

/* Up to CHANNELS channels of one output pixel, summed in f64 row by row. */
static void mean_of(const um_op_call *call, window win, int64_t p, int64_t first, int64_t n)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t image = p / (y->h * y->w), row = p / y->w % y->h * win.h, col = p % y->w * win.w;
    double sum[CHANNELS] = {0};
    for (int64_t i = row; i < row + win.h; i++)
        for (int64_t j = col; j < col + win.w; j++) {
            const real *from = pixel_at(x, (image * x->h + i) * x->w + j) + first;
            for (int64_t k = 0; k < n; k++)
                sum[k] += (double)from[k];
        }
    real *to = pixel_at(y, p) + first;
    for (int64_t k = 0; k < n; k++)
        to[k] = (real)(sum[k] / (double)(win.h * win.w));
}

static void avgpool_span(const um_op_call *call, int64_t begin, int64_t end)
{
    window win = window_of(call, &call->in[0]);
    int64_t c = call->out[0].c;
    for (int64_t p = begin; p < end; p++)
        for (int64_t first = 0; first < c; first += CHANNELS)
            mean_of(call, win, p, first, min64(CHANNELS, c - first));
}

um_status UM_FN(um_cpu_avgpool_fwd)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    window win = window_of(call, &call->in[0]);
    um_span_run(call, um_view_pixels(y), win.h * win.w * y->c, avgpool_span);
    return UM_OK;
}

/* Pixels [begin, end) of dx; those outside every window get nothing. */
static void avgpool_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    window win = window_of(call, dx);
    real share = (real)(1 / (double)(win.h * win.w));
    for (int64_t p = begin; p < end; p++) {
        int64_t image = p / (dx->h * dx->w), i = p / dx->w % dx->h / win.h, j = p % dx->w / win.w;
        bool inside = i < dy->h && j < dy->w;
        const real *from = pixel_at(dy, inside ? (image * dy->h + i) * dy->w + j : 0);
        real *to = pixel_at(dx, p);
        for (int64_t k = 0; k < dx->c; k++) {
            real g = inside ? share * from[k] : 0;
            to[k] = call->accumulate ? to[k] + g : g;
        }
    }
}

um_status UM_FN(um_cpu_avgpool_bwd)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), call->out[0].c, avgpool_bwd_span);
    return UM_OK;
}
