#include "kernels/op_harness.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/threads.h"
#include "ref/ref_ops.h"

static const double gap_sentinel = -77.0;

um_view *op_set_view(op_set *s, int i)
{
    return i < UM_OP_MAX_IN ? &s->call.in[i] : &s->call.out[i - UM_OP_MAX_IN];
}

static const case_operand *case_operand_at(const op_case *c, int i)
{
    return i < UM_OP_MAX_IN ? &c->in[i] : &c->out[i - UM_OP_MAX_IN];
}

double op_view_get(const um_view *v, int64_t pixel, int64_t k)
{
    int64_t i = pixel * v->ld + k;
    if (v->dtype == UM_BF16) {
        union { uint32_t u; float f; } wide = {.u = (uint32_t)((uint16_t *)v->data)[i] << 16};
        return wide.f;
    }
    return v->dtype == UM_F64 ? ((double *)v->data)[i] : v->dtype == UM_F32 ? ((float *)v->data)[i] : ((uint8_t *)v->data)[i];
}

void op_view_set(const um_view *v, int64_t pixel, int64_t k, double value)
{
    int64_t i = pixel * v->ld + k;
    if (v->dtype == UM_BF16) {
        union { float f; uint32_t u; } wide = {.f = (float)value};
        ((uint16_t *)v->data)[i] = (uint16_t)((wide.u + 0x7FFF + (wide.u >> 16 & 1)) >> 16);
    } else if (v->dtype == UM_F64)
        ((double *)v->data)[i] = value;
    else if (v->dtype == UM_F32)
        ((float *)v->data)[i] = (float)value;
    else
        ((uint8_t *)v->data)[i] = (uint8_t)value;
}

/* Two numbers in [0, 1) from the bits of a mixed counter (the finaliser of splitmix64). */
static void draw_units(int operand, int64_t i, double out[2])
{
    uint64_t x = ((uint64_t)operand << 40) + (uint64_t)i + 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    out[0] = (double)(x >> 40) / (1 << 24);
    out[1] = (double)(x & 0xFFFF) / (1 << 16);
}

static double draw(case_fill fill, int operand, int64_t i)
{
    double unit[2];
    draw_units(operand, i, unit);
    double u = unit[0];
    switch (fill) {
    case FILL_ANY: return 4 * u - 2;
    case FILL_POSITIVE: return u + 0.5;
    case FILL_MASK: return u < 0.4;
    case FILL_BOUND: return unit[1] < 0.25 ? 0 : 0.02 + 0.58 * u;
    case FILL_DISTINCT: return (double)(i * 7919 % 10007) / 2048.0 - 2.4;
    case FILL_PLACE: return floor(4 * u);
    }
    return NAN;
}

static void fill_view(const um_view *v, case_fill fill, int operand)
{
    for (int64_t p = 0; p < um_view_pixels(v); p++) {
        for (int64_t k = 0; k < v->c; k++)
            op_view_set(v, p, k, (double)(float)draw(fill, operand, p * v->c + k));
        for (int64_t k = v->c; k < v->ld; k++)
            op_view_set(v, p, k, v->dtype == UM_U8 ? 99 : gap_sentinel);
    }
}

static int64_t case_images(const op_case *c)
{
    for (int i = 0; i < SET_OPERANDS; i++)
        if (case_operand_at(c, i)->batched)
            return case_operand_at(c, i)->n;
    return 1;
}

static um_dtype type_of(const op_case *c, int i, um_dtype real, op_store store)
{
    const case_operand *o = case_operand_at(c, i);
    bool is_out = i >= UM_OP_MAX_IN;
    bool asked = store == STORE_NARROW || store == (is_out ? STORE_NARROW_OUT : STORE_NARROW_IN);
    if (o->type != 'r')
        return o->type == 'd' ? UM_F64 : UM_U8;
    return asked && um_shape_is_activation(c->op, is_out, is_out ? i - UM_OP_MAX_IN : i) ? UM_BF16 : real;
}

static void set_allocate(op_set *s, const op_case *c, um_dtype real, op_store store)
{
    *s = (op_set){.call = {.attr = c->attr}};
    um_batch_set(&s->batch, case_images(c), CASE_LANES);
    s->batch.first = 5;
    s->batch.seed = 0x123456789;
    s->batch.step = 3;
    s->call.batch = &s->batch;
    for (int i = 0; i < SET_OPERANDS; i++) {
        const case_operand *o = case_operand_at(c, i);
        if (!o->type)
            continue;
        um_dtype t = type_of(c, i, real, store);
        um_view *v = op_set_view(s, i);
        *v = (um_view){.dtype = t, .n = o->n, .h = o->h, .w = o->w, .c = o->c, .ld = o->c + o->gap};
        s->bytes[i] = (size_t)(um_view_pixels(v) * v->ld) * um_dtype_bytes(t);
        v->data = malloc(s->bytes[i]);
        assert_non_null(v->data);
        fill_view(v, o->fill, i);
    }
}

