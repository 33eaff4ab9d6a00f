#include "kernels/cpu/conv_thin.h"
#include "kernels/cpu/conv_tile.h"

#include <omp.h>

/* 1x1 convolution: y[P,K] = x[P,C] w[C,K] + b over all pixels P, by the micro-kernels on the views themselves. Pixels are cut into
 * chunks by the shape alone. A BLAS would not do: the serial OpenBLAS of Debian 12 is built without locks (0.3.21,
 * SINGLE_THREADED), so calls from several threads share a buffer and corrupt each other's results. */

enum { CHUNK_PIXELS = 512 };

/* What every pass needs to know. */
typedef struct plan {
    int64_t pixels, chunk, chunks; /* of one image */
    um_panels out;                 /* product: channels of the result */
    int64_t depth;                 /* product: channels of the input */
    int64_t n_long;                /* thin case: channels of the long side */
    int thin;                      /* 0: use a matrix product */
    bool thin_out;                 /* K is the thin side */
} plan;

static plan plan_of(const um_conv_shape *s, um_op op)
{
    bool data = op == UM_OP_CONV_BWD_DATA;
    plan p = {.pixels = s->h * s->w};
    p.chunks = i_ceil_div(p.pixels, CHUNK_PIXELS);
    p.chunk = i_ceil_div(p.pixels, p.chunks);
    p.chunks = i_ceil_div(p.pixels, p.chunk);
    p.depth = data ? s->k : s->c;
    UM_FN(um_panels_set)(&p.out, data ? s->c : s->k, 1, p.chunk);
    p.thin_out = s->k <= s->c;
    p.thin = i_min(s->c, s->k) <= UM_THIN ? (int)i_min(s->c, s->k) : 0;
    p.n_long = i_max(s->c, s->k);
    return p;
}

/* Reals of the packed weights, which is the size of a part of dw too. */
static int64_t part_of(const plan *p)
{
    return p->thin ? um_reals_aligned(p->thin * um_thin_pitch(p->n_long)) : um_panels_reals(&p->out, p->depth);
}

static int64_t part_bytes(const plan *p)
{
    return part_of(p) * (int64_t)sizeof(real);
}

/* Output gradients of a chunk, padded to one panel. */
static int64_t grad_of(const plan *p)
{
    return um_reals_aligned(p->chunk * p->out.nv * VL);
}

static bool supports(const um_conv_shape *s, um_op op)
{
    (void)op;
    return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad == 0;
}

static size_t workspace(const um_conv_shape *s, um_op op)
{
    plan p = plan_of(s, op);
    int64_t reals = 2 * part_of(&p); /* weights and bias, packed */
    if (op == UM_OP_CONV_BWD_WEIGHT) {
        reals = UM_FN(um_conv_parts_max)(s->n, s->n_lanes, s->lane_most, p.chunks, part_bytes(&p)) * part_of(&p);
        reals += UM_FN(um_conv_max_threads)() * grad_of(&p);
    }
    return (size_t)reals * sizeof(real);
}

typedef struct chunk {
    int64_t pixel, count;
} chunk;

static chunk chunk_at(const plan *p, int64_t image, int64_t index)
{
    int64_t begin = index * p->chunk;
    return (chunk){image * p->pixels + begin, i_min(p->chunk, p->pixels - begin)};
}

static const real *pixel_at(const um_view *v, int64_t pixel)
{
    return (const real *)v->data + pixel * v->ld;
}

static void product_chunk(const plan *p, const um_op_call *call, chunk c, bool accumulate)
{
    const um_view *from = &call->in[0], *to = &call->out[0];
    const real *w = call->workspace, *bias = w + part_of(p);
    um_conv_tile t = {.a = pixel_at(from, c.pixel), .rows = 1, .segments = 1, .depth = p->depth, .a_col = from->ld};
    t.accumulate = accumulate;
    t.y_col = to->ld;
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        t.b = w + um_panel_at(&p->out, panel, p->depth);
        t.bias = bias + um_panel_at(&p->out, panel, 1);
        t.y = (real *)to->data + c.pixel * to->ld + um_panel_first(&p->out, panel);
        t.channels = um_panel_channels(&p->out, panel);
        UM_FN(um_conv_row)(&t, c.count, um_panel_vectors(&p->out, panel), 1);
    }
}

static void thin_chunk(const um_thin *t, const um_op_call *call, chunk c, const real *bias, bool reduce, bool accumulate)
{
    const um_view *from = &call->in[0], *to = &call->out[0];
    real *out = (real *)to->data + c.pixel * to->ld;
    if (reduce) {
        UM_FN(um_thin_reduce)(t, pixel_at(from, c.pixel), from->ld, out, to->ld, c.count, bias, accumulate);
    } else {
        UM_FN(um_thin_expand)(t, pixel_at(from, c.pixel), from->ld, out, to->ld, c.count, bias, accumulate);
    }
}

/* Packs what a pass reads: weights, then the bias. */
static void operands_pack(const um_conv_shape *s, const plan *p, const um_op_call *call, bool forward)
{
    real *w = call->workspace, *bias = w + part_of(p);
    const real *weights = call->in[1].data, *b = forward ? call->in[2].data : NULL;
    if (!p->thin) {
        UM_FN(um_panels_pack)(&p->out, p->depth, (um_matrix){weights, forward ? s->k : 1, forward ? 1 : s->k}, w);
        UM_FN(um_panels_pack_bias)(&p->out, b, bias);
        return;
    }
    UM_FN(um_thin_pack)(w, weights, p->n_long, p->thin, p->thin_out ? s->k : 1, p->thin_out ? 1 : s->k);
    if (b) {
        UM_FN(um_thin_pack)(bias, b, forward ? s->k : s->c, 1, 1, 0);
    }
}

