#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_strip.h"
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
    l.part = um_panels_reals(&p->out, 9 * p->c);
    l.strip = UM_FN(um_strip_reals)(p);
    l.grad = um_reals_aligned((p->rows + 1) * p->out.nv * p->cols * VL);
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
    int64_t parts = UM_FN(um_conv_parts_max)(s->n, s->n_lanes, s->lane_most, p.strips, part_bytes(&p));
    return (size_t)layout_of(&p, parts, UM_FN(um_conv_max_threads)()).end * sizeof(real);
}

/* Output gradients of a strip's rows as [row][column][nv * VL], lanes as in the panel. plain: scratch for one row. */
static void grad_pack(const um_strip_plan *p, int64_t ld, const real *in, int64_t rows, int nv, int64_t channels, real *out,
                      real *plain)
{
    int g = p->out.g;
    int64_t width = (int64_t)nv * VL / g;
    if (g == 1) {
        UM_FN(um_pixels_pack)(out, in, rows, p->w * ld, p->w, ld, channels, width);
        return;
    }
    memset(plain, 0, (size_t)(p->cols * g * width) * sizeof(real));
    for (int64_t r = 0; r < rows; r++, in += p->w * ld, out += p->cols * g * width) {
        UM_FN(um_pixels_pack)(plain, in, 1, 0, p->w, ld, channels, width);
        UM_FN(um_strip_interleave)(out, plain, p->cols * width, p->cols * width, g);
    }
}

/* One strip of one panel: all 9 * C taps. scratch: strip, then packed gradients. */
static void strip_run(const um_strip_plan *p, const um_op_call *call, int64_t image, int64_t row0, int64_t panel, real *scratch,
                      real *out)
{
    const um_view *dy = &call->in[1];
    int g = p->out.g, nv = um_panel_vectors(&p->out, panel);
    int64_t rows = i_min(p->rows, p->h - row0), channels = um_panel_channels(&p->out, panel), depth = 3 * p->c;
    const real *grad = (const real *)dy->data + (image * p->h + row0) * p->w * dy->ld + um_panel_first(&p->out, panel);
    um_outer_tile t = {.a_row = p->pitch, .a_col = p->c * g, .d = grad, .d_row = p->w * dy->ld, .d_col = dy->ld};
    t.rows = rows;
    t.cols = p->cols;
    UM_FN(um_strip_fill)(p, &call->in[0], image, row0, rows, scratch);
    if (g > 1 || channels < nv * VL) {
        real *packed = scratch + layout_of(p, 0, 0).strip;
        grad_pack(p, dy->ld, grad, rows, nv, channels, packed, packed + p->rows * p->cols * nv * VL);
        t.d = packed;
        t.d_col = (int64_t)nv * VL;
        t.d_row = p->cols * t.d_col;
    }
    for (int tap_row = 0; tap_row < 3; tap_row++) {
        t.a = scratch + tap_row * p->pitch;
        UM_FN(um_conv_outer)(&t, depth, nv, g, out + tap_row * depth * nv * VL);
    }
}

static void part_run(const um_strip_plan *p, const um_conv_parts *parts, const um_op_call *call, int64_t part, int64_t panel,
                     real *scratch, real *out)
{
    int64_t begin, end;
    int lane = UM_FN(um_conv_part_range)(parts, call->batch, p->strips, part, &begin, &end);
    memset(out, 0, (size_t)(9 * p->c * um_panel_vectors(&p->out, panel) * VL) * sizeof(real));
    for (int64_t b = begin; b < end; b++) {
        int64_t image = call->batch->lane_begin[lane] + b / p->strips;
        strip_run(p, call, image, b % p->strips * p->rows, panel, scratch, out);
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
        for (int64_t i = 0; i < n_parts * p.out.count; i++) {
            int64_t part = i / p.out.count, panel = i % p.out.count;
            part_run(&p, &parts, call, part, panel, scratch, ws + part * l.part + um_panel_at(&p.out, panel, 9 * p.c));
        }
    }
    UM_FN(um_panels_sum)(&p.out, 9 * p.c, &parts, ws, l.part, call->out[0].data, s->k, call->accumulate);
}
