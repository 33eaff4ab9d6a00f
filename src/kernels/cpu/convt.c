#include <inttypes.h>
#include <omp.h>

#include "kernels/cpu/conv.h"
#include "kernels/cpu/gemm.h"

/* Transposed convolution 2x2, stride 2: no output pixel has two sources, so y = shuffle(x w) with x [P,C], w [C,4*O] and column
 * (2u + v)*O + o of pixel (i, j) going to pixel (2i + u, 2j + v). Work is cut into runs of input rows by the shape alone. */

enum { CHUNK_BYTES = 256 << 10 };

typedef struct plan {
    int64_t n, h, w, c, o;
    int64_t rows, chunks; /* input rows of a chunk; chunks of an image */
    int64_t tile;         /* reals of the [rows*w][4*O] scratch */
    int64_t part;         /* reals of a part of dw */
} plan;

/* small: x or dx, [n,h,w,C]; large: y or dy, [n,2h,2w,O]. */
static plan plan_of(const um_view *small, const um_view *large)
{
    plan p = {.n = small->n, .h = small->h, .w = small->w, .c = small->c, .o = large->c};
    int64_t row = p.w * 4 * p.o * (int64_t)sizeof(real);
    p.chunks = i_ceil_div(p.h, i_max(1, i_min(p.h, CHUNK_BYTES / row)));
    p.rows = i_ceil_div(p.h, p.chunks);
    p.chunks = i_ceil_div(p.h, p.rows);
    p.tile = um_reals_aligned(p.rows * p.w * 4 * p.o);
    p.part = um_reals_aligned(p.c * 4 * p.o);
    return p;
}

static um_status check(const char *op, const um_view *small, const um_view *w, const um_view *large)
{
    bool type = small->dtype == UM_REAL_DTYPE && w->dtype == UM_REAL_DTYPE && large->dtype == UM_REAL_DTYPE;
    bool shape = small->n == large->n && large->h == 2 * small->h && large->w == 2 * small->w && w->n == small->c && w->h == 2 &&
                 w->w == 2 && w->c == large->c && um_view_dense(w) && small->ld >= small->c && large->ld >= large->c;
    if (!type || !shape || small->h < 1 || small->w < 1 || small->c < 1 || large->c < 1) {
        return um_fail(UM_E_UNSUPPORTED, "%s: needs [N,h,w,C], w [C,2,2,O], [N,2h,2w,O] of the graph's float type, not [%" PRId64 ",%" PRId64
                       ",%" PRId64 ",%" PRId64 "], [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "], [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]",
                       op, small->n, small->h, small->w, small->c, w->n, w->h, w->w, w->c, large->n, large->h, large->w, large->c);
    }
    return UM_OK;
}

/* A chunk of input rows: first row counted through all images, and how many. */
typedef struct chunk {
    int64_t image, row, rows;
} chunk;

static chunk chunk_at(const plan *p, int64_t image, int64_t index)
{
    int64_t row = index * p->rows;
    return (chunk){image, row, i_min(p->rows, p->h - row)};
}

static real *small_at(const plan *p, const um_view *v, chunk c)
{
    return (real *)v->data + (c.image * p->h + c.row) * p->w * v->ld;
}

/* Pixel (2*row + u, 0) of the large view. */
static real *large_row(const plan *p, const um_view *v, chunk c, int64_t row, int u)
{
    return (real *)v->data + (c.image * 2 * p->h + 2 * (c.row + row) + u) * 2 * p->w * v->ld;
}

static void scatter(const plan *p, const real *tile, const um_view *y, chunk c, const real *bias)
{
    for (int64_t r = 0; r < 2 * c.rows; r++) {
        real *out = large_row(p, y, c, r / 2, (int)(r % 2));
        const real *in = tile + (r / 2 * p->w * 4 + r % 2 * 2) * p->o;
        for (int64_t j = 0; j < 2 * p->w; j++, out += y->ld) {
            const real *from = in + (j / 2 * 4 + j % 2) * p->o;
            for (int64_t o = 0; o < p->o; o++) {
                out[o] = bias ? from[o] + bias[o] : from[o];
            }
        }
    }
}

static void gather(const plan *p, real *tile, const um_view *dy, chunk c)
{
    for (int64_t r = 0; r < 2 * c.rows; r++) {
        const real *in = large_row(p, dy, c, r / 2, (int)(r % 2));
        real *out = tile + (r / 2 * p->w * 4 + r % 2 * 2) * p->o;
        for (int64_t j = 0; j < 2 * p->w; j++, in += dy->ld) {
            memcpy(out + (j / 2 * 4 + j % 2) * p->o, in, (size_t)p->o * sizeof(real));
        }
    }
}

