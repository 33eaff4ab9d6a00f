#include "kernels/cpu/conv_thin.h"
#include "kernels/cpu/gemm.h"

/* 1x1 convolution: y[P,K] = x[P,C] w[C,K] + b over all pixels P, cut into chunks that never cross an image. */

/* What every pass needs to know. */
typedef struct plan {
    int64_t pixels, chunk, chunks; /* of one image */
    int64_t n_long;                /* thin case: channels of the long side */
    int thin;                      /* 0: use a matrix product */
    bool thin_out;                 /* K is the thin side */
} plan;

static plan plan_of(const um_conv_shape *s)
{
    plan p = {.pixels = s->h * s->w};
    p.chunk = um_gemm_chunk(p.pixels);
    p.chunks = i_ceil_div(p.pixels, p.chunk);
    p.thin_out = s->k <= s->c;
    p.thin = i_min(s->c, s->k) <= UM_THIN ? (int)i_min(s->c, s->k) : 0;
    p.n_long = i_max(s->c, s->k);
    return p;
}

/* Reals of a part of dw. */
static int64_t part_of(const um_conv_shape *s, const plan *p)
{
    return um_reals_aligned(p->thin ? p->thin * um_thin_pitch(p->n_long) : i_ceil_div(s->c * s->k, VL) * VL);
}

static int64_t part_bytes(const um_conv_shape *s, const plan *p)
{
    return part_of(s, p) * (int64_t)sizeof(real);
}

static bool supports(const um_conv_shape *s, um_op op)
{
    (void)op;
    return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad == 0;
}

static size_t workspace(const um_conv_shape *s, um_op op)
{
    plan p = plan_of(s);
    int64_t parts = 2; /* packed thin weights and a padded bias */
    if (op == UM_OP_CONV_BWD_WEIGHT) {
        parts = UM_FN(um_conv_parts_max)(s->n, s->n_lanes, p.chunks, part_bytes(s, &p));
    }
    return (size_t)(parts * part_of(s, &p)) * sizeof(real);
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

static void bias_fill(real *y, int64_t ld, int64_t pixels, const real *bias, int64_t k)
{
    for (int64_t i = 0; i < pixels; i++) {
        memcpy(y + i * ld, bias, (size_t)k * sizeof(real));
    }
}

/* to[P, n_to] (+)= from[P, n_from] w (+ bias); w is used as it lies forward, turned backward. */
static void product_chunk(const um_conv_shape *s, const um_op_call *call, chunk c, bool forward)
{
    const um_view *from = &call->in[0], *to = &call->out[0];
    const real *bias = forward ? call->in[2].data : NULL;
    real *out = (real *)to->data + c.pixel * to->ld;
    if (bias) {
        bias_fill(out, to->ld, c.count, bias, s->k);
    }
    um_mat a = {pixel_at(from, c.pixel), from->ld, false}, w = {call->in[1].data, s->k, !forward};
    um_gemm(c.count, to->c, from->c, a, w, out, to->ld, bias || (!forward && call->accumulate));
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

/* Forward and backward-data differ in which side is read and in the bias. */
static void pass(const um_conv_shape *s, const um_op_call *call, bool forward)
{
    plan p = plan_of(s);
    bool reduce = p.thin_out == forward, accumulate = !forward && call->accumulate;
    real *w = call->workspace;
    um_thin t = {w, p.n_long, p.thin};
    const real *bias = forward ? call->in[2].data : NULL;
    if (p.thin) {
        UM_FN(um_thin_pack)(w, call->in[1].data, p.n_long, p.thin, p.thin_out ? s->k : 1, p.thin_out ? 1 : s->k);
        if (bias && !reduce) {
            real *padded = w + part_of(s, &p);
            UM_FN(um_thin_pack)(padded, bias, p.n_long, 1, 1, 0);
            bias = padded;
        }
    }
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < s->n * p.chunks; i++) {
        chunk c = chunk_at(&p, i / p.chunks, i % p.chunks);
        if (p.thin) {
            thin_chunk(&t, call, c, bias, reduce, accumulate);
        } else {
            product_chunk(s, call, c, forward);
        }
    }
}

static void fwd(const um_conv_shape *s, const um_op_call *call)
{
    pass(s, call, true);
}

static void bwd_data(const um_conv_shape *s, const um_op_call *call)
{
    pass(s, call, false);
}

static void weight_chunk(const um_conv_shape *s, const plan *p, const um_op_call *call, chunk c, real *dw)
{
    const um_view *x = &call->in[0], *dy = &call->in[1];
    const real *a = pixel_at(x, c.pixel), *b = pixel_at(dy, c.pixel);
    if (!p->thin) {
        um_gemm(s->c, s->k, c.count, (um_mat){a, x->ld, true}, (um_mat){b, dy->ld, false}, dw, s->k, true);
    } else if (p->thin_out) {
        UM_FN(um_thin_outer)(s->c, p->thin, a, x->ld, b, dy->ld, c.count, dw);
    } else {
        UM_FN(um_thin_outer)(s->k, p->thin, b, dy->ld, a, x->ld, c.count, dw);
    }
}

/* Element (c, k) of a part. */
static int64_t part_index(const um_conv_shape *s, const plan *p, int64_t c, int64_t k)
{
    if (!p->thin) {
        return c * s->k + k;
    }
    return p->thin_out ? k * um_thin_pitch(p->n_long) + c : c * um_thin_pitch(p->n_long) + k;
}

/* Sums the parts into the first one and copies it out. */
static void parts_out(const um_conv_shape *s, const plan *p, const um_conv_parts *parts, real *ws, const um_op_call *call)
{
    int64_t stride = part_of(s, p);
    real *dw = call->out[0].data;
#pragma omp parallel for schedule(static) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < stride; i += VL) {
        v_store(ws + i, UM_FN(um_conv_parts_sum)(parts, ws + i, stride));
    }
    for (int64_t c = 0; c < s->c; c++) {
        for (int64_t k = 0; k < s->k; k++) {
            real v = ws[part_index(s, p, c, k)];
            dw[c * s->k + k] = call->accumulate ? dw[c * s->k + k] + v : v;
        }
    }
}

static void bwd_weight(const um_conv_shape *s, const um_op_call *call)
{
    plan p = plan_of(s);
    um_conv_parts parts;
    real *ws = call->workspace;
    UM_FN(um_conv_parts_set)(&parts, call->batch, p.chunks, part_bytes(s, &p));
#pragma omp parallel for schedule(dynamic) num_threads(UM_FN(um_conv_threads)())
    for (int64_t i = 0; i < parts.first[parts.n_lanes]; i++) {
        int64_t begin, end;
        int lane = UM_FN(um_conv_part_range)(&parts, call->batch, p.chunks, i, &begin, &end);
        real *dw = ws + i * part_of(s, &p);
        memset(dw, 0, (size_t)part_bytes(s, &p));
        for (int64_t b = begin; b < end; b++) {
            weight_chunk(s, &p, call, chunk_at(&p, call->batch->lane_begin[lane] + b / p.chunks, b % p.chunks), dw);
        }
    }
    parts_out(s, &p, &parts, ws, call);
}

const um_conv_impl UM_FN(um_conv_gemm) = {
    .name = "gemm",
    .algo = UM_CONV_DIRECT,
    .supports = supports,
    .workspace = workspace,
    .fwd = fwd,
    .bwd_data = bwd_data,
    .bwd_weight = bwd_weight,
};
