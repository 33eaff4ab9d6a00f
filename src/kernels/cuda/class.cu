/* Losses of class scores and their gradients (ops.h CLASS_SUMS, CLASS_BWD). Scores are few: an image is one item, all in f64, in the order of
 * cpu/class.c. */
#include "kernels/cuda/device.cuh"

namespace {

struct scores {
    um_view z;
    int64_t image, label, best, rival; /* best: largest of all; rival: largest of the others; the first wins */
    double top, sum;                   /* softmax is exp(z - top) / sum */
    UM_HD scores(const um_view &of, const um_view &classes, int64_t i) : z(of), image(i), best(0), rival(-1), sum(0)
    {
        double y = (double)um_get(classes, i, 0);
        label = y < 0 ? 0 : y > (double)(z.c - 1) ? z.c - 1 : (int64_t)(y + 0.5);
        for (int64_t k = 0; k < z.c; k++) {
            if (at(k) > at(best))
                best = k;
            if (k != label && (rival < 0 || at(k) > at(rival)))
                rival = k;
        }
        top = at(best);
        for (int64_t k = 0; k < z.c; k++)
            sum += exp(at(k) - top);
    }
    UM_HD double at(int64_t k) const { return (double)um_get(z, image, k); }
    UM_HD double log_softmax(int64_t k) const { return at(k) - top - log(sum); }
    UM_HD double margin() const { return at(label) - at(rival); }
};

struct class_loss {
    um_view z, y;
    um_class_loss kind;
    double gamma, *out;
    int64_t ld;
    UM_HD void operator()(int64_t i) const
    {
        scores s(z, y, i);
        double log_p = s.log_softmax(s.label), *to = out + i * ld;
        switch (kind) {
        case UM_CLASS_CE: to[0] = -pow(1 - exp(log_p), gamma) * log_p; break;
        case UM_CLASS_MARGIN: to[0] = s.margin(); break;
        case UM_CLASS_SCORE: to[0] = s.at(s.label); break;
        }
        to[1] = s.best == s.label;
        to[2] = s.margin();
    }
};

/* Focal: -(1-p)^g log p has the slope (1-p)^g - g p (1-p)^(g-1) log p per unit of (p_k - [k = label]). */
struct class_slope {
    um_view z, y, dz;
    um_class_loss kind;
    double gamma, share;
    bool accumulate;
    UM_HD double focal(const scores &s) const
    {
        double log_p = s.log_softmax(s.label), p = exp(log_p);
        if (!(gamma > 0))
            return 1;
        return p < 1 ? pow(1 - p, gamma) - gamma * p * pow(1 - p, gamma - 1) * log_p : 0;
    }
    UM_HD double slope(const scores &s, double factor, int64_t k) const
    {
        switch (kind) {
        case UM_CLASS_CE: return factor * (exp(s.log_softmax(k)) - (k == s.label));
        case UM_CLASS_MARGIN: return (k == s.label) - (k == s.rival);
        default: return k == s.label;
        }
    }
    UM_HD void operator()(int64_t i) const
    {
        scores s(z, y, i);
        double factor = focal(s);
        for (int64_t k = 0; k < z.c; k++) {
            float g = (float)(share * slope(s, factor, k));
            um_put(dz, i, k, accumulate ? um_get(dz, i, k) + g : g);
        }
    }
};

}

UM_CUDA_OP(class_sums)
{
    const um_view *z = &call->in[0];
    class_loss f = {*z, call->in[1], call->attr.class_loss.kind, call->attr.class_loss.gamma, (double *)call->out[0].data,
                    call->out[0].ld};
    return um_each(cu, "class_sums", z->n, f);
}

UM_CUDA_OP(class_bwd)
{
    const um_view *z = &call->in[0];
    class_slope f = {*z, call->in[1], call->out[0], call->attr.class_loss.kind, call->attr.class_loss.gamma,
                     1 / (double)call->batch->n_total, call->accumulate};
    return um_each(cu, "class_bwd", z->n, f);
}
