/* Multi-head attention (Vaswani et al., NeurIPS 2017; layers.md section 1). One (image, head) is one item of work; inner loops run
 * over tokens or over the channels of a head, so the transposed operand of a product lies in the workspace. */
#include <math.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"
#include "kernels/cpu/vmath.h"

/* One head of one image: token t of a view starts at at(view, t). */
typedef struct head {
    int64_t image, first, width, tokens; /* first: its first channel */
    real scale;
} head;

static head head_of(const um_op_call *call, int64_t item)
{
    const um_view *q = &call->in[0];
    int64_t heads = call->attr.attention.heads, width = q->c / heads;
    return (head){item / heads, item % heads * width, width, q->h * q->w, (real)(1 / sqrt((double)width))};
}

UM_INLINE real *token_at(const head *h, const um_view *v, int64_t t)
{
    return pixel_at(v, h->image * h->tokens + t) + h->first;
}

/* out[d][t] = v[t][d]. */
static void transpose(const head *h, const um_view *v, real *restrict out)
{
    for (int64_t t = 0; t < h->tokens; t++) {
        const real *from = token_at(h, v, t);
        for (int64_t d = 0; d < h->width; d++)
            out[d * h->tokens + t] = from[d];
    }
}

/* A factor of a product in memory: element (i, j) at data[i * row + j * col]. */
typedef struct factor {
    const real *data;
    int64_t row, col;
} factor;

enum { PRODUCT_ROWS = 6, PRODUCT_VECTORS = 2 }; /* sums in registers */

/* Rows [0, rows) and one column of out = a b (+ out), b with col = 1: sums over k in order. */
UM_INLINE void product_block(real *out, int64_t ld, factor a, factor b, int rows, int vectors, int lanes, int64_t n, bool accumulate)
{
    vreal sum[PRODUCT_ROWS][PRODUCT_VECTORS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = accumulate ? v_load_lanes(out + i * ld + v * VL, lanes) : (vreal){0};
    for (int64_t k = 0; k < n; k++, b.data += b.row, a.data += a.col) {
        vreal right[PRODUCT_VECTORS];
        for (int v = 0; v < vectors; v++)
            right[v] = v_load_lanes(b.data + v * VL, lanes);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < vectors; v++)
                sum[i][v] = a.data[i * a.row] * right[v] + sum[i][v];
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vectors; v++)
            v_store_lanes(out + i * ld + v * VL, sum[i][v], lanes);
}

/* All columns of `rows` rows, which is a constant where this is inlined. */
UM_INLINE void product_rows(real *out, int64_t ld, factor a, factor b, int rows, int64_t width, int64_t n, bool accumulate)
{
    int64_t j = 0;
    for (; j + PRODUCT_VECTORS * VL <= width; j += PRODUCT_VECTORS * VL)
        product_block(out + j, ld, a, (factor){b.data + j, b.row, 1}, rows, PRODUCT_VECTORS, VL, n, accumulate);
    for (; j < width; j += VL)
        product_block(out + j, ld, a, (factor){b.data + j, b.row, 1}, rows, 1, (int)min64(VL, width - j), n, accumulate);
}

/* out[m][width] = a[m][n] b[n][width], or added to it; out: rows at distance ld. */
static void product(real *out, int64_t ld, factor a, factor b, int64_t m, int64_t width, int64_t n, bool accumulate)
{
    int64_t i = 0;
    for (; i + PRODUCT_ROWS <= m; i += PRODUCT_ROWS, out += PRODUCT_ROWS * ld, a.data += PRODUCT_ROWS * a.row)
        product_rows(out, ld, a, b, PRODUCT_ROWS, width, n, accumulate);
    for (; i < m; i++, out += ld, a.data += a.row)
        product_rows(out, ld, a, b, 1, width, n, accumulate);
}

static void softmax(real *restrict row, int64_t n, real scale)
{
    real top = row[0];
    double sum = 0;
    for (int64_t t = 1; t < n; t++)
        top = row[t] > top ? row[t] : top;
    for (int64_t t = 0; t < n; t++)
        row[t] = v_exp((row[t] - top) * scale);
    for (int64_t t = 0; t < n; t++)
        sum += (double)row[t];
    real share = (real)(1 / sum);
    for (int64_t t = 0; t < n; t++)
        row[t] *= share;
}

