/* The CUDA backend: memory on the device, one stream, kernels from the table below. */
#include "kernels/cuda/cuda.h"

#include <string.h>

#include "base/mem.h"
#include "kernels/backend_impl.h"
#include "kernels/cuda/table.h"

typedef struct cuda_impl {
    um_backend_base base;
    um_cuda cu;
    um_cuda_step step; /* what cu.step holds */
    bool step_known, capturing;
    char line[224];
} cuda_impl;

#define RUN(op) {um_cuda_##op, NULL}
#define PREPARED(op) {um_cuda_##op, um_cuda_##op##_prepare}

const um_cuda_op um_cuda_table[UM_OP_COUNT] = {
    [UM_OP_CONV_FWD] = PREPARED(conv_fwd),
    [UM_OP_CONV_BWD_DATA] = PREPARED(conv_bwd_data),
    [UM_OP_CONV_BWD_WEIGHT] = PREPARED(conv_bwd_weight),
    [UM_OP_CONVT_FWD] = PREPARED(convt_fwd),
    [UM_OP_CONVT_BWD_DATA] = PREPARED(convt_bwd_data),
    [UM_OP_CONVT_BWD_WEIGHT] = PREPARED(convt_bwd_weight),
    [UM_OP_CHANNEL_SUM] = PREPARED(channel_sum),
    [UM_OP_CDC_FOLD] = RUN(cdc_fold),
    [UM_OP_CDC_UNFOLD] = RUN(cdc_unfold),
    [UM_OP_BN_STATS] = PREPARED(bn_stats),
    [UM_OP_BN_COEF] = RUN(bn_coef),
    [UM_OP_BN_APPLY] = RUN(bn_apply),
    [UM_OP_BN_BWD_SUMS] = PREPARED(bn_bwd_sums),
    [UM_OP_BN_BWD_PARAM] = RUN(bn_bwd_param),
    [UM_OP_BN_BWD_APPLY] = RUN(bn_bwd_apply),
    [UM_OP_ALL_REDUCE] = RUN(all_reduce),
    [UM_OP_MAXPOOL_FWD] = RUN(maxpool_fwd),
    [UM_OP_MAXPOOL_BWD] = RUN(maxpool_bwd),
    [UM_OP_AVGPOOL_FWD] = RUN(avgpool_fwd),
    [UM_OP_AVGPOOL_BWD] = RUN(avgpool_bwd),
    [UM_OP_PATCHES_FWD] = RUN(patches_fwd),
    [UM_OP_PATCHES_BWD] = RUN(patches_bwd),
    [UM_OP_WS_FWD] = PREPARED(ws_fwd),
    [UM_OP_WS_BWD] = PREPARED(ws_bwd),
    [UM_OP_NORM_FWD] = PREPARED(norm_fwd),
    [UM_OP_NORM_BWD_SUMS] = PREPARED(norm_bwd_sums),
    [UM_OP_NORM_BWD_PARAM] = RUN(norm_bwd_param),
    [UM_OP_NORM_BWD] = PREPARED(norm_bwd),
    [UM_OP_ATTENTION_FWD] = PREPARED(attention_fwd),
    [UM_OP_ATTENTION_BWD] = PREPARED(attention_bwd),
    [UM_OP_EMBED_ADD] = RUN(embed_add),
    [UM_OP_EMBED_BWD] = RUN(embed_bwd),
    [UM_OP_ACT_FWD] = RUN(act_fwd),
    [UM_OP_ACT_BWD] = RUN(act_bwd),
    [UM_OP_GATE_FWD] = RUN(gate_fwd),
    [UM_OP_GATE_BWD_M] = RUN(gate_bwd_m),
    [UM_OP_DROPOUT] = RUN(dropout),
    [UM_OP_UPSAMPLE_FWD] = RUN(upsample_fwd),
    [UM_OP_UPSAMPLE_BWD] = RUN(upsample_bwd),
    [UM_OP_WINDOW] = RUN(window),
    [UM_OP_ADD] = RUN(add),
    [UM_OP_COPY] = RUN(copy),
    [UM_OP_FILL] = RUN(fill),
    [UM_OP_BOUND_FWD] = RUN(bound_fwd),
    [UM_OP_BOUND_BWD] = RUN(bound_bwd),
    [UM_OP_CLIP_FWD] = RUN(clip_fwd),
    [UM_OP_CLIP_BWD] = RUN(clip_bwd),
    [UM_OP_SEG_SUMS] = PREPARED(seg_sums),
    [UM_OP_BATCH_SUM] = RUN(batch_sum),
    [UM_OP_SEG_LOSS] = PREPARED(seg_loss),
    [UM_OP_SEG_BWD] = RUN(seg_bwd),
    [UM_OP_ALIGN_SUMS] = PREPARED(align_sums),
    [UM_OP_ALIGN_BWD] = RUN(align_bwd),
    [UM_OP_CLASS_SUMS] = RUN(class_sums),
    [UM_OP_CLASS_BWD] = RUN(class_bwd),
    [UM_OP_GATHER] = RUN(gather),
    [UM_OP_BALL_STEP] = RUN(ball_step),
    [UM_OP_GROUP_MEAN] = RUN(group_mean),
    [UM_OP_VR_ADD] = RUN(vr_add),
    [UM_OP_ADAM] = PREPARED(adam),
};

