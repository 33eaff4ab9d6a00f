#include <math.h>

#include "ref/ref_ops.h"

static double logit(const um_view *z, int64_t i, int64_t r, int64_t c)
{
    return z->c == 2 ? *ref_at(z, i, r, c, 1) - *ref_at(z, i, r, c, 0) : *ref_at(z, i, r, c, 0);
}

void um_ref_seg_sums(const um_op_call *call)
{
    const um_view *z = &call->in[0], *mask = &call->in[1], *s = &call->out[0];
    REF_FOR(s, i, r, c, k) *ref_at(s, i, r, c, k) = 0;
    REF_FOR(mask, i, r, c, one)
    {
        double a = logit(z, i, r, c), y = *ref_at(mask, i, r, c, one), p = 1 / (1 + exp(-a));
        *ref_at(s, i, 0, 0, 0) += fmax(a, 0) - a * y + log1p(exp(-fabs(a)));
        *ref_at(s, i, 0, 0, 1) += p * y;
        *ref_at(s, i, 0, 0, 2) += p;
        *ref_at(s, i, 0, 0, 3) += y;
        *ref_at(s, i, 0, 0, 4) += p * p;
    }
}

void um_ref_batch_sum(const um_op_call *call)
{
    const um_view *s = &call->in[0], *t = &call->out[0];
    REF_FOR(t, a, b, c, k) *ref_at(t, a, b, c, k) = 0;
    REF_FOR(s, i, r, c, k) *ref_at(t, 0, 0, c, k) += *ref_at(s, i, r, c, k);
}

/* Dice loss from {CE, py, p, y, pp} over n pixels; class 0 is p -> 1-p, y -> 1-y. */
static double dice(const um_seg_attr *a, const double *s, double n)
{
    double py = s[1], p = s[2], y = s[3], pp = s[4];
    double loss1 = 1 - (2 * py + a->smooth) / ((a->squared ? pp : p) + y + a->smooth);
    double py0 = n - p - y + py, p0 = n - p, pp0 = n - 2 * p + pp, y0 = n - y;
    double loss0 = 1 - (2 * py0 + a->smooth) / ((a->squared ? pp0 : p0) + y0 + a->smooth);
    return a->two_class ? 0.5 * (loss0 + loss1) : loss1;
}

void um_ref_seg_loss(const um_op_call *call)
{
    const um_view *s = &call->in[0], *t = &call->in[1], *l = &call->out[0];
    const um_seg_attr *a = &call->attr.seg;
    double n_total = (double)call->batch->n_total, hw = (double)a->hw, ce = 0, loss = 0;
    for (int64_t i = 0; i < s->n; i++) {
        ce += *ref_at(s, i, 0, 0, 0) / (n_total * hw);
        loss += (a->dice_batch ? dice(a, ref_at(t, 0, 0, 0, 0), n_total * hw) : dice(a, ref_at(s, i, 0, 0, 0), hw)) / n_total;
    }
    double heads = a->n_heads > 1 ? a->n_heads : 1;
    ce /= heads;
    loss /= heads;
    *ref_at(l, 0, 0, 0, 0) = a->w_ce * ce + a->w_dice * loss;
    *ref_at(l, 0, 0, 0, 1) = ce;
    *ref_at(l, 0, 0, 0, 2) = loss;
}

/* d dice / d p of one pixel with probability p and mask y, by the quotient rule, class by class. */
static double dice_slope(const um_seg_attr *a, const double *s, double n, double p, double y)
{
    double num1 = 2 * s[1] + a->smooth, den1 = (a->squared ? s[4] : s[2]) + s[3] + a->smooth;
    double d1 = -(2 * y * den1 - num1 * (a->squared ? 2 * p : 1)) / (den1 * den1);
    double num0 = 2 * (n - s[2] - s[3] + s[1]) + a->smooth;
    double den0 = (a->squared ? n - 2 * s[2] + s[4] : n - s[2]) + n - s[3] + a->smooth;
    double d0 = -(-2 * (1 - y) * den0 - num0 * (a->squared ? -2 * (1 - p) : -1)) / (den0 * den0);
    return a->two_class ? 0.5 * (d0 + d1) : d1;
}

