#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_tile.h"

#include <omp.h>

/* Weight gradients of the 3x3 convolution: outer products of padded input strips and output gradients, summed over pixels.
 * dw[r][q][c][k] = sum over pixels of x[i + r - 1][j + q - 1][c] * dy[i][j][k]. A part (um_conv_parts) holds
 * [panel][9 * C][nv * VL]; each strip adds its own sum to it, so no chain of additions is longer than a strip's pixels. */

enum { STRIP_BYTES = 96 << 10 };

/* Offsets into the workspace, in reals; size of a part, of one thread's strip and of its packed gradients. */
typedef struct layout {
    int64_t scratch, end;
    int64_t part, strip, grad;
} layout;

static void plan_of(um_strip_plan *p, const um_conv_shape *s)
{
    UM_FN(um_strip_plan_set)(p, s->n, s->h, s->w, s->c, s->k, STRIP_BYTES);
}

static layout layout_of(const um_strip_plan *p, int64_t parts, int threads)
{
    layout l = {0};
    l.part = um_reals_aligned(9 * p->ci * p->n_vec * VL);
    l.strip = UM_FN(um_strip_reals)(p);
    l.grad = um_reals_aligned((p->rows * p->nv + 1) * p->cols * VL);
    l.scratch = parts * l.part;
    l.end = l.scratch + threads * (l.strip + l.grad);
    return l;
}

static int64_t part_bytes(const um_strip_plan *p)
{
    return layout_of(p, 0, 0).part * (int64_t)sizeof(real);
}

size_t UM_FN(um_conv_direct_weight_workspace)(const um_conv_shape *s)
{
    um_strip_plan p;
    plan_of(&p, s);
    int64_t parts = UM_FN(um_conv_parts_max)(s->n, s->n_lanes, p.strips, part_bytes(&p));
    return (size_t)layout_of(&p, parts, UM_FN(um_conv_max_threads)()).end * sizeof(real);
}

/* Output gradients of a strip's rows as [row][column][nv * VL], lanes as in the panel. plain: scratch for one row. */
static void grad_pack(const um_strip_plan *p, const um_view *dy, const real *in, int64_t rows, int nv, int64_t channels, real *out,
                      real *plain)
{
    int64_t width = (int64_t)nv * VL / p->g;
    for (int64_t r = 0; r < rows; r++, in += p->w * dy->ld, out += p->cols * nv * VL) {
        real *row = p->g == 1 ? out : plain;
        memset(row, 0, (size_t)(p->cols * nv * VL) * sizeof(real));
        for (int64_t j = 0; j < p->w; j++) {
            memcpy(row + j * width, in + j * dy->ld, (size_t)channels * sizeof(real));
        }
        if (p->g > 1) {
            UM_FN(um_strip_interleave)(out, plain, p->cols * width, p->cols * width, p->g);
        }
    }
}

/* All 9 * ci taps of one strip and panel. t comes with the gradients; out is the part's panel. */
static void taps_run(const um_strip_plan *p, const real *strip, um_weight_tile t, int nv, real *out)
{
    int64_t depth = 3 * p->ci, tiles = i_ceil_div(depth, um_tile_rows(nv));
    t.a_row = p->pitch;
    t.a_col = p->ci * p->g;
    t.cols = p->cols;
    for (int tap_row = 0; tap_row < 3; tap_row++) {
        for (int64_t i = 0; i < tiles; i++) {
            int64_t begin = depth * i / tiles, end = depth * (i + 1) / tiles;
            t.a = strip + tap_row * p->pitch + begin * p->g;
            t.out = out + (tap_row * depth + begin) * nv * VL;
            UM_FN(um_weight_tile_find)((int)(end - begin), nv, p->g)(&t);
        }
    }
}