static void round_operands(op_set *to, op_set *from)
{
    for (int i = 0; i < SET_OPERANDS; i++) {
        um_view *a = op_set_view(to, i), *b = op_set_view(from, i);
        for (int64_t p = 0; a->data && p < um_view_pixels(a); p++)
            for (int64_t k = 0; k < a->c; k++)
                op_view_set(a, p, k, op_view_get(b, p, k));
    }
}

void op_set_create_stored(op_set *s, const op_case *c, um_dtype real, op_store store)
{
    op_set exact;
    set_allocate(s, c, real, store);
    if (!c->derive)
        return;
    set_allocate(&exact, c, UM_F64, STORE_REAL);
    if (store != STORE_REAL)
        round_operands(&exact, s);
    c->derive(&exact.call);
    round_operands(s, &exact);
    op_set_free(&exact);
}

void op_set_create(op_set *s, const op_case *c, um_dtype real)
{
    op_set_create_stored(s, c, real, STORE_REAL);
}

void op_set_free(op_set *s)
{
    for (int i = 0; i < SET_OPERANDS; i++)
        free(op_set_view(s, i)->data);
    *s = (op_set){0};
}

void op_set_copy_outputs(op_set *to, const op_set *from)
{
    for (int i = 0; i < UM_OP_MAX_OUT; i++)
        if (to->call.out[i].data)
            memcpy(to->call.out[i].data, from->call.out[i].data, to->bytes[UM_OP_MAX_IN + i]);
}

static size_t operand_bytes(const um_view *v)
{
    return (size_t)((um_view_pixels(v) - 1) * v->ld + v->c) * um_dtype_bytes(v->dtype);
}

static um_view *call_view(um_op_call *call, int i)
{
    return i < UM_OP_MAX_IN ? &call->in[i] : &call->out[i - UM_OP_MAX_IN];
}

static void must(um_status rc, const char *what)
{
    if (rc != UM_OK)
        fail_msg("%s: %s", what, um_error_text());
}

/* The run on copies in the backend's memory; operands that share memory here share it there. */
static void run_on_device(um_backend *b, um_op op, const um_op_call *call)
{
    um_op_call there = *call;
    unsigned char guard[64];
    size_t bytes = 0;
    must(b->iface->prepare(b, op, call, &bytes), "prepare");
    for (int i = 0; i < SET_OPERANDS; i++) {
        um_view *v = call_view(&there, i);
        void *host = v->data;
        int same = 0;
        while (same < i && (!host || call_view((um_op_call *)call, same)->data != host))
            same++;
        if (!host)
            continue;
        if (same < i) {
            v->data = call_view(&there, same)->data;
            continue;
        }
        must(b->iface->alloc(b, &v->data, operand_bytes(v)), "alloc");
        must(b->iface->upload(b, v->data, host, operand_bytes(v)), "upload");
    }
    unsigned char *fill = malloc(bytes + sizeof guard);
    assert_non_null(fill);
    memset(fill, 0xFF, bytes + sizeof guard);
    must(b->iface->alloc(b, &there.workspace, bytes + sizeof guard), "alloc");
    must(b->iface->upload(b, there.workspace, fill, bytes + sizeof guard), "upload");
    must(b->iface->run(b, op, &there), "run");
    must(b->iface->download(b, guard, (char *)there.workspace + bytes, sizeof guard), "download");
    for (size_t i = 0; i < sizeof guard; i++)
        if (guard[i] != 0xFF)
            fail_msg("%s wrote byte %zu of a workspace of %zu", um_op_table[op].name, bytes + i, bytes);
    for (int i = SET_OPERANDS - 1; i >= 0; i--) {
        um_view *v = call_view(&there, i), *host = call_view((um_op_call *)call, i);
        bool first = true;
        for (int k = 0; k < i; k++)
            first &= call_view(&there, k)->data != v->data;
        if (!v->data)
            continue;
        must(b->iface->download(b, host->data, v->data, operand_bytes(v)), "download");
        if (first)
            b->iface->free(b, v->data);
    }
    b->iface->free(b, there.workspace);
    free(fill);
}

