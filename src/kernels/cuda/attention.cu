/* Multi-head attention (ops.h; Vaswani et al., NeurIPS 2017). Heads are copied to dense f32 matrices [image * heads][T][width],
 * so that
 * every product is one call over all of them; the softmax is a warp per row. */
#include "kernels/cuda/device.cuh"

namespace {

/* Element (item, t, d) of the dense copy i, from or to channel head * width + d of token t. */
struct head_place {
    int64_t p, k;
    UM_HD head_place(int64_t i, int64_t tokens, int64_t width, int64_t heads)
    {
        um_split row(i, width), item(row.a, tokens), image(item.a, heads);
        p = image.a * tokens + item.b;
        k = image.b * width + row.b;
    }
};

struct gather_heads {
    um_view from;
    float *to;
    int64_t tokens, width, heads;
    UM_HD void operator()(int64_t i) const
    {
        head_place at(i, tokens, width, heads);
        to[i] = um_get(from, at.p, at.k);
    }
};

struct scatter_heads {
    const float *from;
    um_view to;
    int64_t tokens, width, heads;
    bool accumulate;
    UM_HD void operator()(int64_t i) const
    {
        head_place at(i, tokens, width, heads);
        um_put(to, at.p, at.k, accumulate ? um_get(to, at.p, at.k) + from[i] : from[i]);
    }
};

/* Rows of p, in place. */
struct softmax_row {
    float *p;
    int64_t n;
    float scale;
    UM_D void operator()(int64_t i, const um_warp &w) const
    {
        float *row = p + i * n, s = scale;
        float top = w.fold(n, row[0], [&](int64_t t) { return row[t]; }, um_larger());
        double sum = um_warp_sum(w, n, [&](int64_t t) { return (double)expf((row[t] - top) * s); });
        float share = (float)(1 / sum);
        w.each(n, [&](int64_t t) { row[t] = expf((row[t] - top) * s) * share; });
    }
};

/* The gradient of the scores over d, which holds dP: P*(dP - sum dP*P) * scale. */
struct softmax_bwd_row {
    float *d;
    const float *p;
    int64_t n;
    float scale;
    UM_D void operator()(int64_t i, const um_warp &w) const
    {
        float *row = d + i * n, s = scale;
        const float *share = p + i * n;
        float sum = (float)um_warp_sum(w, n, [&](int64_t t) { return (double)row[t] * (double)share[t]; });
        w.each(n, [&](int64_t t) { row[t] = share[t] * (row[t] - sum) * s; });
    }
};

struct shape {
    int64_t items, heads, tokens, width;
    float scale;
    int64_t head_floats() const { return items * tokens * width; }
    int64_t score_floats() const { return items * tokens * tokens; }
};

shape shape_of(const um_view *q, int64_t heads)
{
    int64_t width = q->c / heads;
    shape s = {q->n * heads, heads, q->h * q->w, width, (float)(1 / sqrt((double)width))};
    return s;
}

um_status gather(const um_cuda *cu, const char *op, const shape &s, const um_view &from, float *to)
{
    return um_each(cu, op, s.head_floats(), gather_heads{from, to, s.tokens, s.width, s.heads});
}

um_status scatter(const um_cuda *cu, const char *op, const shape &s, const float *from, const um_view &to, bool accumulate)
{
    return um_each(cu, op, s.head_floats(), scatter_heads{from, to, s.tokens, s.width, s.heads, accumulate});
}

/* c = op(a) op(b) for every head; a and b are [T][width], c is [T][T] when scores, else a is [T][T] and c is [T][width]. */
um_status product(const um_cuda *cu, const shape &s, const float *a, bool trans_a, const float *b, bool trans_b, float *c,
    bool scores)
{
    um_gemm_call g;
    memset(&g, 0, sizeof g);
    g.trans_a = trans_a;
    g.trans_b = trans_b;
    g.m = s.tokens;
    g.n = scores ? s.tokens : s.width;
    g.k = scores ? s.width : s.tokens;
    g.batch = s.items;
    g.a = a;
    g.b = b;
    g.c = c;
    g.lda = scores ? s.width : s.tokens;
    g.ldb = s.width;
    g.ldc = g.n;
    g.stride_a = scores ? s.tokens * s.width : s.tokens * s.tokens;
    g.stride_b = s.tokens * s.width;
    g.stride_c = s.tokens * g.n;
    g.alpha = 1;
    return um_gemm_run(cu->gemm, &g);
}

}

