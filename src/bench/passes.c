/* The passes between convolutions against the memory they go through. */
#include "bench/bench.h"
#include "bench/op_case.h"
#include "bench/roofline.h"
#include "bench/rounds.h"

#include <math.h>

#include "base/mem.h"
#include "base/threads.h"
#include "kernels/probe.h"
#include "kernels/queue.h"
#include "nn/narrow.h"

/* What an operand is, on n images of side x side pixels and c channels. */
typedef enum kind {
    NONE,
    ACT,      /* the activation itself */
    SLICE,    /* the same as half of the channels of a tensor, as in a concatenation */
    HALF,     /* of half the side */
    TWICE,    /* of twice that */
    WHICH,    /* u8 like HALF: a place in a window of 4 */
    COEF,     /* coefficients of a normalisation */
    SUMS,     /* its sums in f64, or of gradients */
    PARTS,    /* the same, real */
    CHANNELS, /* a number per channel */
    FILTERS,  /* 3 x 3, c to c channels */
    IMAGE,    /* 3 channels, real; and what becomes of it */
    PLANE,    /* a bound per pixel */
    MASK,
    LOGIT,
    LOSSES, /* five sums per image */
    BYTES,  /* an image as it is stored */
    ROWS,   /* their numbers */
    BALL,   /* its radius, and the length of a step */
    FLAT,   /* a block of parameters, a quarter of the activation */
    MOMENT, /* like FLAT, above 0 */
    PACE,   /* of their update */
} kind;

typedef struct pass {
    const char *name; /* of the op; "+": added to what is there; ":slice", ":image": on these instead of activations */
    um_op op;
    kind in[UM_OP_MAX_IN], out[UM_OP_MAX_OUT];
    bool accumulate;
} pass;

/* What a training step of a U-Net, a generator step of UMed, and a step of projected gradients do outside convolutions, but for
 * what is done once per channel or image (BN_COEF, BN_BWD_PARAM, BATCH_SUM, SEG_LOSS). */
static const pass passes[] = {
    {"bn_stats", UM_OP_BN_STATS, {ACT}, {SUMS}},
    {"bn_apply", UM_OP_BN_APPLY, {ACT, COEF}, {ACT}},
    {"bn_bwd_sums", UM_OP_BN_BWD_SUMS, {ACT, ACT, COEF}, {SUMS, PARTS}},
    {"bn_bwd_apply", UM_OP_BN_BWD_APPLY, {ACT, ACT, COEF, SUMS}, {ACT}},
    {"bn_apply:slice", UM_OP_BN_APPLY, {ACT, COEF}, {SLICE}},
    {"bn_bwd_sums:slice", UM_OP_BN_BWD_SUMS, {SLICE, ACT, COEF}, {SUMS, PARTS}},
    {"bn_bwd_apply:slice", UM_OP_BN_BWD_APPLY, {SLICE, ACT, COEF, SUMS}, {ACT}},
    {"maxpool_fwd:slice", UM_OP_MAXPOOL_FWD, {SLICE}, {HALF, WHICH}},
    {"channel_sum", UM_OP_CHANNEL_SUM, {ACT}, {CHANNELS}},
    {"maxpool_fwd", UM_OP_MAXPOOL_FWD, {ACT}, {HALF, WHICH}},
    {"maxpool_bwd", UM_OP_MAXPOOL_BWD, {HALF, WHICH}, {ACT}},
    {"maxpool_bwd+", UM_OP_MAXPOOL_BWD, {HALF, WHICH}, {ACT}, true},
    {"upsample_fwd", UM_OP_UPSAMPLE_FWD, {HALF}, {TWICE}},
    {"upsample_bwd", UM_OP_UPSAMPLE_BWD, {TWICE}, {HALF}},
    {"add", UM_OP_ADD, {ACT, ACT}, {ACT}},
    {"copy", UM_OP_COPY, {ACT}, {ACT}},
    {"cdc_fold", UM_OP_CDC_FOLD, {FILTERS, FILTERS}, {FILTERS}},
    {"cdc_unfold", UM_OP_CDC_UNFOLD, {FILTERS}, {FILTERS}},
    {"gather:image", UM_OP_GATHER, {BYTES, ROWS}, {IMAGE}},
    {"add:image", UM_OP_ADD, {IMAGE, IMAGE}, {IMAGE}},
    {"copy:image", UM_OP_COPY, {IMAGE}, {IMAGE}},
    {"bound_fwd:image", UM_OP_BOUND_FWD, {IMAGE, PLANE}, {IMAGE}},
    {"bound_bwd:image", UM_OP_BOUND_BWD, {IMAGE, PLANE, IMAGE}, {IMAGE}},
    {"clip_fwd:image", UM_OP_CLIP_FWD, {IMAGE}, {IMAGE}},
    {"clip_bwd:image", UM_OP_CLIP_BWD, {IMAGE, IMAGE}, {IMAGE}},
    {"ball_step:image", UM_OP_BALL_STEP, {IMAGE, IMAGE, MASK, BALL}, {IMAGE}},
    {"seg_sums:image", UM_OP_SEG_SUMS, {LOGIT, MASK}, {LOSSES}},
    {"seg_bwd:image", UM_OP_SEG_BWD, {LOGIT, MASK, LOSSES}, {LOGIT}},
    {"adam", UM_OP_ADAM, {FLAT, PACE}, {FLAT, FLAT, MOMENT}},
};