void op_run(um_backend *b, um_op op, um_op_call *call)
{
    size_t bytes = 0;
    if (!b->on_host) {
        run_on_device(b, op, call);
        return;
    }
    if (b->iface->prepare(b, op, call, &bytes) != UM_OK)
        fail_msg("prepare: %s", um_error_text());
    size_t room = (bytes + 63) / 64 * 64 + 64;
    call->workspace = aligned_alloc(64, room);
    assert_non_null(call->workspace);
    memset(call->workspace, 0xFF, room);
    if (b->iface->run(b, op, call) != UM_OK)
        fail_msg("run: %s", um_error_text());
    for (size_t i = bytes; i < room; i++)
        if (((unsigned char *)call->workspace)[i] != 0xFF)
            fail_msg("%s wrote byte %zu of a workspace of %zu", um_op_table[op].name, i, bytes);
    free(call->workspace);
    call->workspace = NULL;
}

double op_view_distance(const um_view *a, const um_view *b)
{
    double worst = 0, size = 0;
    for (int64_t p = 0; p < um_view_pixels(b); p++)
        for (int64_t k = 0; k < b->c; k++) {
            double d = fabs(op_view_get(a, p, k) - op_view_get(b, p, k));
            worst = d > worst || isnan(d) ? (isnan(d) ? INFINITY : d) : worst;
            size = fmax(size, fabs(op_view_get(b, p, k)));
        }
    return worst == 0 ? 0 : worst / size;
}

/* What all checks of a case share. */
typedef struct bench {
    const op_case *c;
    um_backend *b;
    op_set oracle; /* f64, after the oracle */
    op_set first;  /* the backend's type, after a plain run with one thread */
    op_store store;
    um_precision precision;
    bool device;
} bench;

static bool is_product(um_op op)
{
    return op <= UM_OP_CONVT_BWD_WEIGHT || op == UM_OP_ATTENTION_FWD || op == UM_OP_ATTENTION_BWD;
}

static bool is_gradient(um_op op)
{
    return strstr(um_op_table[op].name, "_bwd") != NULL;
}

/* spec: f32 on a device within 2e-5; operands of products rounded to tf32 or bf16; activations stored in bf16. */
static double limit_of(const bench *t)
{
    double plain = t->c->f32_tolerance > 0 ? t->c->f32_tolerance : 1e-5;
    if (!t->device)
        return t->b->real == UM_F64 ? 1e-11 : plain;
    if (t->store != STORE_REAL)
        return is_gradient(t->c->op) ? 4e-2 : 2e-2;
    if (t->precision != UM_PRECISION_FP32 && is_product(t->c->op))
        return t->c->op == UM_OP_ATTENTION_FWD || t->c->op == UM_OP_ATTENTION_BWD ? 1e-2 : is_gradient(t->c->op) ? 5e-3 : 2e-3;
    return plain > 2e-5 ? plain : 2e-5;
}

static void expect_close(const bench *t, op_set *got, op_set *want, const char *what)
{
    bool f64 = t->b->real == UM_F64;
    double limit = limit_of(t);
    for (int i = 0; i < UM_OP_MAX_OUT; i++) {
        if (!got->call.out[i].data)
            continue;
        double d = op_view_distance(&got->call.out[i], &want->call.out[i]);
        if (!(d <= limit))
            fail_msg("%s, %s on %s %s (%s): out[%d] is off by %.3g (limit %.3g)", t->c->label, what, t->b->name,
                     f64 ? "f64" : "f32", um_cpu_isa(), i, d, limit);
    }
}

static void expect_same_bits(const bench *t, op_set *got, op_set *want, const char *what)
{
    for (int i = 0; i < UM_OP_MAX_OUT; i++) {
        const um_view *a = &got->call.out[i], *b = &want->call.out[i];
        if (a->data && memcmp(a->data, b->data, got->bytes[UM_OP_MAX_IN + i]) != 0)
            fail_msg("%s, %s on %s %s (%s): out[%d] has other bits, distance %.3g", t->c->label, what, t->b->name,
                     t->b->real == UM_F64 ? "f64" : "f32", um_cpu_isa(), i, op_view_distance(a, b));
    }
}

