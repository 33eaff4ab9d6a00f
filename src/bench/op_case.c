#include "bench/op_case.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LANES = 4 };

/* u in [-1, 1), scaled and shifted: weights are small, sums plausible. */
static void fill(const um_view *v, uint64_t seed, double scale, double shift)
{
    for (int64_t i = 0; i < um_view_count(v); i++) {
        uint64_t x = (seed << 40) + (uint64_t)i + 0x9E3779B97F4A7C15u;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        double value = (float)(shift + scale * ((double)((x ^ (x >> 31)) >> 40) / (1 << 23) - 1));
        if (v->dtype == UM_F64)
            ((double *)v->data)[i] = value;
        else if (v->dtype == UM_F32)
            ((float *)v->data)[i] = (float)value;
        else
            ((uint8_t *)v->data)[i] = x >> 40 & 3;
    }
}

static um_status operand(um_op_bench *b, um_view *v, int index, um_view shape, double scale, double shift)
{
    um_status rc = UM_OK;
    *v = shape;
    v->ld = v->c;
    size_t bytes = (size_t)um_view_count(v) * um_dtype_bytes(v->dtype);
    UM_TRY(b->backend->iface->alloc(b->backend, &v->data, bytes));
    fill(v, (uint64_t)index + 1, scale, shift);
    b->bytes += (double)bytes;
done:
    return rc;
}

static um_status conv_operands(um_op_bench *b, um_view x, um_view y, um_view w)
{
    um_status rc = UM_OK;
    um_op_call *c = &b->call;
    double scale = 1 / sqrt(9 * (double)x.c);
    c->attr.conv.stride = c->attr.conv.pad = 1;
    c->attr.conv.algo = b->backend->conv_algo;
    if (b->op == UM_OP_CONV_FWD) {
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, w, scale, 0));
        UM_TRY(operand(b, &c->out[0], 2, y, 1, 0));
    } else if (b->op == UM_OP_CONV_BWD_DATA) {
        UM_TRY(operand(b, &c->in[0], 2, y, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, w, scale, 0));
        UM_TRY(operand(b, &c->out[0], 0, x, 1, 0));
    } else {
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 2, y, 1, 0));
        UM_TRY(operand(b, &c->out[0], 1, w, 1, 0));
    }
done:
    return rc;
}