enum { IMAGE_CHANNELS = 3, MIB = 1 << 20 };
static const double LEAST_MIB = 4; /* less is a matter of launches and caches, and is not counted */

static um_view view(um_dtype type, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return (um_view){NULL, type, n, h, w, c, c};
}

static um_view view_of(kind k, um_dtype act, um_dtype real, um_bench_shape s)
{
    int64_t half = s.side / 2, quarter = (s.n * s.side * s.side * s.c + 3) / 4;
    switch (k) {
    case NONE: break;
    case ACT: return view(act, s.n, s.side, s.side, s.c);
    case SLICE: return (um_view){NULL, act, s.n, s.side, s.side, s.c, 2 * s.c};
    case HALF: return view(act, s.n, half, half, s.c);
    case TWICE: return view(act, s.n, 2 * half, 2 * half, s.c);
    case WHICH: return view(UM_U8, s.n, half, half, s.c);
    case COEF: return view(real, 1, 1, 4, s.c);
    case SUMS: return view(UM_F64, 1, 1, 2, s.c);
    case PARTS: return view(real, 1, 1, 2, s.c);
    case CHANNELS: return view(real, 1, 1, 1, s.c);
    case FILTERS: return view(real, 3, 3, s.c, s.c);
    case IMAGE: return view(real, s.n, s.side, s.side, IMAGE_CHANNELS);
    case PLANE:
    case MASK:
    case LOGIT: return view(real, s.n, s.side, s.side, 1);
    case LOSSES: return view(UM_F64, s.n, 1, 1, 5);
    case BYTES: return view(UM_U8, s.n, s.side, s.side, IMAGE_CHANNELS);
    case ROWS: return view(UM_F64, s.n, 1, 1, 1);
    case BALL:
    case PACE: return view(UM_F64, 1, 1, 1, 2);
    case FLAT:
    case MOMENT: return view(real, 1, 1, 1, quarter);
    }
    return (um_view){0};
}

/* Sums are as large as those of so many pixels. */
static um_op_values values_of(kind k, um_bench_shape s)
{
    double pixels = (double)(s.side * s.side);
    switch (k) {
    case WHICH: return (um_op_values){.scale = 2, .shift = 2};
    case COEF: return (um_op_values){.scale = 0.5, .shift = 1};
    case SUMS: return (um_op_values){.scale = 0.3 * pixels * (double)s.n};
    case IMAGE: return (um_op_values){.scale = 0.6, .shift = 0.5}; /* leaves [0, 1] here and there */
    case PLANE: return (um_op_values){.scale = 0.5, .shift = 0.5};
    case MASK: return (um_op_values){.draw = UM_DRAW_MASK};
    case LOGIT: return (um_op_values){.scale = 4};
    case LOSSES: return (um_op_values){.scale = 0.2 * pixels, .shift = 0.5 * pixels};
    case BYTES: return (um_op_values){.scale = 128, .shift = 128};
    case ROWS: return (um_op_values){.draw = UM_DRAW_ROW};
    case BALL: return (um_op_values){.shift = 0.05};
    case PACE: return (um_op_values){.shift = 1};
    case MOMENT: return (um_op_values){.scale = 0.5, .shift = 1};
    default: return (um_op_values){.scale = 1};
    }
}