/* Gaps hold their sentinel; inputs hold what they held. */
static void expect_untouched(const bench *t, op_set *s)
{
    op_set fresh;
    op_set_create_stored(&fresh, t->c, t->b->real, t->store);
    for (int i = 0; i < SET_OPERANDS; i++) {
        um_view *v = op_set_view(s, i), *old = op_set_view(&fresh, i);
        int64_t from = i < UM_OP_MAX_IN ? 0 : v->c;
        for (int64_t p = 0; v->data && p < um_view_pixels(v); p++)
            for (int64_t k = from; k < v->ld; k++)
                if (op_view_get(v, p, k) != op_view_get(old, p, k))
                    fail_msg("%s on %s: operand %d pixel %lld element %lld was written", t->c->label, t->b->name, i, (long long)p,
                             (long long)k);
    }
    op_set_free(&fresh);
}

static void run_fresh(const bench *t, op_set *s)
{
    op_set_create_stored(s, t->c, t->b->real, t->store);
    op_run(t->b, t->c->op, &s->call);
}

static void check_accumulate(const bench *t)
{
    op_set got, want;
    if (!(um_op_table[t->c->op].flags & UM_OPF_A))
        return;
    op_set_create(&want, t->c, UM_F64);
    op_set_create_stored(&got, t->c, t->b->real, t->store);
    round_operands(&want, &got);
    for (int i = 0; i < UM_OP_MAX_OUT; i++) {
        um_view *v = &want.call.out[i];
        const um_view *plain = &t->oracle.call.out[i];
        for (int64_t p = 0; v->data && p < um_view_pixels(v); p++)
            for (int64_t k = 0; k < v->c; k++)
                op_view_set(v, p, k, op_view_get(v, p, k) + op_view_get(plain, p, k));
    }
    got.call.accumulate = true;
    op_run(t->b, t->c->op, &got.call);
    expect_close(t, &got, &want, "accumulating");
    expect_untouched(t, &got);
    op_set_free(&got);
    op_set_free(&want);
}

static void check_threads(bench *t)
{
    static const int counts[] = {2, 3, 5};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        op_set got;
        um_threads_set(counts[i]);
        run_fresh(t, &got);
        um_threads_set(1);
        expect_same_bits(t, &got, &t->first, "more threads");
        op_set_free(&got);
    }
}

/* The call on images [begin, end) only. */
static um_op_call narrow(const op_case *c, const op_set *s, int64_t begin, int64_t end)
{
    um_op_call call = s->call;
    for (int i = 0; i < SET_OPERANDS; i++) {
        um_view *v = i < UM_OP_MAX_IN ? &call.in[i] : &call.out[i - UM_OP_MAX_IN];
        if (!v->data || !case_operand_at(c, i)->batched)
            continue;
        v->data = (char *)v->data + (size_t)(begin * v->h * v->w * v->ld) * um_dtype_bytes(v->dtype);
        v->n = end - begin;
    }
    return call;
}

static void check_image_by_image(const bench *t)
{
    op_set got;
    int64_t n = case_images(t->c);
    op_set_create_stored(&got, t->c, t->b->real, t->store);
    for (int64_t i = 0; i < n; i++) {
        um_op_call call = narrow(t->c, &got, i, i + 1);
        um_batch alone = got.batch;
        alone.first += i;
        call.batch = &alone;
        op_run(t->b, t->c->op, &call);
    }
    op_set first = t->first;
    expect_same_bits(t, &got, &first, "image by image");
    op_set_free(&got);
}

/* The lanes [first, last) of the set's batch as the batch of another rank. */
static um_batch half_batch(const um_batch *all, int first, int last)
{
    um_batch b = {.n_total = all->n_total, .n_lanes = last - first};
    for (int l = first; l <= last; l++)
        b.lane_begin[l - first] = all->lane_begin[l] - all->lane_begin[first];
    return b;
}

/* Two ranks with two lanes each. What is of the whole batch is continued by the tree: out = first half + second half, in the type of
 * out; of images each rank has its own. */
static void check_two_ranks(const bench *t)
{
    op_set half[2];
    for (int r = 0; r < 2; r++) {
        op_set_create_stored(&half[r], t->c, t->b->real, t->store);
        int lane = r * CASE_LANES / 2;
        um_batch batch = half_batch(&half[r].batch, lane, lane + CASE_LANES / 2);
        const int64_t *begin = half[r].batch.lane_begin;
        um_op_call call = narrow(t->c, &half[r], begin[lane], begin[lane + CASE_LANES / 2]);
        call.batch = &batch;
        op_run(t->b, t->c->op, &call);
    }
    for (int i = 0; i < UM_OP_MAX_OUT; i++) {
        um_view *a = &half[0].call.out[i], *b = &half[1].call.out[i];
        if (a->data && t->c->out[i].batched) {
            size_t own = half[0].bytes[UM_OP_MAX_IN + i] / (size_t)a->n * (size_t)half[0].batch.lane_begin[CASE_LANES / 2];
            memcpy((char *)a->data + own, (char *)b->data + own, half[0].bytes[UM_OP_MAX_IN + i] - own);
            continue;
        }
        for (int64_t k = 0; a->data && k < um_view_count(a); k++)
            op_view_set(a, 0, k, a->dtype == UM_F32 ? (float)op_view_get(a, 0, k) + (float)op_view_get(b, 0, k)
                                                    : op_view_get(a, 0, k) + op_view_get(b, 0, k));
    }
    op_set first = t->first;
    expect_same_bits(t, &half[0], &first, "two ranks of two lanes");
    op_set_free(&half[0]);
    op_set_free(&half[1]);
}

