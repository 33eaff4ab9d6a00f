/* The segmentation loss, the alignment of features, sums over the batch, and the optimiser (ops.h; protectors.md 1.6). Stable
 * forms: with e = exp(-|z|), sigmoid(z) and
 * 1 - sigmoid(z) are 1/(1+e) and e/(1+e), ordered by the sign of z; CE = max(z,0) - z*y + log(1+e). */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lanes.cuh"

namespace {

enum { S_CE, S_PY, S_P, S_Y, S_PP, N_SUMS };

/* Two channels: softmax over them is the sigmoid of their difference. */
UM_HD float logit(const um_view &z, int64_t p)
{
    return z.c == 2 ? um_get(z, p, 1) - um_get(z, p, 0) : um_get(z, p, 0);
}

struct sigmoid_pair {
    float e, p, q; /* exp(-|z|), sigmoid(z), 1 - sigmoid(z) */
    UM_HD sigmoid_pair(float z)
    {
        e = expf(z < 0 ? z : -z);
        float big = 1 / (1 + e), small = e * big;
        p = z < 0 ? small : big;
        q = z < 0 ? big : small;
    }
};

struct seg_pixel {
    um_view z, y;
    UM_HD void operator()(int64_t p, double *s) const
    {
        float v = logit(z, p), mask = um_get(y, p, 0);
        sigmoid_pair a(v);
        float ce = (v < 0 ? 0 : v) - v * mask + log1pf(a.e);
        double pd = (double)a.p, yd = (double)mask;
        s[S_CE] += (double)ce;
        s[S_PY] += pd * yd;
        s[S_P] += pd;
        s[S_Y] += yd;
        s[S_PP] += pd * pd;
    }
};

/* Dice = 1 - num/den of one class. */
struct dice_ratio {
    double num, den;
};

UM_HD dice_ratio dice_object(const um_seg_attr &a, const double *s)
{
    dice_ratio r = {2 * s[S_PY] + a.smooth, (a.squared ? s[S_PP] : s[S_P]) + s[S_Y] + a.smooth};
    return r;
}

/* The background class: 1-p against 1-y over n pixels. */
UM_HD dice_ratio dice_background(const um_seg_attr &a, const double *s, double n)
{
    double overlap = n - s[S_P] - s[S_Y] + s[S_PY];
    double size = a.squared ? n - 2 * s[S_P] + s[S_PP] : n - s[S_P];
    dice_ratio r = {2 * overlap + a.smooth, size + (n - s[S_Y]) + a.smooth};
    return r;
}

UM_HD double dice_loss(const um_seg_attr &a, const double *s, double n)
{
    dice_ratio object = dice_object(a, s);
    if (!a.two_class)
        return 1 - object.num / object.den;
    dice_ratio back = dice_background(a, s, n);
    return 1 - 0.5 * (object.num / object.den + back.num / back.den);
}

UM_HD double head_count(const um_seg_attr &a)
{
    return a.n_heads > 1 ? a.n_heads : 1;
}

/* dice[i] of image i. */
struct image_dice {
    um_seg_attr a;
    const double *s;
    double *dice;
    UM_HD void operator()(int64_t i) const { dice[i] = dice_loss(a, s + i * N_SUMS, (double)a.hw); }
};

/* One item: lanes in turn, then the tree. */
struct batch_loss {
    um_seg_attr a;
    const double *s, *t, *dice;
    double *loss;
    double n_total;
    um_lanes lanes;
    UM_HD void operator()(int64_t) const
    {
        double ces[UM_MAX_LANES] = {0}, dices[UM_MAX_LANES] = {0}, totals[UM_MAX_LANES] = {0}, hw = (double)a.hw;
        for (int l = 0; l < lanes.n; l++) {
            double ce = 0, d = 0;
#ifdef __CUDA_ARCH__
#pragma unroll 8
#endif
            for (int64_t i = lanes.begin[l]; i < lanes.begin[l + 1]; i++) {
                ce += s[i * N_SUMS + S_CE];
                d += a.dice_batch ? 0 : dice[i];
            }
            if (a.dice_batch)
                d = dice_loss(a, t, hw * n_total) * (double)(lanes.begin[l + 1] - lanes.begin[l]);
            ces[l] = ce / (n_total * hw) / head_count(a);
            dices[l] = d / n_total / head_count(a);
            totals[l] = a.w_ce * ces[l] + a.w_dice * dices[l];
        }
        loss[0] = um_tree(totals, lanes.n);
        loss[1] = um_tree(ces, lanes.n);
        loss[2] = um_tree(dices, lanes.n);
    }
};

/* dL/dp of the Dice part at one pixel is c0 + cy*y + cp*p; of CE, dL/dz is ce*(p - y). */
struct seg_slope {
    float ce, c0, cy, cp;
};

UM_HD seg_slope slope_of(const um_seg_attr &a, const double *s, double n, double weight, double ce, bool two_class)
{
    dice_ratio o = dice_object(a, s);
    double share = two_class ? 0.5 * weight : weight, tilt = share * o.num / (o.den * o.den);
    double c0 = a.squared ? 0 : tilt, cp = a.squared ? 2 * tilt : 0, cy = -2 * share / o.den;
    if (two_class) {
        dice_ratio b = dice_background(a, s, n);
        double lean = share * b.num / (b.den * b.den);
        c0 += 2 * share / b.den - (a.squared ? 2 * lean : lean);
        cp += a.squared ? 2 * lean : 0;
        cy -= 2 * share / b.den;
    }
    seg_slope slope = {(float)ce, (float)c0, (float)cy, (float)cp};
    return slope;
}

/* A pixel; the slope of its image is a few operations from the sums, done anew for each. */
struct seg_bwd_pixel {
    um_seg_attr a;
    um_view z, y, dz;
    const double *s, *t;
    double n_total;
    bool accumulate;
    UM_HD seg_slope slope_at(int64_t image) const
    {
        double hw = (double)(z.h * z.w), w_dice = a.w_dice / head_count(a), ce = a.w_ce / head_count(a) / (n_total * hw);
        if (a.dice_batch)
            return slope_of(a, t, hw * n_total, w_dice, ce, z.c == 2);
        return slope_of(a, s + image * N_SUMS, hw, w_dice / n_total, ce, z.c == 2);
    }
    UM_HD void operator()(int64_t i) const
    {
        seg_slope slope = slope_at(um_split(i, z.h * z.w).a);
        float v = logit(z, i), mask = um_get(y, i, 0);
        sigmoid_pair b(v);
        float ce = b.p * (1 - mask) - b.q * mask, dice = slope.c0 + slope.cy * mask + slope.cp * b.p;
        float g = slope.ce * ce + dice * (b.p * b.q);
        if (z.c == 2) {
            um_put(dz, i, 0, (accumulate ? um_get(dz, i, 0) : 0) - g);
            um_put(dz, i, 1, (accumulate ? um_get(dz, i, 1) : 0) + g);
        } else {
            um_put(dz, i, 0, (accumulate ? um_get(dz, i, 0) : 0) + g);
        }
    }
};

/* ---- alignment ---- */

enum { N_ALIGN = 4 }; /* outside: squares, pixels; inside: squares, pixels */

/* Element k of the mean that a pixel of an image is drawn to: that of the other class. */
UM_HD float other_mean(const um_view &m, int64_t image, bool inside, int64_t k)
{
    return ((const float *)m.data)[(image * 2 + !inside) * m.ld + k];
}

struct align_pixel {
    um_view h, y, m;
    UM_HD void operator()(int64_t p, double *s) const
    {
        bool inside = um_get(y, p, 0) > 0.5f;
        int64_t image = um_split(p, h.h * h.w).a;
        double squares = 0;
        for (int64_t k = 0; k < h.c; k++) {
            double d = (double)um_get(h, p, k) - (double)other_mean(m, image, inside, k);
            squares += d * d;
        }
        s[0] += inside ? 0 : squares;
        s[1] += inside ? 0 : 1;
        s[2] += inside ? squares : 0;
        s[3] += inside ? 1 : 0;
    }
};

struct align_slope {
    um_view y, m;
    const double *sums;
    int64_t pixels, c;
    bool balance;
    UM_HD float operator()(const float *x, int64_t p, int64_t k) const
    {
        bool inside = um_get(y, p, 0) > 0.5f;
        int64_t image = um_split(p, pixels).a;
        double n = balance ? sums[image * N_ALIGN + 2 * inside + 1] : (double)pixels;
        return (float)(2 / (n * (double)c)) * (x[0] - other_mean(m, image, inside, k));
    }
};

/* ---- Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1), L2 weight decay added to the gradient; and SGD with momentum ---- */

/* One item: what every element needs of the learning rate and the number of the update. */
struct adam_pace {
    const double *u;
    double b1, b2;
    bool sgd;
    float *out; /* rate; factor of the root of v */
    UM_HD void operator()(int64_t) const
    {
        out[0] = (float)(sgd ? u[0] : u[0] / (1 - pow(b1, u[1])));
        out[1] = sgd ? 1 : (float)(1 / sqrt(1 - pow(b2, u[1])));
    }
};

struct adam_item {
    const float *g, *pace;
    float *value, *m, *v;
    float b1, b2, rest1, rest2, decay, eps;
    UM_HD void operator()(int64_t k) const
    {
        float d = g[k] + decay * value[k];
        float m1 = b1 * m[k] + rest1 * d, v1 = b2 * v[k] + rest2 * d * d;
        m[k] = m1;
        v[k] = v1;
        value[k] -= pace[0] * m1 / (sqrtf(v1) * pace[1] + eps);
    }
};

struct sgd_item {
    const float *g, *pace;
    float *value, *m;
    float momentum, decay;
    UM_HD void operator()(int64_t k) const
    {
        float m1 = momentum * m[k] + g[k] + decay * value[k];
        m[k] = m1;
        value[k] -= pace[0] * m1;
    }
};

}