static um_op_attr attr_of(um_op op, um_bench_shape s)
{
    um_op_attr a = {{0}};
    switch (op) {
    case UM_OP_BN_STATS:
    case UM_OP_BN_APPLY:
    case UM_OP_BN_BWD_SUMS:
    case UM_OP_BN_BWD_APPLY: a.bn.relu = true; break;
    case UM_OP_MAXPOOL_FWD:
    case UM_OP_MAXPOOL_BWD: a.pool.size = a.pool.stride = 2; break;
    case UM_OP_CDC_FOLD:
    case UM_OP_CDC_UNFOLD: a.cdc.dual = true; break;
    case UM_OP_GATHER: a.gather.most = 255; break;
    case UM_OP_BOUND_FWD:
    case UM_OP_BOUND_BWD: a.bound.gain = 1; break;
    case UM_OP_CLIP_FWD:
    case UM_OP_CLIP_BWD: a.clip.hi = 1; break;
    case UM_OP_SEG_BWD: a.seg = (um_seg_attr){.w_ce = 1, .w_dice = 1, .smooth = 1, .hw = s.side * s.side}; break;
    case UM_OP_ADAM: a.adam = (um_adam_attr){.b1 = 0.9, .b2 = 0.999, .eps = 1e-8}; break;
    default: break;
    }
    return a;
}

/* As nn/narrow.h has it. */
static um_dtype stored(const um_backend *b, um_op op, bool is_out, int index, int64_t channels)
{
    return channels >= UM_NARROW_CHANNELS && um_shape_is_activation(op, is_out, index) ? b->store : b->real;
}

static um_op_spec spec_of(const pass *p, const um_backend *b, um_bench_shape s)
{
    um_op_spec spec = {.op = p->op, .images = s.n, .call = {.attr = attr_of(p->op, s), .accumulate = p->accumulate}};
    for (int i = 0; i < um_op_table[p->op].n_in; i++) {
        spec.call.in[i] = view_of(p->in[i], stored(b, p->op, false, i, s.c), b->real, s);
        spec.in[i] = values_of(p->in[i], s);
    }
    for (int i = 0; i < um_op_table[p->op].n_out; i++) {
        spec.call.out[i] = view_of(p->out[i], stored(b, p->op, true, i, s.c), b->real, s);
        spec.out[i] = values_of(p->out[i], s);
    }
    return spec;
}

/* Outputs are rounded to their type, nothing else of a pass is rounded more than f32 is. */
static um_status check(const pass *p, um_backend *b, const um_op_spec *spec, um_bench_shape s, double *worst)
{
    um_status rc = UM_OK;
    double error[UM_OP_MAX_OUT];
    *worst = 0;
    UM_TRY(um_op_bench_check(b, spec, error));
    for (int i = 0; i < UM_OP_MAX_OUT; i++) {
        double limit = spec->call.out[i].dtype == UM_BF16 ? 4e-3 : 2e-5;
        *worst = fmax(*worst, error[i]);
        if (!(error[i] <= limit))
            UM_TRY(um_fail(UM_E_NUMERIC, "%s %lld,%lld,%lld: output %d is off by %.2g from float64, more than %.0e", p->name,
                           (long long)s.n, (long long)s.side, (long long)s.c, i, error[i], limit));
    }
done:
    return rc;
}

static bool counted(double bytes)
{
    return bytes >= LEAST_MIB * MIB;
}

/* How often the operands exist, so that what a device runs over and over does not stay in its cache. */
static int sets_for(const um_backend *b, double bytes)
{
    const double beyond_caches = 128.0 * MIB;
    return b->on_host || !counted(bytes) ? 1 : (int)ceil(beyond_caches / bytes);
}

/* As many bytes through the same memory in the plainest way: on the host a triad, on a device a copy within it. */
typedef struct yardstick {
    um_backend *backend;
    um_view (*parts)[3]; /* [n_sets] */
    int n_sets, at;
    um_batch batch;
    um_burst burst;
} yardstick;

static um_status go_through(void *payload)
{
    yardstick *y = payload;
    const um_view *v = y->parts[y->at++ % y->n_sets];
    if (!y->backend->on_host)
        return y->backend->queues->copy(y->backend, NULL, v[0].data, v[1].data, (size_t)v[0].c * sizeof(float));
    (void)um_probe_triad(um_threads(), v[0].data, v[1].data, v[2].data, v[0].c);
    return UM_OK;
}

static const char *yardstick_name(const um_backend *b)
{
    return b->on_host ? "triad" : "copy";
}

static void yardstick_free(yardstick *y)
{
    if (!y->parts)
        return;
    um_burst_free(&y->burst);
    for (int s = 0; s < y->n_sets; s++)
        for (int i = 0; i < 3; i++)
            y->backend->iface->free(y->backend, y->parts[s][i].data);
    um_free(y->parts);
}

