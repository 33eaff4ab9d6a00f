/* Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1), L2 weight decay added to the gradient;
 * and SGD with momentum. */
#include <math.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/span.h"

UM_INLINE real real_sqrt(real x)
{
#if UM_REAL_IS_F64
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

static void sgd_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_adam_attr *o = &call->attr.adam;
    const double *u = call->in[1].data;
    real momentum = (real)o->b1, rate = (real)u[0], decay = (real)o->weight_decay;
    const real *restrict g = call->in[0].data;
    real *restrict value = call->out[0].data, *restrict m = call->out[1].data;
    for (int64_t k = begin; k < end; k++) {
        m[k] = momentum * m[k] + g[k] + decay * value[k];
        value[k] -= rate * m[k];
    }
}

static void adam_span(const um_op_call *call, int64_t begin, int64_t end)
{
    const um_adam_attr *o = &call->attr.adam;
    const double *u = call->in[1].data;
    real b1 = (real)o->b1, b2 = (real)o->b2, rest1 = (real)(1 - o->b1), rest2 = (real)(1 - o->b2), decay = (real)o->weight_decay;
    real rate = (real)(u[0] / (1 - pow(o->b1, u[1]))), eps = (real)o->eps;
    real v_scale = (real)(1 / sqrt(1 - pow(o->b2, u[1])));
    const real *restrict g = call->in[0].data;
    real *restrict value = call->out[0].data, *restrict m = call->out[1].data, *restrict v = call->out[2].data;
    for (int64_t k = begin; k < end; k++) {
        real d = g[k] + decay * value[k];
        m[k] = b1 * m[k] + rest1 * d;
        v[k] = b2 * v[k] + rest2 * d * d;
        value[k] -= rate * m[k] / (real_sqrt(v[k]) * v_scale + eps);
    }
}

um_status UM_FN(um_cpu_adam)(const um_op_call *call)
{
    um_span_run(call, um_view_count(&call->in[0]), 4, call->attr.adam.sgd ? sgd_span : adam_span);
    return UM_OK;
}