/* What the passes between convolutions read and write. */
static um_status pass_operands(um_op_bench *b, um_view x)
{
    um_status rc = UM_OK;
    um_op_call *c = &b->call;
    um_view half = {NULL, x.dtype, x.n, x.h / 2, x.w / 2, x.c, x.c}, which = half, twice = half;
    um_view coef = {NULL, x.dtype, 1, 1, 4, x.c, x.c}, sums = {NULL, UM_F64, 1, 1, 2, x.c, x.c};
    which.dtype = UM_U8;
    twice.h = x.h, twice.w = x.w;
    switch (b->op) {
    case UM_OP_BN_STATS:
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->out[0], 1, sums, 1, 0));
        break;
    case UM_OP_BN_APPLY:
        c->attr.bn.relu = true;
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, coef, 0.5, 1));
        UM_TRY(operand(b, &c->out[0], 2, x, 1, 0));
        break;
    case UM_OP_BN_BWD_SUMS:
        c->attr.bn.relu = true;
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, x, 1, 0));
        UM_TRY(operand(b, &c->in[2], 2, coef, 0.5, 1));
        UM_TRY(operand(b, &c->out[0], 3, sums, 1, 0));
        break;
    case UM_OP_BN_BWD_APPLY:
        c->attr.bn.relu = true;
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, x, 1, 0));
        UM_TRY(operand(b, &c->in[2], 2, coef, 0.5, 1));
        UM_TRY(operand(b, &c->in[3], 3, sums, 1, 0));
        UM_TRY(operand(b, &c->out[0], 4, x, 1, 0));
        break;
    case UM_OP_MAXPOOL_FWD:
        c->attr.pool.size = c->attr.pool.stride = 2;
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->out[0], 1, half, 1, 0));
        UM_TRY(operand(b, &c->out[1], 2, which, 1, 0));
        break;
    case UM_OP_MAXPOOL_BWD:
        c->attr.pool.size = c->attr.pool.stride = 2;
        UM_TRY(operand(b, &c->in[0], 0, half, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, which, 1, 0));
        UM_TRY(operand(b, &c->out[0], 2, twice, 1, 0));
        break;
    case UM_OP_UPSAMPLE_FWD:
        UM_TRY(operand(b, &c->in[0], 0, half, 1, 0));
        UM_TRY(operand(b, &c->out[0], 1, twice, 1, 0));
        break;
    case UM_OP_UPSAMPLE_BWD:
        UM_TRY(operand(b, &c->in[0], 0, twice, 1, 0));
        UM_TRY(operand(b, &c->out[0], 1, half, 1, 0));
        break;
    case UM_OP_ADD:
        UM_TRY(operand(b, &c->in[0], 0, x, 1, 0));
        UM_TRY(operand(b, &c->in[1], 1, x, 1, 0));
        UM_TRY(operand(b, &c->out[0], 2, x, 1, 0));
        break;
    case UM_OP_ADAM: {
        um_view flat = {NULL, x.dtype, 1, 1, 1, um_view_count(&x) / 4, um_view_count(&x) / 4};
        um_view pace = {NULL, UM_F64, 1, 1, 1, 2, 2};
        c->attr.adam = (um_adam_attr){.b1 = 0.9, .b2 = 0.999, .eps = 1e-8};
        UM_TRY(operand(b, &c->in[0], 0, flat, 1, 0));
        UM_TRY(operand(b, &c->in[1], 4, pace, 0, 1));
        for (int i = 0; i < 3; i++)
            UM_TRY(operand(b, &c->out[i], 1 + i, flat, 0.5, 1));
        b->bytes += 3 * (double)um_view_count(&flat) * (double)um_dtype_bytes(flat.dtype); /* read and written */
        break;
    }
    default:
        rc = um_fail(UM_E_UNSUPPORTED, "%s has no measurement", um_op_table[b->op].name);
    }
done:
    return rc;
}

um_status um_op_bench_create(um_op_bench *b, um_backend *backend, um_op op, int64_t n, int64_t h, int64_t c, int64_t k)
{
    um_status rc = UM_OK;
    um_view x = {NULL, backend->real, n, h, h, c, c}, y = x, w = {NULL, backend->real, 3, 3, c, k, k};
    bool conv = op == UM_OP_CONV_FWD || op == UM_OP_CONV_BWD_DATA || op == UM_OP_CONV_BWD_WEIGHT;
    size_t workspace = 0;
    y.c = k;
    *b = (um_op_bench){.backend = backend, .op = op};
    UM_TRY(conv ? conv_operands(b, x, y, w) : pass_operands(b, x));
    um_batch_set(&b->batch, n, LANES);
    b->call.batch = &b->batch;
    UM_TRY(backend->iface->prepare(backend, op, &b->call, &workspace));
    UM_TRY(backend->iface->alloc(backend, &b->call.workspace, workspace));
done:
    if (rc != UM_OK)
        um_op_bench_free(b);
    return rc;
}

void um_op_bench_free(um_op_bench *b)
{
    for (int i = 0; i < UM_OP_MAX_IN; i++)
        b->backend->iface->free(b->backend, b->call.in[i].data);
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        b->backend->iface->free(b->backend, b->call.out[i].data);
    b->backend->iface->free(b->backend, b->call.workspace);
    b->call = (um_op_call){0};
}

um_status um_op_bench_run(void *op_bench, double *seconds)
{
    um_op_bench *b = op_bench;
    b->call.batch = &b->batch; /* the struct may have moved since it was made */
    double start = um_now();
    um_status rc = b->backend->iface->run(b->backend, b->op, &b->call);
    *seconds = um_now() - start;
    return rc;
}

double um_op_bench_distance(const um_op_bench *a, const um_op_bench *b)
{
    const float *x = a->call.out[0].data;
    const double *y = b->call.out[0].data;
    double d = 0, s = 0;
    for (int64_t i = 0; i < um_view_count(&a->call.out[0]); i++) {
        d += (x[i] - y[i]) * (x[i] - y[i]);
        s += y[i] * y[i];
    }
    return sqrt(d / s);
}
