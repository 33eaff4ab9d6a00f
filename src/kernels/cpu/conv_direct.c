#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_strip.h"
#include "kernels/cpu/conv_tile.h"

#include <omp.h>

/* 3x3 convolution, stride 1, pad 1, as an implicit GEMM: padded row strips times packed weights. Backward-data is the same sum
 * with the taps turned and the channels exchanged, both folded into the packing. */

enum { STRIP_BYTES = 128 << 10 };

/* Offsets into the workspace, in reals. */
typedef struct layout {
    int64_t weights, bias, strips, end;
} layout;

static layout layout_of(const um_strip_plan *p, int threads)
{
    layout l = {0};
    l.bias = um_panels_reals(&p->out, 9 * p->c);
    l.strips = l.bias + um_panels_reals(&p->out, 1);
    l.end = l.strips + threads * UM_FN(um_strip_reals)(p);
    return l;
}

static void plan_of(um_strip_plan *p, const um_conv_shape *s, um_op op)
{
    bool data = op == UM_OP_CONV_BWD_DATA;
    UM_FN(um_strip_plan_set)(p, s->n, s->h, s->w, data ? s->k : s->c, data ? s->c : s->k, STRIP_BYTES);
}

size_t UM_FN(um_conv_direct_workspace)(const um_conv_shape *s, um_op op)
{
    um_strip_plan p;
    plan_of(&p, s, op);
    return (size_t)layout_of(&p, UM_FN(um_conv_max_threads)()).end * sizeof(real);
}

/* m: the weights of tap 0; `turned`: taps in reverse order. */
static void pack_weights(const um_strip_plan *p, um_matrix m, bool turned, real *packed)
{
    int64_t tap_reals = p->c * p->out.channels;
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < p->out.count * 9; i++) {
        int64_t tap = i % 9;
        um_matrix from = {m.w + (turned ? 8 - tap : tap) * tap_reals, m.step_row, m.step_channel};
        UM_FN(um_panel_pack)(&p->out, i / 9, 9 * p->c, tap * p->c, p->c, from, packed);
    }
}

static void strip_run(const um_strip_plan *p, const um_view *y, int64_t task, int64_t panel, const real *strip, const real *ws,
                      bool accumulate)
{
    layout l = layout_of(p, 0);
    int g = p->out.g, nv = um_panel_vectors(&p->out, panel);
    int64_t image = task / p->strips, row0 = task % p->strips * p->rows, rows = i_min(p->rows, p->h - row0);
    um_conv_tile t = {.rows = 3, .a_row = p->pitch, .segments = 1, .depth = 3 * p->c, .a_col = p->c * g, .accumulate = accumulate};
    t.b = ws + l.weights + um_panel_at(&p->out, panel, 9 * p->c);
    t.bias = ws + l.bias + um_panel_at(&p->out, panel, 1);
    t.y_col = y->ld;
    t.y_part = p->cols * y->ld;
    t.channels = um_panel_channels(&p->out, panel);
    t.last_cols = p->w - (g - 1) * p->cols;
    for (int64_t r = 0; r < rows; r++) {
        t.a = strip + r * p->pitch;
        t.y = (real *)y->data + (image * p->h + row0 + r) * p->w * y->ld + um_panel_first(&p->out, panel);
        UM_FN(um_conv_row)(&t, p->cols, nv, g);
    }
}

static void direct_run(const um_strip_plan *p, const um_view *x, const um_view *y, real *ws, bool accumulate)
{
    int threads = UM_FN(um_conv_threads)();
    layout l = layout_of(p, threads);
    int64_t tasks = p->n * p->strips;
    int64_t splits = tasks < 4 * threads ? p->out.count : 1; /* few strips: share them out by panels as well */
#pragma omp parallel num_threads(threads)
    {
        real *strip = ws + l.strips + omp_get_thread_num() * UM_FN(um_strip_reals)(p);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < tasks * splits; i++) {
            int64_t task = i / splits, row0 = task % p->strips * p->rows;
            UM_FN(um_strip_fill)(p, x, task / p->strips, row0, i_min(p->rows, p->h - row0), strip);
            for (int64_t panel = i % splits; panel < p->out.count; panel += splits) {
                strip_run(p, y, task, panel, strip, ws, accumulate);
            }
        }
    }
}

void UM_FN(um_conv_direct_fwd)(const um_conv_shape *s, const um_op_call *call)
{
    um_strip_plan p;
    plan_of(&p, s, UM_OP_CONV_FWD);
    real *ws = call->workspace;
    pack_weights(&p, (um_matrix){call->in[1].data, s->k, 1}, false, ws);
    UM_FN(um_panels_pack_bias)(&p.out, call->in[2].data, ws + layout_of(&p, 0).bias);
    direct_run(&p, &call->in[0], &call->out[0], ws, false);
}

void UM_FN(um_conv_direct_bwd_data)(const um_conv_shape *s, const um_op_call *call)
{
    um_strip_plan p;
    plan_of(&p, s, UM_OP_CONV_BWD_DATA);
    real *ws = call->workspace;
    pack_weights(&p, (um_matrix){call->in[1].data, 1, s->k}, true, ws);
    UM_FN(um_panels_pack_bias)(&p.out, NULL, ws + layout_of(&p, 0).bias);
    direct_run(&p, &call->in[0], &call->out[0], ws, call->accumulate);
}