/* Forward and backward-data differ in which side is read and in the bias. */
static void pass(const um_conv_shape *s, const um_op_call *call, um_op op)
{
    bool forward = op == UM_OP_CONV_FWD, accumulate = !forward && call->accumulate;
    plan p = plan_of(s, op);
    const real *w = call->workspace, *bias = forward && call->in[2].data ? w + part_of(&p) : NULL;
    um_thin t = {w, p.n_long, p.thin};
    operands_pack(s, &p, call, forward);
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < s->n * p.chunks; i++) {
        chunk c = chunk_at(&p, i / p.chunks, i % p.chunks);
        if (p.thin) {
            thin_chunk(&t, call, c, bias, p.thin_out == forward, accumulate);
        } else {
            product_chunk(&p, call, c, accumulate);
        }
    }
}

static void fwd(const um_conv_shape *s, const um_op_call *call)
{
    pass(s, call, UM_OP_CONV_FWD);
}

static void bwd_data(const um_conv_shape *s, const um_op_call *call)
{
    pass(s, call, UM_OP_CONV_BWD_DATA);
}

/* dw += x^T dy over one chunk. grad: scratch for gradients that must be padded. */
static void product_weight(const plan *p, const um_op_call *call, chunk c, real *grad, real *dw)
{
    const um_view *x = &call->in[0], *dy = &call->in[1];
    um_outer_tile t = {.a = pixel_at(x, c.pixel), .a_col = x->ld, .rows = 1, .cols = c.count};
    for (int64_t panel = 0; panel < p->out.count; panel++) {
        int nv = um_panel_vectors(&p->out, panel);
        int64_t channels = um_panel_channels(&p->out, panel);
        t.d = pixel_at(dy, c.pixel) + um_panel_first(&p->out, panel);
        t.d_col = dy->ld;
        if (channels < nv * VL) {
            UM_FN(um_pixels_pack)(grad, t.d, 1, 0, c.count, dy->ld, channels, nv * VL);
            t.d = grad;
            t.d_col = (int64_t)nv * VL;
        }
        UM_FN(um_conv_outer)(&t, p->depth, nv, 1, dw + um_panel_at(&p->out, panel, p->depth));
    }
}

static void weight_chunk(const plan *p, const um_op_call *call, chunk c, real *grad, real *dw)
{
    const um_view *x = &call->in[0], *dy = &call->in[1];
    if (!p->thin) {
        product_weight(p, call, c, grad, dw);
        return;
    }
    const um_view *lng = p->thin_out ? x : dy, *thin = p->thin_out ? dy : x;
    UM_FN(um_thin_outer)(p->n_long, p->thin, pixel_at(lng, c.pixel), lng->ld, pixel_at(thin, c.pixel), thin->ld, c.count, dw);
}

/* Thin parts: the sum into the first part, then out in the order of dw. */
static void thin_sum(const um_conv_shape *s, const plan *p, const um_conv_parts *parts, real *ws, const um_op_call *call)
{
    int64_t pitch = um_thin_pitch(p->n_long);
    real *dw = call->out[0].data;
    for (int64_t i = 0; i < p->thin * pitch; i += VL) {
        v_store(ws + i, UM_FN(um_conv_parts_sum)(parts, ws + i, part_of(p), 1));
    }
    for (int64_t i = 0; i < s->c * s->k; i++) {
        int64_t c = i / s->k, k = i % s->k;
        real v = ws[p->thin_out ? k * pitch + c : c * pitch + k];
        dw[i] = call->accumulate ? dw[i] + v : v;
    }
}

static void bwd_weight(const um_conv_shape *s, const um_op_call *call)
{
    plan p = plan_of(s, UM_OP_CONV_BWD_WEIGHT);
    um_conv_parts parts;
    real *ws = call->workspace;
    UM_FN(um_conv_parts_set)(&parts, call->batch, p.chunks, part_bytes(&p));
    int64_t n_parts = parts.first[parts.n_lanes];
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < n_parts; i++) {
        int64_t begin, end;
        int lane = UM_FN(um_conv_part_range)(&parts, call->batch, p.chunks, i, &begin, &end);
        real *dw = ws + i * part_of(&p), *grad = ws + n_parts * part_of(&p) + omp_get_thread_num() * grad_of(&p);
        memset(dw, 0, (size_t)part_bytes(&p));
        for (int64_t b = begin; b < end; b++) {
            weight_chunk(&p, call, chunk_at(&p, call->batch->lane_begin[lane] + b / p.chunks, b % p.chunks), grad, dw);
        }
    }
    if (p.thin) {
        thin_sum(s, &p, &parts, ws, call);
    } else {
        UM_FN(um_panels_sum)(&p.out, p.depth, &parts, ws, part_of(&p), call->out[0].data, s->k, call->accumulate);
    }
}

const um_conv_impl UM_FN(um_conv_gemm) = {
    .name = "gemm",
    .algo = UM_CONV_AUTO,
    .supports = supports,
    .workspace = workspace,
    .fwd = fwd,
    .bwd_data = bwd_data,
    .bwd_weight = bwd_weight,
};
