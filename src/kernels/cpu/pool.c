/* Max pooling. Windows of 2x2 with stride 2 have loops of their own; the others overlap, and their gradient gathers. */
#include "kernels/cpu/pattern.h"
#include "kernels/cpu/span.h"

/* x: top left pixel of the window; right, down: distance to its neighbours. The first maximum wins, a NaN wins. */
static void pool_run(real *restrict y, uint8_t *restrict which, const real *restrict x, int64_t right, int64_t down, int64_t c)
{
    for (int64_t k = 0; k < c; k++) {
        const real v[4] = {x[k], x[k + right], x[k + down], x[k + down + right]};
        real best = v[0];
        int at = 0;
        for (int i = 1; i < 4; i++) {
            bool take = !(v[i] <= best) & (best == best);
            at = take ? i : at;
            best = take ? v[i] : best;
        }
        y[k] = best;
        which[k] = (uint8_t)at;
    }
}

/* Output rows [begin, end), counted through all images. */
static void pool_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *which = &call->out[1];
    for (int64_t r = begin; r < end; r++) {
        int64_t from = (r / y->h * x->h + r % y->h * 2) * x->w;
        for (int64_t j = 0; j < y->w; j++) {
            int64_t p = r * y->w + j;
            pool_run(pixel_at(y, p), (uint8_t *)which->data + p * which->ld, pixel_at(x, from + 2 * j), x->ld, x->w * x->ld, x->c);
        }
    }
}

static bool is_2x2(const um_op_call *call)
{
    return call->attr.pool.size == 2 && call->attr.pool.stride == 2 && call->attr.pool.pad == 0;
}

/* Takes tap `at` of the window where it beats what is there. */
static void pool_take(real *restrict y, uint8_t *restrict which, const real *restrict x, int at, bool first, int64_t c)
{
    for (int64_t k = 0; k < c; k++) {
        bool take = first | (!(x[k] <= y[k]) & (y[k] == y[k]));
        which[k] = take ? (uint8_t)at : which[k];
        y[k] = take ? x[k] : y[k];
    }
}

/* Output rows [begin, end), counted through all images. */
static void pool_wide_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0], *which = &call->out[1];
    int64_t size = call->attr.pool.size, stride = call->attr.pool.stride, pad = call->attr.pool.pad;
    for (int64_t p = begin * y->w; p < end * y->w; p++) {
        int64_t image = p / (y->h * y->w), row = p / y->w % y->h * stride - pad, col = p % y->w * stride - pad;
        bool first = true;
        for (int64_t t = 0; t < size * size; t++) {
            int64_t i = row + t / size, j = col + t % size;
            if (i < 0 || j < 0 || i >= x->h || j >= x->w)
                continue;
            pool_take(pixel_at(y, p), (uint8_t *)which->data + p * which->ld, pixel_at(x, (image * x->h + i) * x->w + j), (int)t, first,
                      x->c);
            first = false;
        }
    }
}

um_status UM_FN(um_cpu_maxpool_fwd)(const um_op_call *call)
{
    const um_view *y = &call->out[0];
    int64_t taps = call->attr.pool.size * call->attr.pool.size;
    um_span_run(call, y->n * y->h, taps * y->w * y->c, is_2x2(call) ? pool_span : pool_wide_span);
    return UM_OK;
}

/* One pixel of dx, which is number `place` of its window. */
static void unpool_run(real *restrict dx, const real *restrict dy, const uint8_t *restrict which, int place, int64_t c,
                       bool accumulate)
{
    for (int64_t k = 0; k < c; k++) {
        real g = which[k] == place ? dy[k] : 0;
        dx[k] = accumulate ? dx[k] + g : g;
    }
}

/* Rows [begin, end) of dx, counted through all images. */
static void unpool_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    for (int64_t r = begin; r < end; r++) {
        int64_t i = r % dx->h;
        for (int64_t j = 0; j < dx->w; j++) {
            real *to = pixel_at(dx, r * dx->w + j);
            if (i / 2 < dy->h && j / 2 < dy->w) {
                int64_t p = (r / dx->h * dy->h + i / 2) * dy->w + j / 2;
                unpool_run(to, pixel_at(dy, p), (const uint8_t *)which->data + p * which->ld, (int)(2 * (i % 2) + j % 2), dx->c,
                           call->accumulate);
            } else if (!call->accumulate) {
                memset(to, 0, (size_t)dx->c * sizeof *to);
            }
        }
    }
}

static void unpool_add(real *restrict dx, const real *restrict dy, const uint8_t *restrict which, int place, int64_t c)
{
    for (int64_t k = 0; k < c; k++)
        dx[k] += which[k] == place ? dy[k] : 0;
}

/* Rows [begin, end) of dx, counted through all images: every pixel asks the windows it lies in, in the order of their taps. */
static void unpool_wide_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    int64_t size = call->attr.pool.size, stride = call->attr.pool.stride, pad = call->attr.pool.pad;
    for (int64_t q = begin * dx->w; q < end * dx->w; q++) {
        int64_t image = q / (dx->h * dx->w);
        real *to = pixel_at(dx, q);
        if (!call->accumulate)
            memset(to, 0, (size_t)dx->c * sizeof *to);
        for (int64_t t = 0; t < size * size; t++) {
            int64_t i = q / dx->w % dx->h + pad - t / size, j = q % dx->w + pad - t % size;
            if (i < 0 || j < 0 || i % stride || j % stride || i / stride >= dy->h || j / stride >= dy->w)
                continue;
            int64_t p = (image * dy->h + i / stride) * dy->w + j / stride;
            unpool_add(to, pixel_at(dy, p), (const uint8_t *)which->data + p * which->ld, (int)t, dx->c);
        }
    }
}

um_status UM_FN(um_cpu_maxpool_bwd)(const um_op_call *call)
{
    const um_view *dx = &call->out[0];
    um_span_run(call, dx->n * dx->h, dx->w * dx->c, is_2x2(call) ? unpool_span : unpool_wide_span);
    return UM_OK;
}
