#include "kernels/cpu/conv_tile.h"

#include <inttypes.h>
#include <omp.h>

/* Transposed convolution 2x2, stride 2: no output pixel has two sources, so y is four interleaved 1x1 convolutions of x, one per
 * corner (u, v), written straight to their pixels; dx is one sum over 2 rows of 2 pixels of dy; dw is four products over pixels. */

typedef struct plan {
    int64_t n, h, w, c, o;
    um_panels out;  /* fwd, bwd_weight: O channels; bwd_data: C channels */
    int64_t packed; /* reals of all packed weights; a part of dw has the same size */
    int64_t corner; /* fwd, bwd_weight: reals of one corner's */
} plan;

/* small: x or dx, [n,h,w,C]; large: y or dy, [n,2h,2w,O]. */
static plan plan_of(const um_view *small, const um_view *large, bool data)
{
    plan p = {.n = small->n, .h = small->h, .w = small->w, .c = small->c, .o = large->c};
    UM_FN(um_panels_set)(&p.out, data ? p.c : p.o, 1, p.w);
    p.corner = um_panels_reals(&p.out, p.c);
    p.packed = data ? um_panels_reals(&p.out, 4 * p.o) : 4 * p.corner;
    return p;
}

#define SHAPE "[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]"

static um_status check(const char *op, const um_view *small, const um_view *w, const um_view *large)
{
    bool type = small->dtype == UM_REAL_DTYPE && w->dtype == UM_REAL_DTYPE && large->dtype == UM_REAL_DTYPE;
    bool shape = small->n == large->n && large->h == 2 * small->h && large->w == 2 * small->w && w->n == small->c && w->h == 2 &&
                 w->w == 2 && w->c == large->c && um_view_dense(w) && small->ld >= small->c && large->ld >= large->c;
    if (!type || !shape || small->h < 1 || small->w < 1 || small->c < 1 || large->c < 1) {
        return um_fail(UM_E_UNSUPPORTED,
                       "%s: needs float views [N,h,w,C], w [C,2,2,O], [N,2h,2w,O] of the graph, not " SHAPE ", " SHAPE ", " SHAPE,
                       op, small->n, small->h, small->w, small->c, w->n, w->h, w->w, w->c, large->n, large->h, large->w, large->c);
    }
    return UM_OK;
}

/* Pixel (row, 0), rows counted through all images. */
static real *row_at(const um_view *v, int64_t row)
{
    return (real *)v->data + row * v->w * v->ld;
}

um_status UM_FN(um_cpu_convt_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_fwd", &call->in[0], &call->in[1], &call->out[0]));
    plan p = plan_of(&call->in[0], &call->out[0], false);
    *bytes = (size_t)(p.packed + um_panels_reals(&p.out, 1)) * sizeof(real);
done:
    return rc;
}

/* One row of x to the two rows of y below it. */
static void fwd_row(const plan *p, const um_op_call *call, int64_t row)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    const real *w = call->workspace, *bias = w + p->packed;
    um_conv_tile t = {.a = row_at(x, row), .rows = 1, .segments = 1, .depth = p->c, .a_col = x->ld, .y_col = 2 * y->ld};
    for (int64_t i = 0; i < 4 * p->out.count; i++) {
        int64_t corner = i / p->out.count, panel = i % p->out.count;
        t.b = w + corner * p->corner + um_panel_at(&p->out, panel, p->c);
        t.bias = bias + um_panel_at(&p->out, panel, 1);
        t.y = row_at(y, 2 * row + corner / 2) + corner % 2 * y->ld + um_panel_first(&p->out, panel);
        t.channels = um_panel_channels(&p->out, panel);
        UM_FN(um_conv_row)(&t, p->w, um_panel_vectors(&p->out, panel), 1);
    }
}

um_status UM_FN(um_cpu_convt_fwd)(const um_op_call *call)
{
    plan p = plan_of(&call->in[0], &call->out[0], false);
    real *w = call->workspace;
    for (int64_t corner = 0; corner < 4; corner++) {
        um_matrix m = {(const real *)call->in[1].data + corner * p.o, 4 * p.o, 1};
        UM_FN(um_panels_pack)(&p.out, p.c, m, w + corner * p.corner);
    }
    UM_FN(um_panels_pack_bias)(&p.out, call->in[2].data, w + p.packed);
#pragma omp parallel for schedule(dynamic, 4) num_threads(UM_FN(um_conv_threads)())
    for (int64_t row = 0; row < p.n * p.h; row++) {
        fwd_row(&p, call, row);
    }
    return UM_OK;
}

um_status UM_FN(um_cpu_convt_bwd_data_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_bwd_data", &call->out[0], &call->in[1], &call->in[0]));
    plan p = plan_of(&call->out[0], &call->in[0], true);
    *bytes = (size_t)(p.packed + um_panels_reals(&p.out, 1)) * sizeof(real);
done:
    return rc;
}

static void data_row(const plan *p, const um_op_call *call, int64_t row)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    const real *w = call->workspace, *zero = w + p->packed;
    um_conv_tile t = {.a = row_at(dy, 2 * row), .rows = 2, .a_row = dy->w * dy->ld, .segments = 2, .a_seg = dy->ld, .depth = p->o};
    t.a_col = 2 * dy->ld;
    t.y_col = dx->ld;
    t.accumulate = call->accumulate;
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        t.b = w + um_panel_at(&p->out, panel, 4 * p->o);
        t.bias = zero + um_panel_at(&p->out, panel, 1);
        t.y = row_at(dx, row) + um_panel_first(&p->out, panel);
        t.channels = um_panel_channels(&p->out, panel);
        UM_FN(um_conv_row)(&t, p->w, um_panel_vectors(&p->out, panel), 1);
    }
}

