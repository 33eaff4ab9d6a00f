#include "kernels/backend.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "kernels/backend_impl.h"
#ifdef UM_HAS_CUDA
#include "kernels/cuda/cuda.h"
#endif

static const char *const known[] = {"auto", "cpu", "cuda", "check:cpu", "check:cuda"};
static const char *const precisions[] = {"fp32", "tf32", "bf16"};

static um_status create_cpu(um_backend **out, um_dtype real, um_precision precision)
{
    if (precision != UM_PRECISION_FP32)
        return um_fail(UM_E_UNSUPPORTED, "precision %s needs backend cuda; backend cpu has fp32", precisions[precision]);
    return um_cpu_backend_create(out, real);
}

#ifdef UM_HAS_CUDA
static um_status create_cuda(um_backend **out, um_dtype real, um_precision precision)
{
    return um_cuda_backend_create(out, real, precision);
}
#else
static um_status create_cuda(um_backend **out, um_dtype real, um_precision precision)
{
    (void)out;
    (void)real;
    (void)precision;
    return um_fail(UM_E_UNSUPPORTED,
        "backend cuda is not in this build (it was made without the CUDA Toolkit or cuDNN); use backend cpu");
}
#endif

static bool has_device(void)
{
#ifdef UM_HAS_CUDA
    return um_cuda_devices() > 0;
#else
    return false;
#endif
}

static um_status create_plain(um_backend **out, const char *name, um_dtype real, um_precision precision)
{
    bool automatic = strcmp(name, "auto") == 0;
    if (strcmp(name, "cuda") == 0 || (automatic && real == UM_F32 && has_device()))
        return create_cuda(out, real, precision);
    if (strcmp(name, "cpu") == 0 || automatic)
        return create_cpu(out, real, precision);
    const char *near = um_text_nearest(name, known, UM_COUNT(known));
    return um_fail(UM_E_CONFIG, "unknown backend '%s'; did you mean '%s'? (auto, cpu, cuda, check:cpu, check:cuda)", name,
        near ? near : "cpu");
}

static int rank_on_host;

void um_backend_set_place(int rank)
{
    rank_on_host = rank;
}

int um_backend_place(void)
{
    return rank_on_host;
}

um_status um_backend_open(um_backend **out, const char *name, um_dtype real, um_precision precision)
{
    um_status rc = UM_OK;
    um_backend *b = NULL, *inner = NULL;
    const char *prefix = "check:";
    size_t prefix_bytes = strlen(prefix);
    if (real != UM_F32 && real != UM_F64)
        return um_fail(UM_E_UNSUPPORTED, "backend '%s': the float type must be f32 or f64", name);
    if (strncmp(name, prefix, prefix_bytes) == 0) {
        UM_TRY(create_plain(&inner, name + prefix_bytes, real, precision));
        UM_TRY(um_check_backend_create(&b, inner));
        inner = NULL;
    } else {
        UM_TRY(create_plain(&b, name, real, precision));
    }
    *out = b;
done:
    um_backend_free(inner);
    return rc;
}

um_status um_backend_create(um_backend **out, const char *name, um_dtype real)
{
    return um_backend_open(out, name, real, UM_PRECISION_FP32);
}

void um_backend_free(um_backend *b)
{
    if (b)
        b->iface->destroy(b);
}

const char *um_backend_describe(const um_backend *b)
{
    const um_backend_base *base = b->impl;
    return base->describe(b);
}

static bool needs_batch(um_op op)
{
    return (um_op_table[op].flags & UM_OPF_S) || op == UM_OP_BN_COEF || op == UM_OP_BN_BWD_APPLY || op == UM_OP_SEG_BWD ||
           op == UM_OP_ALL_REDUCE || op == UM_OP_DROPOUT;
}

/* Sums over the batch walk the lanes: they must cover exactly the images of the call. */
static bool lanes_fit(um_op op, const um_op_call *call)
{
    const um_batch *b = call->batch;
    bool per_lane = (op == UM_OP_BN_COEF || op == UM_OP_BN_BWD_APPLY) && call->attr.bn.per_lane;
    if (!(um_op_table[op].flags & UM_OPF_S) && !per_lane)
        return true;
    return b->n_lanes >= 1 && b->n_lanes <= UM_MAX_LANES && b->lane_begin[0] == 0 && b->lane_begin[b->n_lanes] == call->in[0].n;
}

um_status um_batch_check(um_op op, const um_op_call *call)
{
    if (needs_batch(op) && !call->batch)
        return um_fail(UM_E_BUG, "%s: the call names no batch", um_op_table[op].name);
    if (!lanes_fit(op, call))
        return um_fail(UM_E_BUG, "%s: the lanes of the batch do not cover its %lld images", um_op_table[op].name,
                       (long long)call->in[0].n);
    return UM_OK;
}
