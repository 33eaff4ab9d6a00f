#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_tile.h"

#include <omp.h>

/* 3x3 convolution, stride 1, pad 1, as an implicit GEMM: padded row strips times packed weights. Backward-data is the same sum
 * with the taps turned and the channels exchanged, both folded into the packing. */

enum { STRIP_BYTES = 128 << 10 };

/* Where the weight of (tap, ci, co) lies. */
typedef struct weight_order {
    const real *w;
    int64_t step_ci, step_co;
    bool turned;
} weight_order;

/* Offsets into the workspace, in reals. */
typedef struct layout {
    int64_t weights, bias, strips, end;
} layout;

static layout layout_of(const um_strip_plan *p, int threads)
{
    layout l = {0};
    int64_t lanes = p->n_vec * VL;
    l.bias = um_reals_aligned(9 * p->ci * lanes);
    l.strips = l.bias + um_reals_aligned(lanes);
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

/* [ci][nv*VL] of one panel and tap; channels beyond co weigh nothing. */
static void pack_tap(const um_strip_plan *p, const weight_order *o, int64_t panel, int tap, real *packed)
{
    int64_t width = um_panel_vectors(p, panel) * VL, first = panel * p->nv * VL / p->g;
    int64_t channels = i_min(width / p->g, p->co - first);
    const real *w = o->w + (int64_t)(o->turned ? 8 - tap : tap) * p->ci * p->co + first * o->step_co;
    real *out = packed + (panel * p->nv * 9 + (int64_t)tap * um_panel_vectors(p, panel)) * p->ci * VL;
    memset(out, 0, (size_t)(p->ci * width) * sizeof(real));
    for (int64_t c = 0; c < p->ci; c++, out += width) {
        for (int64_t k = 0; k < channels; k++) {
            for (int q = 0; q < p->g; q++) {
                out[k * p->g + q] = w[c * o->step_ci + k * o->step_co];
            }
        }
    }
}

static void pack_weights(const um_strip_plan *p, const weight_order *o, real *packed)
{
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t t = 0; t < p->panels * 9; t++) {
        pack_tap(p, o, t / 9, (int)(t % 9), packed);
    }
}

static void pack_bias(const um_strip_plan *p, const real *bias, real *packed)
{
    for (int64_t l = 0; l < p->n_vec * VL; l++) {
        int64_t k = l / p->g;
        packed[l] = bias && k < p->co ? bias[k] : 0;
    }
}

/* One output row of one panel. row: the first of its three strip rows. */
static void row_run(const um_strip_plan *p, const um_view *y, int64_t pixel, const real *row, um_conv_tile t, int nv)
{
    int max = um_tile_rows(nv);
    int64_t tiles = i_ceil_div(p->cols, max), begin = 0;
    t.y += pixel * y->ld;
    for (int64_t i = 0; i < tiles; i++) {
        int64_t end = p->cols * (i + 1) / tiles;
        t.a = row + begin * p->ci * p->g;
        t.parts_cut = p->w - (p->g - 1) * p->cols - begin;
        UM_FN(um_conv_tile_find)((int)(end - begin), nv, p->g)(&t);
        t.y += (end - begin) * y->ld;
        begin = end;
    }
}

static void strip_run(const um_strip_plan *p, const um_view *y, int64_t task, const real *strip, const real *ws, bool accumulate,
                      int64_t panel)
{
    layout l = layout_of(p, 0);
    int64_t image = task / p->strips, row0 = task % p->strips * p->rows, rows = i_min(p->rows, p->h - row0);
    int nv = um_panel_vectors(p, panel);
    int64_t first = panel * p->nv * VL / p->g;
    um_conv_tile t = {.a_row = p->pitch, .a_col = p->ci * p->g, .depth = 3 * p->ci, .accumulate = accumulate};
    t.b = ws + l.weights + panel * p->nv * 9 * p->ci * VL;
    t.bias = ws + l.bias + panel * p->nv * VL;
    t.y = (real *)y->data + first;
    t.y_col = y->ld;
    t.y_part = p->cols * y->ld;
    t.channels = i_min((int64_t)nv * VL / p->g, p->co - first);
    for (int64_t r = 0; r < rows; r++) {
        row_run(p, y, (image * p->h + row0 + r) * p->w, strip + r * p->pitch, t, nv);
    }
}

static void direct_run(const um_strip_plan *p, const um_view *x, const um_view *y, real *ws, bool accumulate)
{
    int threads = UM_FN(um_conv_threads)();
    layout l = layout_of(p, threads);
    int64_t tasks = p->n * p->strips;
    int64_t splits = tasks < 4 * threads ? p->panels : 1; /* few strips: share them out by panels as well */
#pragma omp parallel num_threads(threads)
    {
        real *strip = ws + l.strips + omp_get_thread_num() * UM_FN(um_strip_reals)(p);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < tasks * splits; i++) {
            int64_t task = i / splits, row0 = task % p->strips * p->rows;
            UM_FN(um_strip_fill)(p, x, task / p->strips, row0, i_min(p->rows, p->h - row0), strip);
            for (int64_t panel = i % splits; panel < p->panels; panel += splits) {
                strip_run(p, y, task, strip, ws, accumulate, panel);
            }
        }
    }
}

void UM_FN(um_conv_direct_fwd)(const um_conv_shape *s, const um_op_call *call)
{
    um_strip_plan p;
    plan_of(&p, s, UM_OP_CONV_FWD);
    real *ws = call->workspace;
    weight_order order = {call->in[1].data, s->k, 1, false};
    pack_weights(&p, &order, ws);
    pack_bias(&p, call->in[2].data, ws + layout_of(&p, 0).bias);
    direct_run(&p, &call->in[0], &call->out[0], ws, false);
}

void UM_FN(um_conv_direct_bwd_data)(const um_conv_shape *s, const um_op_call *call)
{
    um_strip_plan p;
    plan_of(&p, s, UM_OP_CONV_BWD_DATA);
    real *ws = call->workspace;
    weight_order order = {call->in[1].data, 1, s->k, true};
    pack_weights(&p, &order, ws);
    pack_bias(&p, NULL, ws + layout_of(&p, 0).bias);
    direct_run(&p, &call->in[0], &call->out[0], ws, call->accumulate);
}