UM_CUDA_OP(all_reduce)
{
    um_status rc = UM_OK;
    const um_batch *batch = call->batch;
    const um_view *s = &call->in[0], *t = &call->out[0];
    size_t bytes = (size_t)um_view_count(s) * sizeof(double);
    double *host = NULL;
    if (t->data != s->data)
        UM_TRY(um_dev_copy(cu->dev, t->data, s->data, bytes));
    if (!batch->reduce)
        return UM_OK;
    if (batch->reduce_here)
        return (um_status)batch->reduce_here(batch->reduce_here_arg, t->data, um_view_count(s));
    UM_TRY(UM_NEW_ARRAY(host, um_view_count(s)));
    UM_TRY(um_dev_download(cu->dev, host, t->data, bytes));
    UM_TRY((um_status)batch->reduce(batch->reduce_arg, host, um_view_count(s)));
    UM_TRY(um_dev_upload(cu->dev, t->data, host, bytes));
done:
    um_free(host);
    return rc;
}

um_dev *um_cuda_dev(const um_backend *b)
{
    const cuda_impl *impl = b->impl;
    return impl->cu.dev;
}

static bool cuda_supports(const um_backend *b, um_op op)
{
    (void)b;
    return op >= 0 && op < UM_OP_COUNT && um_cuda_table[op].run != NULL;
}

/* Kernels count pixels in 31 bits: 8 GiB of a picture of one channel. */
static um_status check_sizes(um_op op, const um_op_call *call)
{
    for (int i = 0; i < UM_OP_MAX_IN + UM_OP_MAX_OUT; i++) {
        const um_view *v = i < UM_OP_MAX_IN ? &call->in[i] : &call->out[i - UM_OP_MAX_IN];
        if (um_view_pixels(v) > INT32_MAX)
            return um_fail(UM_E_UNSUPPORTED, "%s: %lld images of %lldx%lld are more pixels than a kernel counts; use a smaller batch",
                um_op_table[op].name, (long long)v->n, (long long)v->h, (long long)v->w);
    }
    return UM_OK;
}

static um_status cuda_prepare(um_backend *b, um_op op, const um_op_call *call, size_t *workspace_bytes)
{
    um_status rc = UM_OK;
    cuda_impl *impl = b->impl;
    size_t bytes = 0;
    if (!cuda_supports(b, op))
        return um_fail(UM_E_UNSUPPORTED, "backend %s has no kernel for %s", b->name,
                       op >= 0 && op < UM_OP_COUNT ? um_op_table[op].name : "an unknown op");
    UM_TRY(um_shape_check(op, call, b->real, b->store));
    UM_TRY(check_sizes(op, call));
    if (um_cuda_table[op].prepare)
        UM_TRY(um_cuda_table[op].prepare(&impl->cu, call, &bytes));
    *workspace_bytes = bytes;
done:
    return rc;
}

/* The step that dropout draws from, in device memory when it changed. */
static um_status set_step(cuda_impl *impl, const um_batch *batch)
{
    um_status rc = UM_OK;
    um_cuda_step next = {.seed = batch->seed, .first = batch->first, .step = batch->step};
    bool same = impl->step_known && next.seed == impl->step.seed && next.first == impl->step.first && next.step == impl->step.step;
    if (same)
        return UM_OK;
    UM_REQUIRE(!impl->capturing);
    UM_TRY(um_dev_upload(impl->cu.dev, impl->cu.step, &next, sizeof next));
    impl->step = next;
    impl->step_known = true;
done:
    return rc;
}

static um_status cuda_run(um_backend *b, um_op op, const um_op_call *call)
{
    um_status rc = UM_OK;
    cuda_impl *impl = b->impl;
    UM_TRY(um_batch_check(op, call));
    if (op == UM_OP_DROPOUT)
        UM_TRY(set_step(impl, call->batch));
    UM_TRY(um_cuda_table[op].run(&impl->cu, call));
done:
    return rc;
}

static um_status cuda_alloc(um_backend *b, void **out, size_t bytes)
{
    const cuda_impl *impl = b->impl;
    return um_dev_alloc(impl->cu.dev, out, bytes);
}

static void cuda_free(um_backend *b, void *p)
{
    const cuda_impl *impl = b->impl;
    um_dev_free(impl->cu.dev, p);
}