UM_CUDA_PREPARE(attention_fwd)
{
    shape s = shape_of(&call->in[0], call->attr.attention.heads);
    (void)cu;
    *bytes = (size_t)(4 * s.head_floats()) * sizeof(float);
    return UM_OK;
}

UM_CUDA_OP(attention_fwd)
{
    shape s = shape_of(&call->in[0], call->attr.attention.heads);
    float *q = (float *)call->workspace, *k = q + s.head_floats(), *v = k + s.head_floats(), *o = v + s.head_floats();
    float *p = (float *)call->out[1].data;
    um_status rc = gather(cu, "attention_fwd", s, call->in[0], q);
    if (rc == UM_OK)
        rc = gather(cu, "attention_fwd", s, call->in[1], k);
    if (rc == UM_OK)
        rc = gather(cu, "attention_fwd", s, call->in[2], v);
    if (rc == UM_OK)
        rc = product(cu, s, q, false, k, true, p, true);
    if (rc == UM_OK)
        rc = um_each_warp(cu, "attention_fwd", s.items * s.tokens, softmax_row{p, s.tokens, s.scale});
    if (rc == UM_OK)
        rc = product(cu, s, p, false, v, false, o, false);
    return rc == UM_OK ? scatter(cu, "attention_fwd", s, o, call->out[0], false) : rc;
}

UM_CUDA_PREPARE(attention_bwd)
{
    shape s = shape_of(&call->in[0], call->attr.attention.heads);
    (void)cu;
    *bytes = (size_t)(5 * s.head_floats() + s.score_floats()) * sizeof(float);
    return UM_OK;
}

UM_CUDA_OP(attention_bwd)
{
    shape s = shape_of(&call->in[0], call->attr.attention.heads);
    const float *p = (const float *)call->in[4].data;
    float *head[5], *ds = (float *)call->workspace + 5 * s.head_floats(); /* head: do, q, k, v and one result at a time */
    um_status rc = UM_OK;
    for (int i = 0; i < 5; i++)
        head[i] = (float *)call->workspace + i * s.head_floats();
    for (int i = 0; i < 4 && rc == UM_OK; i++)
        rc = gather(cu, "attention_bwd", s, call->in[i], head[i]);
    if (rc == UM_OK)
        rc = product(cu, s, p, true, head[0], false, head[4], false); /* dv = p^T do */
    if (rc == UM_OK)
        rc = scatter(cu, "attention_bwd", s, head[4], call->out[2], call->accumulate);
    if (rc == UM_OK)
        rc = product(cu, s, head[0], false, head[3], true, ds, true); /* dp = do v^T */
    if (rc == UM_OK)
        rc = um_each_warp(cu, "attention_bwd", s.items * s.tokens, softmax_bwd_row{ds, p, s.tokens, s.scale});
    if (rc == UM_OK)
        rc = product(cu, s, ds, false, head[2], false, head[4], false); /* dq = ds k */
    if (rc == UM_OK)
        rc = scatter(cu, "attention_bwd", s, head[4], call->out[0], call->accumulate);
    if (rc == UM_OK)
        rc = product(cu, s, ds, true, head[1], false, head[4], false); /* dk = ds^T q */
    return rc == UM_OK ? scatter(cu, "attention_bwd", s, head[4], call->out[1], call->accumulate) : rc;
}
