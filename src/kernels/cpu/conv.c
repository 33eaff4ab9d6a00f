#include "kernels/cpu/conv.h"
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_winograd.h"

#include <inttypes.h>

static bool is_3x3(const um_conv_shape *s, um_op op)
{
    (void)op;
    return s->kh == 3 && s->kw == 3 && s->stride == 1 && s->pad == 1;
}

static size_t direct_workspace(const um_conv_shape *s, um_op op)
{
    return op == UM_OP_CONV_BWD_WEIGHT ? UM_FN(um_conv_direct_weight_workspace)(s) : UM_FN(um_conv_direct_workspace)(s, op);
}

const um_conv_impl UM_FN(um_conv_direct) = {
    .name = "direct",
    .algo = UM_CONV_DIRECT,
    .supports = is_3x3,
    .workspace = direct_workspace,
    .fwd = UM_FN(um_conv_direct_fwd),
    .bwd_data = UM_FN(um_conv_direct_bwd_data),
    .bwd_weight = UM_FN(um_conv_direct_bwd_weight),
};

/* Measured: with fewer channels the transforms cost more than the products save; sooner where a vector holds more channels. */
static bool wino_worth(const um_conv_shape *s, um_op op)
{
    bool long_vectors = VL * sizeof(real) > 32;
    int64_t least = long_vectors && op == UM_OP_CONV_BWD_WEIGHT ? 32 : 16, sum = long_vectors ? 48 : 32;
    return s->c >= least && s->k >= least && s->c + s->k >= sum && s->h >= UM_WINO_SIDE && s->w >= UM_WINO_SIDE;
}

static size_t wino_workspace(const um_conv_shape *s, um_op op)
{
    return op == UM_OP_CONV_BWD_WEIGHT ? UM_FN(um_wino_bwd_weight_workspace)(s) : UM_FN(um_wino_workspace)(s, op);
}

const um_conv_impl UM_FN(um_conv_winograd) = {
    .name = "winograd",
    .algo = UM_CONV_WINOGRAD,
    .supports = is_3x3,
    .worth = wino_worth,
    .workspace = wino_workspace,
    .fwd = UM_FN(um_wino_fwd),
    .bwd_data = UM_FN(um_wino_bwd_data),
    .bwd_weight = UM_FN(um_wino_bwd_weight),
};

/* Views of the three roles in a call. */
typedef struct operands {
    const um_view *x, *y, *w;
} operands;

static operands operands_of(const um_op_call *call, um_op op)
{
    operands o = {&call->in[0], &call->out[0], &call->in[1]};
    if (op == UM_OP_CONV_BWD_DATA) {
        o.x = &call->out[0];
        o.y = &call->in[0];
    } else if (op == UM_OP_CONV_BWD_WEIGHT) {
        o.y = &call->in[1];
        o.w = &call->out[0];
    }
    return o;
}

static um_conv_shape shape_of(const um_op_call *call, um_op op)
{
    operands o = operands_of(call, op);
    um_conv_shape s = {.n = o.x->n, .h = o.x->h, .w = o.x->w, .c = o.x->c, .k = o.y->c, .kh = o.w->n, .kw = o.w->h};
    s.stride = call->attr.conv.stride;
    s.pad = call->attr.conv.pad;
    s.n_lanes = UM_FN(um_conv_lanes)(call->batch);
    s.lane_most = UM_FN(um_conv_lane_most)(call->batch, s.n);
    return s;
}

static const um_conv_impl *choose(const um_conv_shape *s, um_op op, um_conv_algo algo)
{
    static const um_conv_impl *const list[] = {&UM_FN(um_conv_gemm), &UM_FN(um_conv_winograd), &UM_FN(um_conv_direct)};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        bool worth = algo != UM_CONV_AUTO || !list[i]->worth || list[i]->worth(s, op);
        bool asked = algo == UM_CONV_AUTO || list[i]->algo == UM_CONV_AUTO || algo == list[i]->algo;
        if (asked && worth && list[i]->supports(s, op)) {
            return list[i];
        }
    }
    return NULL;
}

#define SHAPE "[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]"