um_status UM_FN(um_cpu_convt_bwd_data)(const um_op_call *call)
{
    plan p = plan_of(&call->out[0], &call->in[0], true);
    real *w = call->workspace;
    UM_FN(um_panels_pack)(&p.out, 4 * p.o, (um_matrix){call->in[1].data, 1, 4 * p.o}, w);
    UM_FN(um_panels_pack_bias)(&p.out, NULL, w + p.packed);
#pragma omp parallel for schedule(dynamic, 4) num_threads(UM_FN(um_conv_threads)())
    for (int64_t row = 0; row < p.n * p.h; row++) {
        data_row(&p, call, row);
    }
    return UM_OK;
}

/* Input rows whose outer products are formed in one go: about 512 pixels, by the shape alone. */
static int64_t block_rows(const plan *p)
{
    return i_max(1, i_min(p->h, 512 / p->w));
}

static int64_t grad_of(const plan *p)
{
    return um_reals_aligned(block_rows(p) * p->w * p->out.nv * VL);
}

um_status UM_FN(um_cpu_convt_bwd_weight_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_bwd_weight", &call->in[0], &call->out[0], &call->in[1]));
    plan p = plan_of(&call->in[0], &call->in[1], false);
    int64_t blocks = i_ceil_div(p.h, block_rows(&p)), bytes_part = p.packed * (int64_t)sizeof(real);
    int64_t lane_most = UM_FN(um_conv_lane_most)(call->batch, p.n);
    int64_t parts = UM_FN(um_conv_parts_max)(p.n, UM_FN(um_conv_lanes)(call->batch), lane_most, blocks, bytes_part);
    *bytes = (size_t)(parts * p.packed + UM_FN(um_conv_max_threads)() * grad_of(&p)) * sizeof(real);
done:
    return rc;
}

/* dw += x^T dy of `rows` input rows at one corner. grad: scratch for gradients that must be padded. */
static void weight_corner(const plan *p, const um_op_call *call, int64_t row, int64_t rows, int64_t corner, real *grad, real *dw)
{
    const um_view *x = &call->in[0], *dy = &call->in[1];
    um_outer_tile t = {.a = row_at(x, row), .a_row = p->w * x->ld, .a_col = x->ld, .rows = rows, .cols = p->w};
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        int nv = um_panel_vectors(&p->out, panel);
        int64_t channels = um_panel_channels(&p->out, panel);
        t.d = row_at(dy, 2 * row + corner / 2) + corner % 2 * dy->ld + um_panel_first(&p->out, panel);
        t.d_row = 2 * dy->w * dy->ld;
        t.d_col = 2 * dy->ld;
        if (channels < nv * VL) {
            UM_FN(um_pixels_pack)(grad, t.d, rows, t.d_row, p->w, t.d_col, channels, nv * VL);
            t.d = grad;
            t.d_col = (int64_t)nv * VL;
            t.d_row = p->w * t.d_col;
        }
        UM_FN(um_conv_outer)(&t, p->c, nv, 1, dw + um_panel_at(&p->out, panel, p->c));
    }
}

/* One part: blocks [begin, end) of a lane. */
static void weight_part(const plan *p, const um_op_call *call, int64_t first_image, int64_t begin, int64_t end, real *grad,
                        real *dw)
{
    int64_t rows = block_rows(p), blocks = i_ceil_div(p->h, rows);
    memset(dw, 0, (size_t)p->packed * sizeof(real));
    for (int64_t b = begin; b < end; b++) {
        int64_t row0 = b % blocks * rows, row = (first_image + b / blocks) * p->h + row0;
        for (int64_t corner = 0; corner < 4; corner++) {
            weight_corner(p, call, row, i_min(rows, p->h - row0), corner, grad, dw + corner * p->corner);
        }
    }
}

um_status UM_FN(um_cpu_convt_bwd_weight)(const um_op_call *call)
{
    plan p = plan_of(&call->in[0], &call->in[1], false);
    int64_t blocks = i_ceil_div(p.h, block_rows(&p));
    um_conv_parts parts;
    real *ws = call->workspace;
    UM_FN(um_conv_parts_set)(&parts, call->batch, blocks, p.packed * (int64_t)sizeof(real));
    int64_t n_parts = parts.first[parts.n_lanes];
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < n_parts; i++) {
        int64_t begin, end;
        int lane = UM_FN(um_conv_part_range)(&parts, call->batch, blocks, i, &begin, &end);
        real *grad = ws + n_parts * p.packed + omp_get_thread_num() * grad_of(&p);
        weight_part(&p, call, call->batch->lane_begin[lane], begin, end, grad, ws + i * p.packed);
    }
    for (int64_t corner = 0; corner < 4; corner++) {
        real *dw = (real *)call->out[0].data + corner * p.o;
        UM_FN(um_panels_sum)(&p.out, p.c, &parts, ws + corner * p.corner, p.packed, dw, 4 * p.o, call->accumulate);
    }
    return UM_OK;
}
