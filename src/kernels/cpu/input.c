/* Images on their way into a network: rows of a dataset, steps in a ball around them, and directions made of several gradients
 * (ops.h GATHER, BALL_STEP, GROUP_MEAN, VR_ADD). */
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

static void group_mean_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t k = 0; k < y->c; k++) {
            double sum = 0;
            for (int64_t g = k; g < x->c; g += y->c)
                sum += (double)pixel_at(x, p)[g];
            pixel_at(y, p)[k] = (real)(sum / (double)(x->c / y->c));
        }
}

um_status UM_FN(um_cpu_group_mean)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->in[0]), call->in[0].c, group_mean_span);
    return UM_OK;
}

static void vr_add_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *d = &call->in[0], *g = &call->in[1], *m = &call->in[2], *s = &call->out[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t k = 0; k < s->c; k++) {
            double off = (double)pixel_at(g, p)[k] - (double)pixel_at(m, p)[k];
            pixel_at(s, p)[k] = (real)((double)pixel_at(s, p)[k] + (double)pixel_at(d, p)[k] - off);
        }
}

um_status UM_FN(um_cpu_vr_add)(const um_op_call *call)
{
    um_span_run(call, um_view_pixels(&call->out[0]), 4 * call->out[0].c, vr_add_span);
    return UM_OK;
}