static um_status yardstick_create(yardstick *y, um_backend *b, double bytes)
{
    um_status rc = UM_OK;
    const um_op_values values = {.scale = 1};
    int n_parts = b->on_host ? 3 : 2;
    int64_t n = (int64_t)(bytes / (double)(n_parts * (int)sizeof(float))) + 1;
    *y = (yardstick){.backend = b, .n_sets = sets_for(b, bytes)};
    UM_REQUIRE(b->on_host || b->queues);
    UM_TRY(UM_NEW_ARRAY(y->parts, y->n_sets));
    for (int s = 0; s < y->n_sets; s++)
        for (int i = 0; i < n_parts; i++) {
            y->parts[s][i] = view(UM_F32, 1, 1, 1, n);
            UM_TRY(um_op_operand(b, &y->parts[s][i], &values, (uint64_t)(s * n_parts + i)));
        }
    um_batch_set(&y->batch, 1, 1);
    y->burst = (um_burst){.backend = b, .once = go_through, .payload = y, .batch = &y->batch};
    UM_TRY(um_burst_ready(&y->burst));
done:
    return rc;
}

typedef struct tally {
    double sum, worst;
    char slowest[64];
    int n;
} tally;

static void count(tally *t, const pass *p, um_bench_shape s, double share)
{
    if (t->n == 0 || share < t->worst) {
        t->worst = share;
        snprintf(t->slowest, sizeof t->slowest, "%s %lld,%lld,%lld", p->name, (long long)s.n, (long long)s.side, (long long)s.c);
    }
    t->sum += log(share);
    t->n++;
}

static um_status pass_row(const um_bench_job *job, const pass *p, um_bench_shape s, tally *t, um_text *out)
{
    um_status rc = UM_OK;
    um_op_spec spec = spec_of(p, job->backend, s);
    um_op_bench ours = {0};
    yardstick plain = {0};
    um_bench_times times;
    double error = 0, bytes = um_call_bytes(p->op, &spec.call);
    UM_TRY(check(p, job->backend, &spec, s, &error));
    UM_TRY(um_op_bench_create(&ours, job->backend, &spec, sets_for(job->backend, bytes)));
    UM_TRY(um_op_bench_ready(&ours));
    UM_TRY(yardstick_create(&plain, job->backend, bytes));
    um_bench_way ways[] = {{"umed", um_op_bench_run, &ours}, {yardstick_name(job->backend), um_burst_run, &plain.burst}};
    UM_TRY(um_bench_rounds(&times, ways, 2, job->rounds));
    double own = um_bench_median(&times, 0), share = um_bench_ratio(&times, 1, 0);
    UM_TRY(um_text_add(out, "%-18s %3lld,%4lld,%5lld %9.2f %10.4f %8.1f %10.4f %9.1e %7.2fx%s\n", p->name, (long long)s.n,
                       (long long)s.side, (long long)s.c, bytes / MIB, 1e3 * own, 1e-9 * bytes / own,
                       1e3 * um_bench_median(&times, 1), error, share, counted(bytes) ? "" : "  small: not counted"));
    if (counted(bytes))
        count(t, p, s, share);
done:
    yardstick_free(&plain);
    um_op_bench_free(&ours);
    return rc;
}

static um_status title(const um_bench_job *job, um_text *out)
{
    um_status rc = UM_OK;
    double peak;
    UM_TRY(um_bench_machine(out, job->backend, &peak));
    UM_TRY(um_text_add(out, "; less than %.0f MiB is not counted\n", LEAST_MIB));
    UM_TRY(um_text_add(out, "%-18s %14s %9s %10s %8s %7s ms %9s %8s\n", "pass", "n,side,c", "MiB", "ms", "GB/s",
                       yardstick_name(job->backend), "error", "share"));
done:
    return rc;
}

um_status um_bench_passes(const um_bench_job *job, const um_bench_shape *shapes, int n_shapes, um_text *out)
{
    um_status rc = UM_OK;
    static const um_bench_shape on_host[] = {{4, 224, 64, 0}, {16, 128, 16, 0}}, on_device[] = {{32, 224, 64, 0}, {32, 28, 512, 0}};
    tally t = {0};
    if (n_shapes == 0)
        shapes = job->backend->on_host ? on_host : on_device, n_shapes = 2;
    UM_TRY(title(job, out));
    for (int i = 0; i < n_shapes; i++)
        for (size_t k = 0; k < UM_COUNT(passes); k++)
            UM_TRY(pass_row(job, &passes[k], shapes[i], &t, out));
    if (t.n == 0)
        UM_TRY(um_fail(UM_E_USAGE, "every pass over these shapes is below %.0f MiB; take larger ones", LEAST_MIB));
    UM_TRY(um_text_add(out, "slowest: %s: %.2fx\n", t.slowest, t.worst));
    UM_TRY(um_text_add(out, "geometric mean over %d passes, median of %d rounds each, share of the %s: %.2fx\n", t.n, job->rounds,
                       yardstick_name(job->backend), exp(t.sum / t.n)));
done:
    return rc;
}