static um_status cuda_upload(um_backend *b, void *to_device, const void *from_host, size_t bytes)
{
    const cuda_impl *impl = b->impl;
    return um_dev_upload(impl->cu.dev, to_device, from_host, bytes);
}

static um_status cuda_download(um_backend *b, void *to_host, const void *from_device, size_t bytes)
{
    const cuda_impl *impl = b->impl;
    return um_dev_download(impl->cu.dev, to_host, from_device, bytes);
}

static um_status cuda_synchronise(um_backend *b)
{
    const cuda_impl *impl = b->impl;
    return um_dev_sync(impl->cu.dev);
}

static bool cuda_recordable(const um_backend *b, um_op op, const um_batch *batch)
{
    (void)b;
    return op != UM_OP_ALL_REDUCE || !batch->reduce;
}

static um_status cuda_record_begin(um_backend *b, const um_batch *batch)
{
    um_status rc = UM_OK;
    cuda_impl *impl = b->impl;
    UM_TRY(set_step(impl, batch));
    UM_TRY(um_dev_capture_begin(impl->cu.dev));
    impl->capturing = true;
done:
    return rc;
}

static um_status cuda_record_end(um_backend *b, bool good, void **recording)
{
    cuda_impl *impl = b->impl;
    impl->capturing = false;
    if (good)
        return um_dev_capture_end(impl->cu.dev, recording);
    um_dev_capture_abandon(impl->cu.dev);
    return UM_OK;
}

static um_status cuda_replay(um_backend *b, const um_batch *batch, void *recording)
{
    um_status rc = UM_OK;
    cuda_impl *impl = b->impl;
    UM_TRY(set_step(impl, batch));
    UM_TRY(um_dev_graph_launch(impl->cu.dev, recording));
done:
    return rc;
}

static void cuda_forget(um_backend *b, void *recording)
{
    const cuda_impl *impl = b->impl;
    um_dev_graph_free(impl->cu.dev, recording);
}

static void cuda_destroy(um_backend *b)
{
    cuda_impl *impl = b->impl;
    um_gemm_free(impl->cu.gemm);
    um_dnn_free(impl->cu.dnn);
    if (impl->cu.dev)
        um_dev_free(impl->cu.dev, impl->cu.step);
    um_dev_close(impl->cu.dev);
    um_free(impl);
    um_free(b);
}

static const char *cuda_describe(const um_backend *b)
{
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    cuda_impl *impl = b->impl;
    const um_dev_info *d = um_dev_about(impl->cu.dev);
    snprintf(impl->line, sizeof impl->line, "cuda: device %d of %d, %.90s, compute capability %d.%d, %.1f GiB, %s", d->index,
        d->n_devices, d->name,
             d->cc_major, d->cc_minor, (double)d->bytes_total / 1073741824, names[impl->cu.precision]);
    return impl->line;
}

static const um_backend_iface cuda_iface = {
    .supports = cuda_supports,
    .prepare = cuda_prepare,
    .run = cuda_run,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .synchronise = cuda_synchronise,
    .recordable = cuda_recordable,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .forget = cuda_forget,
    .destroy = cuda_destroy,
};

um_status um_cuda_backend_create(um_backend **out, um_dtype real, um_precision precision)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    cuda_impl *impl = NULL;
    if (real != UM_F32)
        return um_fail(UM_E_UNSUPPORTED, "backend cuda computes in f32 and below; f64 is for backend cpu");
    UM_TRY(UM_NEW(b));
    UM_TRY(UM_NEW(impl));
    *impl = (cuda_impl){.base = {cuda_describe}, .cu = {.precision = precision}};
    UM_TRY(um_dev_open(&impl->cu.dev, um_backend_place()));
    UM_TRY(um_dnn_create(&impl->cu.dnn, impl->cu.dev, precision));
    UM_TRY(um_gemm_create(&impl->cu.gemm, impl->cu.dev, precision));
    UM_TRY(um_dev_alloc(impl->cu.dev, (void **)&impl->cu.step, sizeof *impl->cu.step));
    um_dtype store = precision == UM_PRECISION_BF16 ? UM_BF16 : UM_F32;
    *b = (um_backend){.iface = &cuda_iface, .name = "cuda", .real = real, .store = store, .queues = &um_cuda_queues, .impl = impl};
    snprintf(b->device, sizeof b->device, "%s", um_dev_about(impl->cu.dev)->uuid);
    *out = b;
    b = NULL;
    impl = NULL;
done:
    if (impl) {
        um_gemm_free(impl->cu.gemm);
        um_dnn_free(impl->cu.dnn);
        um_dev_close(impl->cu.dev);
    }
    um_free(impl);
    um_free(b);
    return rc;
}
