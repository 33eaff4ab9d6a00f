#include "bench/op_case.h"

#include <math.h>

#include "base/mem.h"
#include "base/threads.h"
#include "kernels/queue.h"

enum { LANES = 4 };

static float to_bf16(float v)
{
    union { float f; uint32_t u; } wide = {.f = v};
    wide.u = (wide.u + 0x7FFF + (wide.u >> 16 & 1)) & 0xFFFF0000u;
    return wide.f;
}

/* Element i of operand `seed`, as its type holds it. */
static double value_of(const um_op_values *d, um_dtype type, uint64_t seed, int64_t i)
{
    uint64_t x = (seed << 40) + (uint64_t)i + 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    double u = (double)((x ^ (x >> 31)) >> 40) / (1 << 23) - 1;
    float v = d->draw == UM_DRAW_ROW ? (float)i : d->draw == UM_DRAW_MASK ? u < -0.2 : (float)(d->shift + d->scale * u);
    return type == UM_U8 ? floor((double)v) : type == UM_BF16 ? to_bf16(v) : v;
}

static void put(void *to, um_dtype type, int64_t i, double v)
{
    union { float f; uint32_t u; } narrow = {.f = (float)v};
    switch (type) {
    case UM_F64: ((double *)to)[i] = v; break;
    case UM_F32: ((float *)to)[i] = (float)v; break;
    case UM_BF16: ((uint16_t *)to)[i] = (uint16_t)(narrow.u >> 16); break; /* v is one already */
    case UM_U8: ((uint8_t *)to)[i] = (uint8_t)v; break;
    }
}

static double get(const void *from, um_dtype type, int64_t i)
{
    union { uint32_t u; float f; } wide;
    switch (type) {
    case UM_F64: return ((const double *)from)[i];
    case UM_F32: return ((const float *)from)[i];
    case UM_BF16: wide.u = (uint32_t)((const uint16_t *)from)[i] << 16; return wide.f;
    case UM_U8: return ((const uint8_t *)from)[i];
    }
    return NAN;
}

/* With what lies between the pixels of a slice: everybody has to leave it as it is. */
static int64_t elements_of(const um_view *v)
{
    return um_view_pixels(v) * v->ld;
}

static size_t bytes_of(const um_view *v)
{
    return (size_t)elements_of(v) * um_dtype_bytes(v->dtype);
}

um_status um_op_operand(um_backend *backend, um_view *v, const um_op_values *values, uint64_t seed)
{
    um_status rc = UM_OK;
    um_dtype told = v->dtype;
    void *host = NULL;
    int64_t n = elements_of(v);
    int threads = um_threads();
    if (v->c == 0)
        return UM_OK;
    if (backend->real == UM_F64 && (told == UM_F32 || told == UM_BF16))
        v->dtype = UM_F64;
    UM_TRY(um_alloc(&host, (size_t)n, um_dtype_bytes(v->dtype)));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < n; i++)
        put(host, v->dtype, i, value_of(values, told, seed, i));
    UM_TRY(backend->iface->alloc(backend, &v->data, bytes_of(v)));
    UM_TRY(backend->iface->upload(backend, v->data, host, bytes_of(v)));
done:
    um_free(host);
    return rc;
}

/* The same numbers in other memory. */
static um_status operand_again(um_backend *backend, um_view *v, const um_view *from)
{
    um_status rc = UM_OK;
    *v = *from;
    v->data = NULL;
    if (v->c == 0)
        return UM_OK;
    UM_REQUIRE(backend->queues);
    UM_TRY(backend->iface->alloc(backend, &v->data, bytes_of(v)));
    UM_TRY(backend->queues->copy(backend, NULL, v->data, from->data, bytes_of(v)));
done:
    return rc;
}

static um_status run_once(void *op_bench)
{
    um_op_bench *b = op_bench;
    return b->backend->iface->run(b->backend, b->op, &b->sets[b->at++ % b->n_sets]);
}

static bool is_conv(um_op op)
{
    return op == UM_OP_CONV_FWD || op == UM_OP_CONV_BWD_DATA || op == UM_OP_CONV_BWD_WEIGHT;
}