UM_CUDA_PREPARE(seg_sums)
{
    const um_view *z = &call->in[0];
    (void)cu;
    *bytes = um_sum_bytes(z->n, z->h * z->w, 1, N_SUMS);
    return UM_OK;
}

UM_CUDA_OP(seg_sums)
{
    const um_view *z = &call->in[0];
    seg_pixel f = {*z, call->in[1]};
    return um_sum_pixels<N_SUMS>(cu, "seg_sums", z->n, z->h * z->w, call->workspace, (double *)call->out[0].data, f);
}

UM_CUDA_OP(batch_sum)
{
    int64_t c = call->in[0].h * call->in[0].w * call->in[0].c;
    um_lane_sums f = {(const double *)call->in[0].data, c, um_lanes_of(call->batch), (double *)call->out[0].data, NULL, false};
    return um_each(cu, "batch_sum", c, f);
}

UM_CUDA_PREPARE(seg_loss)
{
    (void)cu;
    *bytes = (size_t)call->in[0].n * sizeof(double);
    return UM_OK;
}

UM_CUDA_OP(seg_loss)
{
    const um_seg_attr *a = &call->attr.seg;
    const double *s = (const double *)call->in[0].data;
    double *dice = (double *)call->workspace;
    um_status rc = a->dice_batch ? UM_OK : um_each(cu, "seg_loss", call->in[0].n, image_dice{*a, s, dice});
    batch_loss f = {*a, s, (const double *)call->in[1].data, dice, (double *)call->out[0].data, (double)call->batch->n_total,
        um_lanes_of(call->batch)};
    return rc == UM_OK ? um_each(cu, "seg_loss", 1, f) : rc;
}