static um_status check(const operands *o, const um_conv_shape *s, const char *op)
{
    const um_view *x = o->x, *y = o->y, *w = o->w;
    if (x->dtype != UM_REAL_DTYPE || y->dtype != UM_REAL_DTYPE || w->dtype != UM_REAL_DTYPE) {
        return um_fail(UM_E_UNSUPPORTED, "%s: operands must all be of the graph's float type", op);
    }
    if (s->stride < 1 || s->pad < 0 || s->n < 0 || s->h < 1 || s->w < 1 || s->c < 1 || s->k < 1) {
        return um_fail(UM_E_UNSUPPORTED, "%s: stride %d, pad %d, x " SHAPE " to %" PRId64 " channels: extents must be positive", op,
                       s->stride, s->pad, s->n, s->h, s->w, s->c, s->k);
    }
    bool output = y->n == s->n && y->h == (s->h + 2 * s->pad - s->kh) / s->stride + 1 &&
                  y->w == (s->w + 2 * s->pad - s->kw) / s->stride + 1;
    if (!output || w->w != s->c || w->c != s->k || !um_view_dense(w) || x->ld < x->c || y->ld < y->c) {
        return um_fail(UM_E_UNSUPPORTED, "%s: shapes do not fit: x " SHAPE ", w " SHAPE ", y " SHAPE ", stride %d, pad %d", op,
                       x->n, x->h, x->w, x->c, w->n, w->h, w->w, w->c, y->n, y->h, y->w, y->c, s->stride, s->pad);
    }
    return UM_OK;
}

static um_status prepare(const um_op_call *call, um_op op, const char *name, size_t *bytes)
{
    um_status rc = UM_OK;
    um_conv_shape s = shape_of(call, op);
    operands o = operands_of(call, op);
    UM_TRY(check(&o, &s, name));
    const um_conv_impl *impl = choose(&s, op, call->attr.conv.algo);
    if (!impl) {
        return um_fail(UM_E_UNSUPPORTED,
                       "%s: no kernel for %" PRId64 "x%" PRId64 " filters with stride %d and pad %d on " SHAPE
                       "; there are 3x3 with stride 1, pad 1 and 1x1 with stride 1, pad 0",
                       name, s.kh, s.kw, s.stride, s.pad, s.n, s.h, s.w, s.c);
    }
    *bytes = impl->workspace(&s, op);
done:
    return rc;
}

um_status UM_FN(um_cpu_conv_fwd_prepare)(const um_op_call *call, size_t *bytes)
{
    return prepare(call, UM_OP_CONV_FWD, "conv_fwd", bytes);
}

um_status UM_FN(um_cpu_conv_bwd_data_prepare)(const um_op_call *call, size_t *bytes)
{
    return prepare(call, UM_OP_CONV_BWD_DATA, "conv_bwd_data", bytes);
}

um_status UM_FN(um_cpu_conv_bwd_weight_prepare)(const um_op_call *call, size_t *bytes)
{
    return prepare(call, UM_OP_CONV_BWD_WEIGHT, "conv_bwd_weight", bytes);
}

/* The algorithm that prepare chose. */
static um_status chosen(const um_conv_impl **impl, const um_conv_shape *s, const um_op_call *call, um_op op)
{
    *impl = choose(s, op, call->attr.conv.algo);
    return *impl ? UM_OK : um_fail(UM_E_BUG, "convolution runs a shape that prepare refuses");
}

um_status UM_FN(um_cpu_conv_fwd)(const um_op_call *call)
{
    um_status rc = UM_OK;
    const um_conv_impl *impl;
    um_conv_shape s = shape_of(call, UM_OP_CONV_FWD);
    UM_TRY(chosen(&impl, &s, call, UM_OP_CONV_FWD));
    impl->fwd(&s, call);
done:
    return rc;
}

um_status UM_FN(um_cpu_conv_bwd_data)(const um_op_call *call)
{
    um_status rc = UM_OK;
    const um_conv_impl *impl;
    um_conv_shape s = shape_of(call, UM_OP_CONV_BWD_DATA);
    UM_TRY(chosen(&impl, &s, call, UM_OP_CONV_BWD_DATA));
    impl->bwd_data(&s, call);
done:
    return rc;
}

um_status UM_FN(um_cpu_conv_bwd_weight)(const um_op_call *call)
{
    um_status rc = UM_OK;
    const um_conv_impl *impl;
    um_conv_shape s = shape_of(call, UM_OP_CONV_BWD_WEIGHT);
    UM_TRY(chosen(&impl, &s, call, UM_OP_CONV_BWD_WEIGHT));
    impl->bwd_weight(&s, call);
done:
    return rc;
}
