/* Oracles of what attention networks are made of: patches, attention, embeddings, activations, gates, dropout. */
#include <math.h>

#include "base/rng.h"
#include "ref/ref_ops.h"

void um_ref_patches_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    int64_t size = call->attr.patch.size, stride = call->attr.patch.stride, pad = call->attr.patch.pad;
    REF_FOR(y, i, r, c, m)
    *ref_at(y, i, r, c, m) = ref_padded(x, i, r * stride - pad + m / x->c / size, c * stride - pad + m / x->c % size, m % x->c);
}

void um_ref_patches_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *dx = &call->out[0];
    int64_t size = call->attr.patch.size, stride = call->attr.patch.stride, pad = call->attr.patch.pad;
    REF_FOR(dx, i, r, c, k) *ref_at(dx, i, r, c, k) = 0;
    REF_FOR(dy, i, r, c, m)
    {
        int64_t row = r * stride - pad + m / dx->c / size, col = c * stride - pad + m / dx->c % size;
        if (row >= 0 && col >= 0 && row < dx->h && col < dx->w)
            *ref_at(dx, i, row, col, m % dx->c) += *ref_at(dy, i, r, c, m);
    }
}

/* Channel d of head a of token t. */
static double *head_at(const um_view *v, int64_t heads, int64_t i, int64_t a, int64_t t, int64_t d)
{
    return ref_at(v, i, t / v->w, t % v->w, a * (v->c / heads) + d);
}

void um_ref_attention_fwd(const um_op_call *call)
{
    const um_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *o = &call->out[0], *p = &call->out[1];
    int64_t heads = call->attr.attention.heads, width = q->c / heads, tokens = q->h * q->w;
    REF_FOR(p, i, a, s, t)
    {
        double score = 0;
        for (int64_t d = 0; d < width; d++)
            score += *head_at(q, heads, i, a, s, d) * *head_at(k, heads, i, a, t, d);
        *ref_at(p, i, a, s, t) = exp(score / sqrt((double)width));
    }
    for (int64_t row = 0; row < p->n * p->h * p->w; row++) {
        double *at = (double *)p->data + row * tokens, sum = 0;
        for (int64_t t = 0; t < tokens; t++)
            sum += at[t];
        for (int64_t t = 0; t < tokens; t++)
            at[t] /= sum;
    }
    REF_FOR(o, i, y, x, c)
    {
        double sum = 0;
        for (int64_t t = 0; t < tokens; t++)
            sum += *ref_at(p, i, c / width, y * o->w + x, t) * *head_at(v, heads, i, c / width, t, c % width);
        *ref_at(o, i, y, x, c) = sum;
    }
}

/* dL/dscore of row s against token t, by the rule of the softmax. */
static double score_slope(const um_op_call *call, int64_t i, int64_t a, int64_t s, int64_t t)
{
    const um_view *g = &call->in[0], *v = &call->in[3], *p = &call->in[4];
    int64_t heads = call->attr.attention.heads, width = g->c / heads;
    double own = 0, all = 0;
    for (int64_t u = 0; u < p->w; u++) {
        double dp = 0;
        for (int64_t d = 0; d < width; d++)
            dp += *head_at(g, heads, i, a, s, d) * *head_at(v, heads, i, a, u, d);
        all += dp * *ref_at(p, i, a, s, u);
        own = u == t ? dp : own;
    }
    return *ref_at(p, i, a, s, t) * (own - all) / sqrt((double)width);
}

void um_ref_attention_bwd(const um_op_call *call)
{
    const um_view *g = &call->in[0], *q = &call->in[1], *k = &call->in[2], *p = &call->in[4];
    int64_t heads = call->attr.attention.heads, width = q->c / heads;
    for (int o = 0; o < 3; o++)
        REF_FOR(&call->out[o], i, r, c, d) *ref_at(&call->out[o], i, r, c, d) = 0;
    REF_FOR(p, i, a, s, t)
    {
        double slope = score_slope(call, i, a, s, t);
        for (int64_t d = 0; d < width; d++) {
            *head_at(&call->out[0], heads, i, a, s, d) += slope * *head_at(k, heads, i, a, t, d);
            *head_at(&call->out[1], heads, i, a, t, d) += slope * *head_at(q, heads, i, a, s, d);
            *head_at(&call->out[2], heads, i, a, t, d) += *ref_at(p, i, a, s, t) * *head_at(g, heads, i, a, s, d);
        }
    }
}

void um_ref_embed_add(const um_op_call *call)
{
    const um_view *x = &call->in[0], *e = &call->in[1], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = *ref_at(x, i, r, c, k) + *ref_at(e, 0, 0, r * x->w + c, k);
}

void um_ref_embed_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *de = &call->out[0];
    REF_FOR(de, one, row, t, k) *ref_at(de, one, row, t, k) = 0;
    REF_FOR(dy, i, r, c, k) *ref_at(de, 0, 0, r * dy->w + c, k) += *ref_at(dy, i, r, c, k);
}

void um_ref_act_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    REF_FOR(y, i, r, c, k)
    {
        double v = *ref_at(x, i, r, c, k), *to = ref_at(y, i, r, c, k);
        switch (call->attr.act.kind) {
        case UM_ACT_RELU: *to = fmax(v, 0); break;
        case UM_ACT_SIGMOID: *to = 1 / (1 + exp(-v)); break;
        case UM_ACT_GELU: *to = v * 0.5 * erfc(-v / sqrt(2)); break; /* v * Phi(v) */
        }
    }
}

void um_ref_act_bwd(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *other = &call->in[1], *dx = &call->out[0];
    REF_FOR(dx, i, r, c, k)
    {
        double t = *ref_at(other, i, r, c, k), slope = 0;
        switch (call->attr.act.kind) {
        case UM_ACT_RELU: slope = t > 0; break;
        case UM_ACT_SIGMOID: slope = t - t * t; break;
        case UM_ACT_GELU: slope = 0.5 * erfc(-t / sqrt(2)) + t * exp(-t * t / 2) / sqrt(2 * acos(-1)); break;
        }
        *ref_at(dx, i, r, c, k) = *ref_at(dy, i, r, c, k) * slope;
    }
}

void um_ref_gate_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *m = &call->in[1], *y = &call->out[0];
    REF_FOR(y, i, r, c, k) *ref_at(y, i, r, c, k) = *ref_at(x, i, r, c, k) * *ref_at(m, i, r, c, 0);
}

void um_ref_gate_bwd_m(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *x = &call->in[1], *dm = &call->out[0];
    REF_FOR(dm, i, r, c, one) *ref_at(dm, i, r, c, one) = 0;
    REF_FOR(x, i, r, c, k) *ref_at(dm, i, r, c, 0) += *ref_at(dy, i, r, c, k) * *ref_at(x, i, r, c, k);
}

void um_ref_dropout(const um_op_call *call)
{
    const um_view *x = &call->in[0], *y = &call->out[0];
    double p = call->attr.dropout.p;
    REF_FOR(y, i, r, c, k)
    {
        uint64_t e = (uint64_t)((r * x->w + c) * x->c + k), item = (uint64_t)call->attr.dropout.layer << 32;
        uint32_t words[4];
        um_rng_words(call->batch->seed, UM_RNG_DROPOUT, (uint32_t)(e / 4), item + (uint64_t)(call->batch->first + i),
                     call->batch->step, words);
        *ref_at(y, i, r, c, k) = (double)um_rng_unit(words[e % 4]) >= (double)(float)p ? *ref_at(x, i, r, c, k) / (1 - p) : 0;
    }
}