UM_CUDA_OP(seg_bwd)
{
    seg_bwd_pixel f = {call->attr.seg, call->in[0], call->in[1], call->out[0], (const double *)call->in[2].data,
        (const double *)call->in[3].data,
                       (double)call->batch->n_total, call->accumulate};
    return um_each(cu, "seg_bwd", um_view_pixels(&call->in[0]), f);
}

UM_CUDA_PREPARE(align_sums)
{
    const um_view *h = &call->in[0];
    (void)cu;
    *bytes = um_sum_bytes(h->n, h->h * h->w, 1, N_ALIGN);
    return UM_OK;
}

UM_CUDA_OP(align_sums)
{
    const um_view *h = &call->in[0];
    align_pixel f = {*h, call->in[1], call->in[2]};
    return um_sum_pixels<N_ALIGN>(cu, "align_sums", h->n, h->h * h->w, call->workspace, (double *)call->out[0].data, f);
}

UM_CUDA_OP(align_bwd)
{
    const um_view *h = &call->in[0];
    align_slope f = {call->in[1], call->in[2], (const double *)call->in[3].data, h->h * h->w, h->c, call->attr.align.balance};
    return um_map(cu, "align_bwd", {h}, call->out[0], call->accumulate, f);
}

UM_CUDA_PREPARE(adam)
{
    (void)cu;
    (void)call;
    *bytes = 2 * sizeof(float);
    return UM_OK;
}

UM_CUDA_OP(adam)
{
    const um_adam_attr *o = &call->attr.adam;
    const float *g = (const float *)call->in[0].data;
    float *value = (float *)call->out[0].data, *m = (float *)call->out[1].data, *v = (float *)call->out[2].data;
    float *pace = (float *)call->workspace;
    int64_t n = um_view_count(&call->in[0]);
    um_status rc = um_each(cu, "adam", 1, adam_pace{(const double *)call->in[1].data, o->b1, o->b2, o->sgd, pace});
    if (rc != UM_OK)
        return rc;
    if (o->sgd)
        return um_each(cu, "adam", n, sgd_item{g, pace, value, m, (float)o->b1, (float)o->weight_decay});
    adam_item f = {g, pace, value, m, v, (float)o->b1, (float)o->b2, (float)(1 - o->b1), (float)(1 - o->b2), (float)o->weight_decay,
        (float)o->eps};
    return um_each(cu, "adam", n, f);
}
