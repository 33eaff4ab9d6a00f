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

/* row[t] = sum over d of a[d] * transposed[d][t]. */
static void row_product(real *restrict row, const real *restrict a, const real *restrict transposed, int64_t width, int64_t tokens)
{
    memset(row, 0, (size_t)tokens * sizeof *row);
    for (int64_t d = 0; d < width; d++)
        for (int64_t t = 0; t < tokens; t++)
            row[t] += a[d] * transposed[d * tokens + t];
}

static void add_scaled(real *restrict to, const real *restrict from, real factor, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        to[k] += factor * from[k];
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

static void attention_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *o = &call->out[0], *p = &call->out[1];
    for (int64_t item = begin; item < end; item++) {
        head h = head_of(call, item);
        real *keys = (real *)call->workspace + item * h.width * h.tokens;
        transpose(&h, k, keys);
        for (int64_t i = 0; i < h.tokens; i++) {
            real *row = (real *)p->data + (item * h.tokens + i) * h.tokens, *to = token_at(&h, o, i);
            row_product(row, token_at(&h, q, i), keys, h.width, h.tokens);
            softmax(row, h.tokens, h.scale);
            memset(to, 0, (size_t)h.width * sizeof *to);
            for (int64_t j = 0; j < h.tokens; j++)
                add_scaled(to, token_at(&h, v, j), row[j], h.width);
        }
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

static void clear_head(const head *h, const um_view *v)
{
    for (int64_t t = 0; t < h->tokens; t++)
        memset(token_at(h, v, t), 0, (size_t)h->width * sizeof(real));
}

static void head_bwd(const um_op_call *call, const head *h, const real *p, real *values, real *row)
{
    const um_view *grad = &call->in[0], *q = &call->in[1], *k = &call->in[2], *v = &call->in[3];
    const um_view *dq = &call->out[0], *dk = &call->out[1], *dv = &call->out[2];
    for (int i = 0; i < 3 && !call->accumulate; i++)
        clear_head(h, &call->out[i]);
    transpose(h, v, values);
    for (int64_t i = 0; i < h->tokens; i++, p += h->tokens) {
        const real *g = token_at(h, grad, i), *query = token_at(h, q, i);
        real *to = token_at(h, dq, i);
        row_product(row, g, values, h->width, h->tokens);
        softmax_bwd(row, p, h->tokens, h->scale);
        for (int64_t j = 0; j < h->tokens; j++) {
            add_scaled(token_at(h, dv, j), g, p[j], h->width);
            add_scaled(to, token_at(h, k, j), row[j], h->width);
            add_scaled(token_at(h, dk, j), query, row[j], h->width);
        }
    }
}

static void attention_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_view *p = &call->in[4];
    for (int64_t item = begin; item < end; item++) {
        head h = head_of(call, item);
        real *values = (real *)call->workspace + item * (h.width + 1) * h.tokens;
        head_bwd(call, &h, (const real *)p->data + item * h.tokens * h.tokens, values, values + h.width * h.tokens);
    }
}

um_status UM_FN(um_cpu_attention_bwd_prepare)(const um_op_call *call, size_t *bytes)
{
    const um_view *p = &call->in[4];
    *bytes = (size_t)(p->n * p->h * p->w * (call->in[0].c / p->h + 1)) * sizeof(real);
    return UM_OK;
}

um_status UM_FN(um_cpu_attention_bwd)(const um_op_call *call)
{
    const um_view *p = &call->in[4];
    um_span_run(call, p->n * p->h, 4 * p->w * p->w * (call->in[0].c / p->h), attention_bwd_span);
    return UM_OK;
}