static void check_in_place(const bench *t)
{
    op_set got;
    const um_view *in = &t->first.call.in[0], *out = &t->first.call.out[0];
    if (!(um_op_table[t->c->op].flags & UM_OPF_I) || in->ld != out->ld || in->dtype != out->dtype)
        return;
    op_set_create_stored(&got, t->c, t->b->real, t->store);
    void *own = got.call.out[0].data;
    got.call.out[0].data = got.call.in[0].data;
    op_run(t->b, t->c->op, &got.call);
    memcpy(own, got.call.in[0].data, got.bytes[UM_OP_MAX_IN]);
    got.call.out[0].data = own;
    op_set first = t->first;
    expect_same_bits(t, &got, &first, "in place");
    op_set_free(&got);
}

/* Whether a case depends on how images form lanes. */
static bool walks_lanes(const op_case *c)
{
    bool per_lane = (c->op == UM_OP_BN_COEF || c->op == UM_OP_BN_BWD_APPLY) && c->attr.bn.per_lane;
    return um_op_table[c->op].flags & UM_OPF_S || per_lane;
}

static void check_grouping(const bench *t)
{
    const um_batch *b = &t->first.batch;
    bool batched = false;
    for (int i = 0; i < SET_OPERANDS; i++)
        batched |= case_operand_at(t->c, i)->batched;
    if (walks_lanes(t->c)) {
        if (b->lane_begin[CASE_LANES / 2] > 0 && b->lane_begin[CASE_LANES / 2] < b->lane_begin[CASE_LANES])
            check_two_ranks(t);
    } else if (batched) {
        check_image_by_image(t);
    }
}

static void check_with(const op_case *c, um_backend *b)
{
    bench t = {.c = c, .b = b};
    um_threads_set(1);
    op_set_create(&t.oracle, c, UM_F64);
    um_ref_of(c->op)(&t.oracle.call);
    run_fresh(&t, &t.first);
    expect_close(&t, &t.first, &t.oracle, "plain");
    expect_untouched(&t, &t.first);
    check_accumulate(&t);
    check_threads(&t);
    check_grouping(&t);
    check_in_place(&t);
    um_threads_set(0);
    op_set_free(&t.first);
    op_set_free(&t.oracle);
}

void op_case_check(const op_case *c, const char *backend)
{
    static const um_dtype types[] = {UM_F64, UM_F32};
    for (int i = 0; i < 2; i++) {
        um_backend *b = NULL;
        assert_int_equal(um_backend_create(&b, backend, types[i]), UM_OK);
        check_with(c, b);
        um_backend_free(b);
    }
}

/* The oracle on what the backend's set holds: rounded where it is narrow. */
static void oracle_of_stored(bench *t)
{
    op_set stored;
    op_set_create(&t->oracle, t->c, UM_F64);
    op_set_create_stored(&stored, t->c, t->b->real, t->store);
    round_operands(&t->oracle, &stored);
    op_set_free(&stored);
    um_ref_of(t->c->op)(&t->oracle.call);
}

void op_case_check_device(const op_case *c, um_backend *b, um_precision precision, op_store store)
{
    bench t = {.c = c, .b = b, .store = store, .precision = precision, .device = true};
    op_set again;
    oracle_of_stored(&t);
    run_fresh(&t, &t.first);
    expect_close(&t, &t.first, &t.oracle, "plain");
    expect_untouched(&t, &t.first);
    check_accumulate(&t);
    run_fresh(&t, &again);
    expect_same_bits(&t, &again, &t.first, "once more");
    if (!is_product(c->op))
        check_grouping(&t);
    check_in_place(&t);
    op_set_free(&again);
    op_set_free(&t.first);
    op_set_free(&t.oracle);
}
