/* Images on their way into a network: rows of a dataset, and steps in a ball around them (ops.h GATHER, BALL_STEP). */
#include "kernels/ball.h"
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

/* Image `row` of the source, values [begin, begin + n). */
static void read_row(const um_op_call *call, int64_t row, int64_t begin, int64_t n, real *restrict to)
{
    const um_view *d = &call->in[0], *x = &call->out[0];
    int64_t size = x->h * x->w * x->c;
    double most = call->attr.gather.most;
    if (d->dtype != UM_U8) {
        memcpy(to, (const real *)d->data + row * size + begin, (size_t)n * sizeof *to);
        return;
    }
    bool wide = d->c == 2 * x->c;
    const uint8_t *from = (const uint8_t *)d->data + (row * size + begin) * (wide ? 2 : 1);
    for (int64_t i = 0; i < n; i++)
        to[i] = (real)((wide ? from[2 * i] + 256 * from[2 * i + 1] : from[i]) / most);
}

/* Lines [begin, end) of pixels, counted through all images. */
static void gather_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->out[0];
    int64_t line = x->w * x->c;
    for (int64_t r = begin; r < end; r++) {
        int64_t row = (int64_t)((const double *)call->in[1].data)[r / x->h * call->in[1].ld];
        read_row(call, row, r % x->h * line, line, (real *)x->data + r * line);
    }
}

um_status UM_FN(um_cpu_gather)(const um_op_call *call)
{
    const um_view *x = &call->out[0];
    um_span_run(call, x->n * x->h, x->w * x->c, gather_span);
    return UM_OK;
}

static void ball_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0];
    const real *restrict from = x->data, *restrict g = call->in[1].data, *restrict free = call->in[2].data;
    const double *ball = call->in[3].data;
    real *restrict v = call->out[0].data;
    for (int64_t p = begin; p < end; p++)
        for (int64_t i = p * x->c; i < (p + 1) * x->c; i++)
            v[i] = !free || free[p] != 0 ? (real)um_ball_moved(ball[0], ball[1], (double)v[i], (double)from[i], (double)g[i]) : from[i];
}

um_status UM_FN(um_cpu_ball_step)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), 4 * call->in[0].c, ball_span);
    return UM_OK;
}