um_status UM_FN(um_cpu_convt_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_fwd", &call->in[0], &call->in[1], &call->out[0]));
    *bytes = (size_t)(UM_FN(um_conv_max_threads)() * plan_of(&call->in[0], &call->out[0]).tile) * sizeof(real);
done:
    return rc;
}

um_status UM_FN(um_cpu_convt_fwd)(const um_op_call *call)
{
    const um_view *x = &call->in[0];
    plan p = plan_of(x, &call->out[0]);
    um_mat w = {call->in[1].data, 4 * p.o, false};
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < p.n * p.chunks; i++) {
        chunk c = chunk_at(&p, i / p.chunks, i % p.chunks);
        real *tile = (real *)call->workspace + omp_get_thread_num() * p.tile;
        um_gemm(c.rows * p.w, 4 * p.o, p.c, (um_mat){small_at(&p, x, c), x->ld, false}, w, tile, 4 * p.o, false);
        scatter(&p, tile, &call->out[0], c, call->in[2].data);
    }
    return UM_OK;
}

um_status UM_FN(um_cpu_convt_bwd_data_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_bwd_data", &call->out[0], &call->in[1], &call->in[0]));
    *bytes = (size_t)(UM_FN(um_conv_max_threads)() * plan_of(&call->out[0], &call->in[0]).tile) * sizeof(real);
done:
    return rc;
}

um_status UM_FN(um_cpu_convt_bwd_data)(const um_op_call *call)
{
    const um_view *dx = &call->out[0];
    plan p = plan_of(dx, &call->in[0]);
    um_mat w = {call->in[1].data, 4 * p.o, true};
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < p.n * p.chunks; i++) {
        chunk c = chunk_at(&p, i / p.chunks, i % p.chunks);
        real *tile = (real *)call->workspace + omp_get_thread_num() * p.tile;
        gather(&p, tile, &call->in[0], c);
        um_gemm(c.rows * p.w, p.c, 4 * p.o, (um_mat){tile, 4 * p.o, false}, w, small_at(&p, dx, c), dx->ld, call->accumulate);
    }
    return UM_OK;
}

um_status UM_FN(um_cpu_convt_bwd_weight_prepare)(const um_op_call *call, size_t *bytes)
{
    um_status rc = UM_OK;
    UM_TRY(check("convt_bwd_weight", &call->in[0], &call->out[0], &call->in[1]));
    plan p = plan_of(&call->in[0], &call->in[1]);
    int64_t parts = UM_FN(um_conv_parts_max)(p.n, UM_FN(um_conv_lanes)(call->batch), p.chunks, p.part * (int64_t)sizeof(real));
    *bytes = (size_t)(parts * p.part + UM_FN(um_conv_max_threads)() * p.tile) * sizeof(real);
done:
    return rc;
}

/* dw[C][4*O] += x^T gather(dy) of one chunk. */
static void weight_chunk(const plan *p, const um_op_call *call, chunk c, real *tile, real *dw)
{
    const um_view *x = &call->in[0];
    gather(p, tile, &call->in[1], c);
    um_gemm(p->c, 4 * p->o, c.rows * p->w, (um_mat){small_at(p, x, c), x->ld, true}, (um_mat){tile, 4 * p->o, false}, dw, 4 * p->o, true);
}

static void parts_out(const plan *p, const um_conv_parts *parts, real *ws, const um_view *dw, bool accumulate)
{
    int64_t n = p->c * 4 * p->o;
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < n; i += VL) {
        real *out = (real *)dw->data + i;
        int left = (int)i_min(VL, n - i);
        vreal sum = UM_FN(um_conv_parts_sum)(parts, ws + i, p->part);
        v_store_n(out, accumulate ? v_load_n(out, left) + sum : sum, left);
    }
}

um_status UM_FN(um_cpu_convt_bwd_weight)(const um_op_call *call)
{
    plan p = plan_of(&call->in[0], &call->in[1]);
    um_conv_parts parts;
    real *ws = call->workspace;
    UM_FN(um_conv_parts_set)(&parts, call->batch, p.chunks, p.part * (int64_t)sizeof(real));
    int64_t n_parts = parts.first[parts.n_lanes];
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < n_parts; i++) {
        int64_t begin, end;
        int lane = UM_FN(um_conv_part_range)(&parts, call->batch, p.chunks, i, &begin, &end);
        real *tile = ws + n_parts * p.part + omp_get_thread_num() * p.tile, *dw = ws + i * p.part;
        memset(dw, 0, (size_t)p.part * sizeof(real));
        for (int64_t b = begin; b < end; b++) {
            weight_chunk(&p, call, chunk_at(&p, call->batch->lane_begin[lane] + b / p.chunks, b % p.chunks), tile, dw);
        }
    }
    parts_out(&p, &parts, ws, &call->out[0], call->accumulate);
    return UM_OK;
}
