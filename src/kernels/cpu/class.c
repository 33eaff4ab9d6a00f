/* Losses of class scores, image by image, and their gradients (ops.h CLASS_SUMS, CLASS_BWD). Scores are few: all in f64. */
#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

#include <math.h>

typedef struct scores {
    const real *z;
    int64_t n, label, rival, best; /* rival: largest of the others; best: largest of all; the first wins */
    double top, sum;               /* softmax is exp(z - top) / sum */
} scores;

static scores read_scores(const um_op_call *call, int64_t image)
{
    const um_view *z = &call->in[0];
    scores s = {.z = pixel_at(z, image), .n = z->c, .rival = -1};
    double y = (double)*pixel_at(&call->in[1], image);
    s.label = y < 0 ? 0 : y > (double)(s.n - 1) ? s.n - 1 : (int64_t)(y + 0.5);
    for (int64_t k = 0; k < s.n; k++) {
        if (s.z[k] > s.z[s.best])
            s.best = k;
        if (k != s.label && (s.rival < 0 || s.z[k] > s.z[s.rival]))
            s.rival = k;
    }
    s.top = (double)s.z[s.best];
    for (int64_t k = 0; k < s.n; k++)
        s.sum += exp((double)s.z[k] - s.top);
    return s;
}

static double log_softmax(const scores *s, int64_t k)
{
    return (double)s->z[k] - s->top - log(s->sum);
}

static void class_sums_span(const um_op_call *call, int64_t begin, int64_t end)
{
    double gamma = call->attr.class_loss.gamma;
    for (int64_t i = begin; i < end; i++) {
        scores s = read_scores(call, i);
        double *out = (double *)call->out[0].data + i * call->out[0].ld;
        double log_p = log_softmax(&s, s.label), margin = (double)s.z[s.label] - (double)s.z[s.rival];
        switch (call->attr.class_loss.kind) {
        case UM_CLASS_CE: out[0] = -pow(1 - exp(log_p), gamma) * log_p; break;
        case UM_CLASS_MARGIN: out[0] = margin; break;
        case UM_CLASS_SCORE: out[0] = (double)s.z[s.label]; break;
        }
        out[1] = s.best == s.label;
        out[2] = margin;
    }
}

um_status UM_FN(um_cpu_class_sums)(const um_op_call *call)
{
    um_span_run(call, call->in[0].n, 16 * call->in[0].c, class_sums_span);
    return UM_OK;
}

/* d loss / d z_k. Focal: -(1-p)^g log p has the slope (1-p)^g - g p (1-p)^(g-1) log p per unit of (p_k - [k = label]). */
static double slope(const scores *s, um_class_loss kind, double focal, int64_t k)
{
    switch (kind) {
    case UM_CLASS_CE: return focal * (exp(log_softmax(s, k)) - (k == s->label));
    case UM_CLASS_MARGIN: return (k == s->label) - (k == s->rival);
    case UM_CLASS_SCORE: return k == s->label;
    }
    return NAN;
}

static void class_bwd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    double gamma = call->attr.class_loss.gamma, share = 1 / (double)call->batch->n_total;
    for (int64_t i = begin; i < end; i++) {
        scores s = read_scores(call, i);
        double log_p = log_softmax(&s, s.label), p = exp(log_p), focal = 1;
        if (gamma > 0)
            focal = p < 1 ? pow(1 - p, gamma) - gamma * p * pow(1 - p, gamma - 1) * log_p : 0;
        real *dz = pixel_at(&call->out[0], i);
        for (int64_t k = 0; k < s.n; k++) {
            real g = (real)(share * slope(&s, call->attr.class_loss.kind, focal, k));
            dz[k] = call->accumulate ? dz[k] + g : g;
        }
    }
}

um_status UM_FN(um_cpu_class_bwd)(const um_op_call *call)
{
    um_span_run(call, call->in[0].n, 16 * call->in[0].c, class_bwd_span);
    return UM_OK;
}
