/* Max pooling. Windows of 2x2 with stride 2 have loops of their own; the others overlap, and their gradient gathers. */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* The maximum of four, and which it is: the first one wins, a NaN wins. */
UM_INLINE void pool_four(const vreal *v, vreal *best, v_index *which)
{
    *best = v[0];
    *which = (v_index){0};
    for (int i = 1; i < 4; i++) {
        v_index take = ~(v_index)(v[i] <= *best) & (v_index)(*best == *best);
        *best = v_choose(take, v[i], *best);
        *which = (take & i) | (~take & *which);
    }
}

/* x: top left pixel of the window; right, down: distance to its neighbours. Asks for the rows of the next windows. */
static void pool_run(real *restrict y, uint8_t *restrict which, const real *restrict x, int64_t right, int64_t down, int64_t c)
{
    for (int64_t k = 0; k < c; k += VL) {
        int n = (int)min64(VL, c - k);
        const vreal v[4] = {v_load_lanes(x + k, n), v_load_lanes(x + k + right, n), v_load_lanes(x + k + down, n),
                            v_load_lanes(x + k + down + right, n)};
        vreal best;
        v_index at;
        pool_four(v, &best, &at);
        v_store_lanes(y + k, best, n);
        v_store_bytes(which + k, at, n);
        for (int i = 2; i < 4; i++) {
            __builtin_prefetch(x + k + i * down);
            __builtin_prefetch(x + k + i * down + right);
        }
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
            pool_take(pixel_at(y, p), (uint8_t *)which->data + p * which->ld, pixel_at(x, (image * x->h + i) * x->w + j), (int)t,
                      first, x->c);
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

/* dx: top left pixel of the window. Asks for the rows of the next windows. */
static void unpool_run(real *restrict dx, const real *restrict dy, const uint8_t *restrict which, int64_t right, int64_t down,
                       int64_t c, bool accumulate)
{
    const int64_t place[4] = {0, right, down, down + right};
    for (int64_t k = 0; k < c; k += VL) {
        int n = (int)min64(VL, c - k);
        v_index at = v_load_bytes(which + k, n);
        vreal g = v_load_lanes(dy + k, n);
        for (int i = 0; i < 4; i++) {
            real *to = dx + place[i] + k;
            vreal v = (vreal)((at == i) & (v_index)g);
            v_store_lanes(to, accumulate ? v_load_lanes(to, n) + v : v, n);
            __builtin_prefetch(to + 2 * down, 1);
        }
    }
}

/* The last row and column of dx are in no window where its extent is odd. */
static void zero_rest(const um_view *dx, int64_t row, int64_t from)
{
    for (int64_t j = from; j < dx->w; j++)
        memset(pixel_at(dx, row * dx->w + j), 0, (size_t)dx->c * sizeof(real));
}

/* Rows [begin, end) of windows, counted through all images; an odd dx has one more row. */
static void unpool_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *dy = &call->in[0], *which = &call->in[1], *dx = &call->out[0];
    int64_t window_rows = (dx->h + 1) / 2;
    for (int64_t r = begin; r < end; r++) {
        int64_t image = r / window_rows, i = r % window_rows, row = image * dx->h + 2 * i;
        int64_t windows = i < dy->h ? dy->w : 0;
        for (int64_t j = 0; j < windows; j++) {
            int64_t p = (image * dy->h + i) * dy->w + j;
            unpool_run(pixel_at(dx, row * dx->w + 2 * j), pixel_at(dy, p), (const uint8_t *)which->data + p * which->ld, dx->ld,
                       dx->w * dx->ld, dx->c, call->accumulate);
        }
        if (call->accumulate)
            continue;
        zero_rest(dx, row, 2 * windows);
        if (2 * i + 1 < dx->h)
            zero_rest(dx, row + 1, 2 * windows);
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
    if (is_2x2(call))
        um_span_run(call, dx->n * ((dx->h + 1) / 2), 2 * dx->w * dx->c, unpool_span);
    else
        um_span_run(call, dx->n * dx->h, dx->w * dx->c, unpool_wide_span);
    return UM_OK;
}