/* One strip, given by its count through the lane's images. */
static void strip_run(const um_strip_plan *p, const um_op_call *call, int64_t image, int64_t row0, int64_t panel, real *scratch,
                      real *out)
{
    const um_view *dy = &call->in[1];
    layout l = layout_of(p, 0, 0);
    int nv = um_panel_vectors(p, panel);
    int64_t rows = i_min(p->rows, p->h - row0), first = panel * p->nv * VL / p->g;
    int64_t channels = i_min((int64_t)nv * VL / p->g, p->co - first);
    const real *grad = (const real *)dy->data + (image * p->h + row0) * p->w * dy->ld + first;
    um_weight_tile t = {.d = grad, .d_row = p->w * dy->ld, .d_col = dy->ld, .rows = rows};
    UM_FN(um_strip_fill)(p, &call->in[0], image, row0, rows, scratch);
    if (p->g > 1 || channels < nv * VL) {
        real *packed = scratch + l.strip;
        grad_pack(p, dy, grad, rows, nv, channels, packed, packed + p->rows * p->cols * nv * VL);
        t.d = packed;
        t.d_col = (int64_t)nv * VL;
        t.d_row = p->cols * t.d_col;
    }
    taps_run(p, scratch, t, nv, out);
}

static void part_run(const um_strip_plan *p, const um_conv_parts *parts, const um_op_call *call, int64_t part, int64_t panel,
                     real *scratch, real *out)
{
    int64_t begin, end;
    int lane = UM_FN(um_conv_part_range)(parts, call->batch, p->strips, part, &begin, &end);
    memset(out, 0, (size_t)(9 * p->ci * um_panel_vectors(p, panel) * VL) * sizeof(real));
    for (int64_t b = begin; b < end; b++) {
        int64_t image = call->batch->lane_begin[lane] + b / p->strips;
        strip_run(p, call, image, b % p->strips * p->rows, panel, scratch, out);
    }
}

/* One vector of the summed parts into dw: adds the g pixels of each channel, drops the padding. */
static void vector_out(const um_strip_plan *p, vreal sum, real *dw, int64_t channels, bool accumulate)
{
    real lanes[VL];
    v_store(lanes, sum);
    for (int64_t k = 0; k < channels; k++) {
        real v = lanes[k * p->g];
        for (int q = 1; q < p->g; q++) {
            v += lanes[k * p->g + q];
        }
        dw[k] = accumulate ? dw[k] + v : v;
    }
}

static void parts_out(const um_strip_plan *p, const um_conv_parts *parts, const real *data, const um_view *dw, bool accumulate)
{
    int64_t stride = layout_of(p, 0, 0).part, taps = 9 * p->ci;
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < taps * p->panels; i++) {
        int64_t panel = i / taps, tap = i % taps;
        int nv = um_panel_vectors(p, panel);
        for (int j = 0; j < nv; j++) {
            int64_t first = (panel * p->nv + j) * VL / p->g;
            const real *from = data + panel * p->nv * taps * VL + (tap * nv + j) * VL;
            vector_out(p, UM_FN(um_conv_parts_sum)(parts, from, stride), (real *)dw->data + tap * p->co + first,
                       i_min(VL / p->g, p->co - first), accumulate);
        }
    }
}

void UM_FN(um_conv_direct_bwd_weight)(const um_conv_shape *s, const um_op_call *call)
{
    um_strip_plan p;
    um_conv_parts parts;
    plan_of(&p, s);
    UM_FN(um_conv_parts_set)(&parts, call->batch, p.strips, part_bytes(&p));
    int64_t n_parts = parts.first[parts.n_lanes];
    layout l = layout_of(&p, n_parts, 0);
    real *ws = call->workspace;
    int threads = UM_FN(um_conv_threads)();
#pragma omp parallel num_threads(threads)
    {
        real *scratch = ws + l.scratch + omp_get_thread_num() * (l.strip + l.grad);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n_parts * p.panels; i++) {
            int64_t part = i / p.panels, panel = i % p.panels;
            part_run(&p, &parts, call, part, panel, scratch, ws + part * l.part + panel * p.nv * 9 * p.ci * VL);
        }
    }
    parts_out(&p, &parts, ws, &call->out[0], call->accumulate);
}