static um_status first_set(um_op_bench *b, const um_op_spec *spec)
{
    um_status rc = UM_OK;
    um_op_call *call = &b->sets[0];
    size_t workspace = 0;
    *call = spec->call;
    call->batch = &b->batch;
    if (is_conv(b->op))
        call->attr.conv.algo = b->backend->conv_algo;
    for (int i = 0; i < UM_OP_MAX_IN; i++)
        UM_TRY(um_op_operand(b->backend, &call->in[i], &spec->in[i], (uint64_t)i + 1));
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        UM_TRY(um_op_operand(b->backend, &call->out[i], &spec->out[i], (uint64_t)(UM_OP_MAX_IN + i) + 1));
    UM_TRY(b->backend->iface->prepare(b->backend, b->op, call, &workspace));
    UM_TRY(b->backend->iface->alloc(b->backend, &call->workspace, workspace));
done:
    return rc;
}

static um_status next_set(um_op_bench *b, int s)
{
    um_status rc = UM_OK;
    const um_op_call *first = &b->sets[0];
    um_op_call *call = &b->sets[s];
    call->attr = first->attr;
    call->accumulate = first->accumulate;
    call->batch = first->batch;
    call->workspace = first->workspace;
    for (int i = 0; i < UM_OP_MAX_IN; i++)
        UM_TRY(operand_again(b->backend, &call->in[i], &first->in[i]));
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        UM_TRY(operand_again(b->backend, &call->out[i], &first->out[i]));
done:
    return rc;
}

um_status um_op_bench_create(um_op_bench *b, um_backend *backend, const um_op_spec *spec, int n_sets)
{
    um_status rc = UM_OK;
    *b = (um_op_bench){.n_sets = n_sets, .op = spec->op, .backend = backend};
    um_batch_set(&b->batch, spec->images, LANES);
    UM_TRY(UM_NEW_ARRAY(b->sets, n_sets));
    UM_TRY(first_set(b, spec));
    for (int s = 1; s < n_sets; s++)
        UM_TRY(next_set(b, s));
    b->burst = (um_burst){.backend = backend, .once = run_once, .payload = b, .batch = &b->batch};
done:
    if (rc != UM_OK)
        um_op_bench_free(b);
    return rc;
}

void um_op_bench_free(um_op_bench *b)
{
    if (!b->sets)
        return;
    um_burst_free(&b->burst);
    for (int s = 0; s < b->n_sets; s++) {
        for (int i = 0; i < UM_OP_MAX_IN; i++)
            b->backend->iface->free(b->backend, b->sets[s].in[i].data);
        for (int i = 0; i < UM_OP_MAX_OUT; i++)
            b->backend->iface->free(b->backend, b->sets[s].out[i].data);
    }
    b->backend->iface->free(b->backend, b->sets[0].workspace);
    um_free(b->sets);
    b->sets = NULL;
}

um_status um_op_bench_ready(um_op_bench *b)
{
    return um_burst_ready(&b->burst);
}

um_status um_op_bench_run(void *op_bench, double *seconds)
{
    return um_burst_run(&((um_op_bench *)op_bench)->burst, seconds);
}

/* out: of a, from b, both of which are freed by the caller. */
static um_status distance(const um_op_bench *a, const um_op_bench *b, int out, double *error)
{
    um_status rc = UM_OK;
    const um_view *x = &a->sets[0].out[out], *y = &b->sets[0].out[out];
    void *host = NULL;
    double d = 0, s = 0;
    *error = 0;
    if (x->c == 0)
        return UM_OK;
    UM_TRY(um_alloc(&host, 1, bytes_of(x)));
    UM_TRY(a->backend->iface->download(a->backend, host, x->data, bytes_of(x)));
    for (int64_t i = 0; i < elements_of(x); i++) {
        double want = get(y->data, y->dtype, i), off = get(host, x->dtype, i) - want;
        d += off * off;
        s += want * want;
    }
    *error = d == 0 ? 0 : sqrt(d / s);
done:
    um_free(host);
    return rc;
}

um_status um_op_bench_check(um_backend *backend, const um_op_spec *spec, double error[UM_OP_MAX_OUT])
{
    um_status rc = UM_OK;
    um_backend *exact = NULL;
    um_op_bench ours = {0}, want = {0};
    UM_TRY(um_backend_create(&exact, "cpu", UM_F64));
    exact->conv_algo = UM_CONV_DIRECT;
    UM_TRY(um_op_bench_create(&want, exact, spec, 1));
    UM_TRY(um_op_bench_create(&ours, backend, spec, 1));
    UM_TRY(run_once(&want));
    UM_TRY(run_once(&ours));
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        UM_TRY(distance(&ours, &want, i, &error[i]));
done:
    um_op_bench_free(&ours);
    um_op_bench_free(&want);
    um_backend_free(exact);
    return rc;
}