static factor tokens_of(const head *h, const um_view *v)
{
    return (factor){token_at(h, v, 0), v->ld, 1};
}

static void attention_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *o = &call->out[0], *p = &call->out[1];
    for (int64_t item = begin; item < end; item++) {
        head h = head_of(call, item);
        int64_t t = h.tokens;
        real *keys = (real *)call->workspace + item * h.width * t, *scores = (real *)p->data + item * t * t;
        transpose(&h, k, keys);
        product(scores, t, tokens_of(&h, q), (factor){keys, t, 1}, t, t, h.width, false);
        for (int64_t i = 0; i < t; i++)
            softmax(scores + i * t, t, h.scale);
        product(token_at(&h, o, 0), o->ld, (factor){scores, t, 1}, tokens_of(&h, v), t, h.width, t, false);
    }
}

um_status UM_FN(um_cpu_attention_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    *bytes = (size_t)um_view_count(&call->in[0]) * sizeof(real);
    return UM_OK;
}

um_status UM_FN(um_cpu_attention_fwd)(const um_op_call *call)
{
    const um_view *p = &call->out[1];
    um_span_run(call, p->n * p->h, 2 * p->w * p->w * (call->in[0].c / p->h), attention_span);
    return UM_OK;
}

/* The gradient of the scores, over row (which holds dP): P*(dP - sum dP*P) * scale. */
static void softmax_bwd(real *restrict row, const real *restrict p, int64_t n, real scale)
{
    double sum = 0;
    for (int64_t t = 0; t < n; t++)
        sum += (double)row[t] * (double)p[t];
    for (int64_t t = 0; t < n; t++)
        row[t] = p[t] * (row[t] - (real)sum) * scale;
}

/* p, scores: [tokens][tokens]; values: room for [width][tokens]. */
static void head_bwd(const um_op_call *call, const head *h, const real *p, real *values, real *scores)
{
    const um_view *grad = &call->in[0], *q = &call->in[1], *k = &call->in[2], *v = &call->in[3];
    const um_view *dq = &call->out[0], *dk = &call->out[1], *dv = &call->out[2];
    int64_t t = h->tokens;
    transpose(h, v, values);
    product(scores, t, tokens_of(h, grad), (factor){values, t, 1}, t, t, h->width, false);
    for (int64_t i = 0; i < t; i++)
        softmax_bwd(scores + i * t, p + i * t, t, h->scale);
    product(token_at(h, dq, 0), dq->ld, (factor){scores, t, 1}, tokens_of(h, k), t, h->width, t, call->accumulate);
    product(token_at(h, dk, 0), dk->ld, (factor){scores, 1, t}, tokens_of(h, q), t, h->width, t, call->accumulate);
    product(token_at(h, dv, 0), dv->ld, (factor){p, 1, t}, tokens_of(h, grad), t, h->width, t, call->accumulate);
}

static void attention_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *p = &call->in[4];
    for (int64_t item = begin; item < end; item++) {
        head h = head_of(call, item);
        int64_t square = h.tokens * h.tokens;
        real *values = (real *)call->workspace + item * (h.width * h.tokens + square);
        head_bwd(call, &h, (const real *)p->data + item * square, values, values + h.width * h.tokens);
    }
}

um_status UM_FN(um_cpu_attention_bwd_prepare)(const um_op_call *call, size_t *bytes)
{
    const um_view *p = &call->in[4];
    *bytes = (size_t)(p->n * p->h * p->w * (call->in[0].c / p->h + p->w)) * sizeof(real);
    return UM_OK;
}

um_status UM_FN(um_cpu_attention_bwd)(const um_op_call *call)
{
    const um_view *p = &call->in[4];
    um_span_run(call, p->n * p->h, 4 * p->w * p->w * (call->in[0].c / p->h), attention_bwd_span);
    return UM_OK;
}