void um_ref_seg_bwd(const um_op_call *call)
{
    const um_view *z = &call->in[0], *mask = &call->in[1], *s = &call->in[2], *t = &call->in[3], *dz = &call->out[0];
    const um_seg_attr *a = &call->attr.seg;
    double n_total = (double)call->batch->n_total, hw = (double)(z->h * z->w);
    REF_FOR(mask, i, r, c, one)
    {
        double y = *ref_at(mask, i, r, c, one), p = 1 / (1 + exp(-logit(z, i, r, c)));
        double slope = a->dice_batch ? dice_slope(a, ref_at(t, 0, 0, 0, 0), n_total * hw, p, y)
                                     : dice_slope(a, ref_at(s, i, 0, 0, 0), hw, p, y) / n_total;
        double g = a->w_ce * (p - y) / (n_total * hw) + a->w_dice * slope * p * (1 - p);
        g /= a->n_heads > 1 ? a->n_heads : 1;
        *ref_at(dz, i, r, c, z->c - 1) = g;
        if (z->c == 2)
            *ref_at(dz, i, r, c, 0) = -g;
    }
}

/* Squared distance of a feature from the mean of the other class, and the two region sizes. */
void um_ref_align_sums(const um_op_call *call)
{
    const um_view *h = &call->in[0], *mask = &call->in[1], *m = &call->in[2], *s = &call->out[0];
    REF_FOR(s, i, r, c, k) *ref_at(s, i, r, c, k) = 0;
    REF_FOR(mask, i, r, c, one)
    {
        int inside = *ref_at(mask, i, r, c, one) > 0.5;
        for (int64_t k = 0; k < h->c; k++) {
            double d = *ref_at(h, i, r, c, k) - *ref_at(m, i, 0, 1 - inside, k);
            *ref_at(s, i, 0, 0, 2 * inside) += d * d;
        }
        *ref_at(s, i, 0, 0, 2 * inside + 1) += 1;
    }
}

void um_ref_align_bwd(const um_op_call *call)
{
    const um_view *h = &call->in[0], *mask = &call->in[1], *m = &call->in[2], *s = &call->in[3], *dh = &call->out[0];
    REF_FOR(h, i, r, c, k)
    {
        int inside = *ref_at(mask, i, r, c, 0) > 0.5;
        double pixels = call->attr.align.balance ? *ref_at(s, i, 0, 0, 2 * inside + 1) : (double)(h->h * h->w);
        *ref_at(dh, i, r, c, k) = 2 * (*ref_at(h, i, r, c, k) - *ref_at(m, i, 0, 1 - inside, k)) / (pixels * (double)h->c);
    }
}

static double softmax(const um_view *z, int64_t i, int64_t k)
{
    double sum = 0;
    for (int64_t j = 0; j < z->c; j++)
        sum += exp(*ref_at(z, i, 0, 0, j) - *ref_at(z, i, 0, 0, k));
    return 1 / sum;
}

/* The largest score but that of `label` (-1: of all). */
static int64_t largest(const um_view *z, int64_t i, int64_t label)
{
    int64_t best = label == 0 ? 1 : 0;
    for (int64_t k = best + 1; k < z->c; k++)
        if (k != label && *ref_at(z, i, 0, 0, k) > *ref_at(z, i, 0, 0, best))
            best = k;
    return best;
}

void um_ref_class_sums(const um_op_call *call)
{
    const um_view *z = &call->in[0];
    for (int64_t i = 0; i < z->n; i++) {
        int64_t label = (int64_t)*ref_at(&call->in[1], i, 0, 0, 0);
        double p = softmax(z, i, label), score = *ref_at(z, i, 0, 0, label), *s = ref_at(&call->out[0], i, 0, 0, 0);
        double margin = score - *ref_at(z, i, 0, 0, largest(z, i, label));
        um_class_loss kind = call->attr.class_loss.kind;
        s[0] = kind == UM_CLASS_CE ? -pow(1 - p, call->attr.class_loss.gamma) * log(p) : kind == UM_CLASS_MARGIN ? margin : score;
        s[1] = largest(z, i, -1) == label;
        s[2] = margin;
    }
}

void um_ref_class_bwd(const um_op_call *call)
{
    const um_view *z = &call->in[0];
    double gamma = call->attr.class_loss.gamma;
    REF_FOR(z, i, r, c, k)
    {
        int64_t label = (int64_t)*ref_at(&call->in[1], i, 0, 0, 0);
        double p = softmax(z, i, label), q = softmax(z, i, k), here = k == label, g = 0;
        switch (call->attr.class_loss.kind) {
        case UM_CLASS_CE: /* by the product rule; dp/dz_k = p (here - q) */
            g = (gamma * pow(1 - p, gamma - 1) * log(p) - pow(1 - p, gamma) / p) * p * (here - q);
            break;
        case UM_CLASS_MARGIN: g = here - (k == largest(z, i, label)); break;
        case UM_CLASS_SCORE: g = here; break;
        }
        *ref_at(&call->out[0], i, r, c, k) = g / (double)call->batch->n_total;
    }
}
