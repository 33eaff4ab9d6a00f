/* Backward ops against central finite differences of L = <r, f(inputs)> in f64: h = 1e-5*max(1,|x|), error = max |numeric -
 * analytic| / max |analytic| (layers.md section 6). */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/op_harness.h"

#define IMG(n, h, w, c, fill) {n, h, w, c, 0, 'r', fill, true}
#define PAR(n, h, w, c, fill) {n, h, w, c, 0, 'r', fill, false}
#define VEC(c, fill) PAR(1, 1, 1, c, fill)

/* Where an input of the backward op comes from: input i of the forward op, its output i, or the upstream gradient r. */
enum { FROM_END = 0, X0 = 1, X1, X2, Y0 = 10, Y1, R = 20 };

typedef struct grad_case {
    op_case forward;
    int wrt; /* input of the forward op */
    um_op backward;
    int from[UM_OP_MAX_IN];
} grad_case;

static const grad_case cases[] = {
    {{"conv 3x3", UM_OP_CONV_FWD, {IMG(2, 5, 4, 3, FILL_ANY), PAR(3, 3, 3, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 5, 4, 5, FILL_ANY)}, {.conv = {1, 1, UM_CONV_AUTO}}}, 0, UM_OP_CONV_BWD_DATA, {R, X1}},
    {{"conv 3x3", UM_OP_CONV_FWD, {IMG(2, 5, 4, 3, FILL_ANY), PAR(3, 3, 3, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 5, 4, 5, FILL_ANY)}, {.conv = {1, 1, UM_CONV_AUTO}}}, 1, UM_OP_CONV_BWD_WEIGHT, {X0, R}},
    {{"conv 3x3", UM_OP_CONV_FWD, {IMG(2, 5, 4, 3, FILL_ANY), PAR(3, 3, 3, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 5, 4, 5, FILL_ANY)}, {.conv = {1, 1, UM_CONV_AUTO}}}, 2, UM_OP_CHANNEL_SUM, {R}},
    {{"conv 1x1", UM_OP_CONV_FWD, {IMG(2, 5, 4, 3, FILL_ANY), PAR(1, 1, 3, 5, FILL_ANY)}, {IMG(2, 5, 4, 5, FILL_ANY)},
      {.conv = {1, 0, UM_CONV_AUTO}}}, 0, UM_OP_CONV_BWD_DATA, {R, X1}},
    {{"conv 1x1", UM_OP_CONV_FWD, {IMG(2, 5, 4, 3, FILL_ANY), PAR(1, 1, 3, 5, FILL_ANY)}, {IMG(2, 5, 4, 5, FILL_ANY)},
      {.conv = {1, 0, UM_CONV_AUTO}}}, 1, UM_OP_CONV_BWD_WEIGHT, {X0, R}},
    {{"convt", UM_OP_CONVT_FWD, {IMG(2, 3, 4, 3, FILL_ANY), PAR(3, 2, 2, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 6, 8, 5, FILL_ANY)}}, 0, UM_OP_CONVT_BWD_DATA, {R, X1}},
    {{"convt", UM_OP_CONVT_FWD, {IMG(2, 3, 4, 3, FILL_ANY), PAR(3, 2, 2, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 6, 8, 5, FILL_ANY)}}, 1, UM_OP_CONVT_BWD_WEIGHT, {X0, R}},
    {{"convt", UM_OP_CONVT_FWD, {IMG(2, 3, 4, 3, FILL_ANY), PAR(3, 2, 2, 5, FILL_ANY), VEC(5, FILL_ANY)},
      {IMG(2, 6, 8, 5, FILL_ANY)}}, 2, UM_OP_CHANNEL_SUM, {R}},
    {{"cdc fold dual", UM_OP_CDC_FOLD, {PAR(3, 3, 2, 3, FILL_ANY), PAR(3, 3, 2, 3, FILL_ANY)}, {PAR(3, 3, 2, 3, FILL_ANY)},
      {.cdc = {.dual = true}}}, 1, UM_OP_CDC_UNFOLD, {R}},
    {{"cdc fold theta", UM_OP_CDC_FOLD, {PAR(3, 3, 2, 3, FILL_ANY)}, {PAR(3, 3, 2, 3, FILL_ANY)}, {.cdc = {.theta = 0.7}}}, 0,
     UM_OP_CDC_UNFOLD, {R}},
    {{"bn apply eval relu", UM_OP_BN_APPLY, {IMG(2, 5, 4, 3, FILL_ANY), PAR(1, 1, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)},
      {.bn = {.eval = true, .relu = true}}}, 0, UM_OP_BN_BWD_APPLY, {R, X0, X1}},
    {{"maxpool", UM_OP_MAXPOOL_FWD, {IMG(2, 7, 5, 3, FILL_DISTINCT)},
      {IMG(2, 3, 2, 3, FILL_ANY), {2, 3, 2, 3, 0, 'u', FILL_PLACE, true}}, {.pool = {2, 2, 0}}}, 0, UM_OP_MAXPOOL_BWD, {R, Y1}},
    {{"maxpool 3/2/1", UM_OP_MAXPOOL_FWD, {IMG(2, 7, 5, 3, FILL_DISTINCT)},
      {IMG(2, 4, 3, 3, FILL_ANY), {2, 4, 3, 3, 0, 'u', FILL_PLACE, true}}, {.pool = {3, 2, 1}}}, 0, UM_OP_MAXPOOL_BWD, {R, Y1}},
    {{"avgpool 2", UM_OP_AVGPOOL_FWD, {IMG(2, 5, 7, 3, FILL_ANY)}, {IMG(2, 2, 3, 3, FILL_ANY)}, {.pool = {2, 2, 0}}}, 0, UM_OP_AVGPOOL_BWD, {R}},
    {{"avgpool of all", UM_OP_AVGPOOL_FWD, {IMG(2, 5, 7, 3, FILL_ANY)}, {IMG(2, 1, 1, 3, FILL_ANY)}, {.pool = {0, 0, 0}}}, 0, UM_OP_AVGPOOL_BWD, {R}},
    {{"patches", UM_OP_PATCHES_FWD, {IMG(2, 6, 5, 3, FILL_ANY)}, {IMG(2, 3, 3, 27, FILL_ANY)}, {.patch = {3, 2, 1}}}, 0,
     UM_OP_PATCHES_BWD, {R}},
    {{"ws", UM_OP_WS_FWD, {PAR(3, 3, 2, 5, FILL_ANY)}, {PAR(1, 1, 18, 5, FILL_ANY), VEC(5, FILL_ANY)}, {.ws = {1e-5}}}, 0,
     UM_OP_WS_BWD, {R, Y0, Y1}},
    {{"layer norm", UM_OP_NORM_FWD, {IMG(2, 3, 4, 7, FILL_ANY), VEC(7, FILL_ANY), VEC(7, FILL_ANY)},
      {IMG(2, 3, 4, 7, FILL_ANY), IMG(2, 3, 4, 2, FILL_ANY)}, {.norm = {0, 1e-6}}}, 0, UM_OP_NORM_BWD, {R, X0, X1, Y1}},
    {{"attention", UM_OP_ATTENTION_FWD, {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY)},
      {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 6, 6, FILL_ANY)}, {.attention = {2}}}, 0, UM_OP_ATTENTION_BWD, {R, X0, X1, X2, Y1}},
    {{"attention", UM_OP_ATTENTION_FWD, {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY)},
      {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 6, 6, FILL_ANY)}, {.attention = {2}}}, 1, UM_OP_ATTENTION_BWD, {R, X0, X1, X2, Y1}},
    {{"attention", UM_OP_ATTENTION_FWD, {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 3, 6, FILL_ANY)},
      {IMG(2, 2, 3, 6, FILL_ANY), IMG(2, 2, 6, 6, FILL_ANY)}, {.attention = {2}}}, 2, UM_OP_ATTENTION_BWD, {R, X0, X1, X2, Y1}},
    {{"embed", UM_OP_EMBED_ADD, {IMG(3, 2, 3, 5, FILL_ANY), PAR(1, 1, 6, 5, FILL_ANY)}, {IMG(3, 2, 3, 5, FILL_ANY)}}, 1,
     UM_OP_EMBED_BWD, {R}},
    {{"relu", UM_OP_ACT_FWD, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}, {.act = {UM_ACT_RELU}}}, 0, UM_OP_ACT_BWD,
     {R, Y0}},
    {{"sigmoid", UM_OP_ACT_FWD, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}, {.act = {UM_ACT_SIGMOID}}}, 0,
     UM_OP_ACT_BWD, {R, Y0}},
    {{"gelu", UM_OP_ACT_FWD, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}, {.act = {UM_ACT_GELU}}}, 0, UM_OP_ACT_BWD,
     {R, X0}},
    {{"gate", UM_OP_GATE_FWD, {IMG(2, 5, 4, 3, FILL_ANY), IMG(2, 5, 4, 1, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}}, 0, UM_OP_GATE_FWD,
     {R, X1}},
    {{"gate", UM_OP_GATE_FWD, {IMG(2, 5, 4, 3, FILL_ANY), IMG(2, 5, 4, 1, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}}, 1,
     UM_OP_GATE_BWD_M, {R, X0}},
    {{"dropout", UM_OP_DROPOUT, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)}, {.dropout = {0.3, 9}}}, 0, UM_OP_DROPOUT, {R}},
    {{"upsample bilinear", UM_OP_UPSAMPLE_FWD, {IMG(2, 5, 3, 3, FILL_ANY)}, {IMG(2, 10, 6, 3, FILL_ANY)},
      {.upsample = {UM_UPSAMPLE_BILINEAR}}}, 0, UM_OP_UPSAMPLE_BWD, {R}},
    {{"upsample nearest", UM_OP_UPSAMPLE_FWD, {IMG(2, 5, 3, 3, FILL_ANY)}, {IMG(2, 10, 6, 3, FILL_ANY)},
      {.upsample = {UM_UPSAMPLE_NEAREST}}}, 0, UM_OP_UPSAMPLE_BWD, {R}},
    {{"window", UM_OP_WINDOW, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 6, 3, 3, FILL_ANY)}, {.window = {-2, 1}}}, 0, UM_OP_WINDOW, {R}},
    {{"bound box_tanh", UM_OP_BOUND_FWD, {IMG(2, 5, 4, 3, FILL_ANY), IMG(2, 5, 4, 1, FILL_BOUND)}, {IMG(2, 5, 4, 3, FILL_ANY)},
      {.bound = {UM_BOUND_BOX_TANH, 0.6}}}, 0, UM_OP_BOUND_BWD, {X0, X1, R}},
    {{"bound clip_masked", UM_OP_BOUND_FWD, {IMG(2, 5, 4, 3, FILL_ANY), IMG(2, 5, 4, 1, FILL_BOUND)}, {IMG(2, 5, 4, 3, FILL_ANY)},
      {.bound = {UM_BOUND_CLIP_MASKED, 0.2}}}, 0, UM_OP_BOUND_BWD, {X0, X1, R}},
    {{"bound tanh_then_clip", UM_OP_BOUND_FWD, {IMG(2, 5, 4, 3, FILL_ANY), IMG(2, 5, 4, 1, FILL_BOUND)},
      {IMG(2, 5, 4, 3, FILL_ANY)}, {.bound = {UM_BOUND_TANH_THEN_CLIP, 0.2}}}, 0, UM_OP_BOUND_BWD, {X0, X1, R}},
    {{"clip masked", UM_OP_CLIP_FWD, {IMG(2, 5, 4, 3, FILL_ANY)}, {IMG(2, 5, 4, 3, FILL_ANY)},
      {.clip = {UM_CLIP_MASKED, -0.4, 0.9}}}, 0, UM_OP_CLIP_BWD, {X0, R}},
};

static um_backend *backend;

static double step_at(double x)
{
    return 1e-5 * fmax(1, fabs(x));
}

static double inner_product(const um_view *a, const um_view *b)
{
    double sum = 0;
    for (int64_t p = 0; p < um_view_pixels(a); p++)
        for (int64_t k = 0; k < a->c; k++)
            sum += op_view_get(a, p, k) * op_view_get(b, p, k);
    return sum;
}

/* r: upstream gradient, as drawn by the harness for out[0]; nothing has overwritten it yet. */
static op_set upstream(const op_case *c)
{
    op_set s;
    op_set_create(&s, c, UM_F64);
    return s;
}

static double loss_with(op_set *s, const grad_case *g, int64_t i, double value, const um_view *r)
{
    um_view *x = &s->call.in[g->wrt];
    double old = op_view_get(x, 0, i);
    op_view_set(x, 0, i, value);
    op_run(backend, g->forward.op, &s->call);
    op_view_set(x, 0, i, old);
    return inner_product(r, &s->call.out[0]);
}

static um_view source(op_set *s, const um_view *r, int from)
{
    if (from == R)
        return *r;
    return from >= Y0 ? s->call.out[from - Y0] : s->call.in[from - X0];
}

/* The gradients land in operands of the forward inputs' shapes. A window is its own gradient with the signs turned. */
static void run_backward(const grad_case *g, op_set *s, const um_view *r, op_set *grads)
{
    um_op_call call = {.attr = s->call.attr, .batch = &s->batch};
    for (int i = 0; i < UM_OP_MAX_IN && g->from[i] != FROM_END; i++)
        call.in[i] = source(s, r, g->from[i]);
    call.out[0] = grads->call.in[g->wrt];
    if (g->backward == UM_OP_ATTENTION_BWD)
        memcpy(call.out, grads->call.in, 3 * sizeof call.out[0]);
    if (g->backward == UM_OP_WINDOW) {
        call.attr.window.top = -call.attr.window.top;
        call.attr.window.left = -call.attr.window.left;
    }
    op_run(backend, g->backward, &call);
}

static void check_gradient(const grad_case *g)
{
    op_set s, r = upstream(&g->forward), grads;
    op_set_create(&s, &g->forward, UM_F64);
    op_set_create(&grads, &g->forward, UM_F64);
    op_run(backend, g->forward.op, &s.call);
    run_backward(g, &s, &r.call.out[0], &grads);
    const um_view *x = &s.call.in[g->wrt], *dx = &grads.call.in[g->wrt];
    double worst = 0, size = 0;
    for (int64_t i = 0; i < um_view_count(x); i++) {
        double at = op_view_get(x, 0, i), h = step_at(at);
        double numeric = (loss_with(&s, g, i, at + h, &r.call.out[0]) - loss_with(&s, g, i, at - h, &r.call.out[0])) / (2 * h);
        worst = fmax(worst, fabs(numeric - op_view_get(dx, 0, i)));
        size = fmax(size, fabs(op_view_get(dx, 0, i)));
    }
    if (!(size > 0) || !(worst / size < 1e-6))
        fail_msg("%s, input %d: gradient off by %.3g", g->forward.label, g->wrt, worst / size);
    op_set_free(&s);
    op_set_free(&r);
    op_set_free(&grads);
}

static void backward_ops_match_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_gradient(&cases[i]);
}

/* Chains of several ops: a normalisation in training mode, and the loss. */
typedef struct chain {
    um_view x, dx;
    double (*loss)(struct chain *c);
    void (*gradient)(struct chain *c);
    um_view gamma, beta, dgamma, dbeta, r, mask; /* what the chain needs */
    um_op_attr attr;
    um_batch batch;
    um_view s, t, coef, y, share; /* share: of the loss; of the gradient sums */
} chain;

enum { POOL = 4096 };
static double pool[POOL];
static int pool_used;

static um_view view_of(int64_t n, int64_t h, int64_t w, int64_t c)
{
    um_view v = {pool + pool_used, UM_F64, n, h, w, c, c};
    pool_used += (int)um_view_count(&v);
    assert_true(pool_used <= POOL);
    return v;
}

static um_view random_view(int64_t n, int64_t h, int64_t w, int64_t c, double scale, int seed)
{
    um_view v = view_of(n, h, w, c);
    for (int64_t i = 0; i < um_view_count(&v); i++)
        ((double *)v.data)[i] = scale * sin(12.9898 * (double)(i + 1) + 78.233 * seed + 0.37 * (double)(i % 7) * seed);
    return v;
}

static void run_op(chain *c, um_op op, um_op_call call)
{
    call.attr = c->attr;
    call.batch = &c->batch;
    op_run(backend, op, &call);
}

static double bn_loss(chain *c)
{
    run_op(c, UM_OP_BN_STATS, (um_op_call){.in = {c->x}, .out = {c->s}});
    run_op(c, UM_OP_BN_COEF, (um_op_call){.in = {c->s, c->gamma, c->beta}, .out = {c->coef}});
    run_op(c, UM_OP_BN_APPLY, (um_op_call){.in = {c->x, c->coef}, .out = {c->y}});
    return inner_product(&c->r, &c->y);
}

static void bn_gradient(chain *c)
{
    bn_loss(c);
    run_op(c, UM_OP_BN_BWD_SUMS, (um_op_call){.in = {c->r, c->x, c->coef}, .out = {c->s, c->share}});
    run_op(c, UM_OP_BN_BWD_PARAM, (um_op_call){.in = {c->share}, .out = {c->dgamma, c->dbeta}});
    run_op(c, UM_OP_BN_BWD_APPLY, (um_op_call){.in = {c->r, c->x, c->coef, c->s}, .out = {c->dx}});
}

static double norm_loss(chain *c)
{
    run_op(c, UM_OP_NORM_FWD, (um_op_call){.in = {c->x, c->gamma, c->beta}, .out = {c->y, c->coef}});
    return inner_product(&c->r, &c->y);
}

static void norm_gradient(chain *c)
{
    norm_loss(c);
    run_op(c, UM_OP_NORM_BWD_SUMS, (um_op_call){.in = {c->r, c->x, c->coef}, .out = {c->s}});
    run_op(c, UM_OP_NORM_BWD_PARAM, (um_op_call){.in = {c->s}, .out = {c->dgamma, c->dbeta}});
    run_op(c, UM_OP_NORM_BWD, (um_op_call){.in = {c->r, c->x, c->gamma, c->coef, c->s}, .out = {c->dx}});
}

static double class_loss(chain *c)
{
    run_op(c, UM_OP_CLASS_SUMS, (um_op_call){.in = {c->x, c->mask}, .out = {c->s}});
    double sum = 0;
    for (int64_t i = 0; i < c->x.n; i++)
        sum += ((double *)c->s.data)[3 * i];
    return sum / (double)c->batch.n_total;
}

static void class_gradient(chain *c)
{
    run_op(c, UM_OP_CLASS_BWD, (um_op_call){.in = {c->x, c->mask}, .out = {c->dx}});
}

static double seg_loss(chain *c)
{
    run_op(c, UM_OP_SEG_SUMS, (um_op_call){.in = {c->x, c->mask}, .out = {c->s}});
    run_op(c, UM_OP_BATCH_SUM, (um_op_call){.in = {c->s}, .out = {c->t}});
    run_op(c, UM_OP_SEG_LOSS, (um_op_call){.in = {c->s, c->t}, .out = {c->share}});
    return *(double *)c->share.data;
}

static void seg_gradient(chain *c)
{
    seg_loss(c);
    run_op(c, UM_OP_SEG_BWD, (um_op_call){.in = {c->x, c->mask, c->s, c->t}, .out = {c->dx}});
}

/* Worst error of dv against differences of the chain's loss in v. */
static double chain_error(chain *c, const um_view *v, const um_view *dv)
{
    double worst = 0, size = 0;
    for (int64_t i = 0; i < um_view_count(v); i++) {
        double *at = (double *)v->data + i, old = *at, h = step_at(old);
        *at = old + h;
        double up = c->loss(c);
        *at = old - h;
        double down = c->loss(c);
        *at = old;
        worst = fmax(worst, fabs((up - down) / (2 * h) - op_view_get(dv, 0, i)));
        size = fmax(size, fabs(op_view_get(dv, 0, i)));
    }
    return worst / size;
}

static void batch_norm_matches_finite_differences(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        pool_used = 0;
        chain c = {.loss = bn_loss, .gradient = bn_gradient};
        um_batch_set(&c.batch, 3, 4);
        c.attr.bn.relu = relu;
        c.attr.bn.eps = 1e-5;
        c.attr.bn.hw = 20;
        c.x = random_view(3, 5, 4, 3, 2, 1);
        c.gamma = random_view(1, 1, 1, 3, 1.5, 2);
        c.beta = random_view(1, 1, 1, 3, 0.5, 3);
        c.r = random_view(3, 5, 4, 3, 1, 4);
        c.dx = view_of(3, 5, 4, 3);
        c.y = view_of(3, 5, 4, 3);
        c.dgamma = view_of(1, 1, 1, 3);
        c.dbeta = view_of(1, 1, 1, 3);
        c.s = view_of(1, 1, 2, 3);
        c.share = view_of(1, 1, 2, 3);
        c.coef = view_of(1, 1, 4, 3);
        c.gradient(&c);
        assert_true(chain_error(&c, &c.x, &c.dx) < 1e-6);
        assert_true(chain_error(&c, &c.gamma, &c.dgamma) < 1e-6);
        assert_true(chain_error(&c, &c.beta, &c.dbeta) < 1e-6);
    }
}

/* Groups of two channels, of one, all in one, and LayerNorm. */
static void group_norm_matches_finite_differences(void **state)
{
    (void)state;
    static const int64_t groups[] = {3, 6, 1, 0};
    for (int i = 0; i < 4; i++) {
        pool_used = 0;
        chain c = {.loss = norm_loss, .gradient = norm_gradient};
        um_batch_set(&c.batch, 3, 4);
        c.attr.norm.groups = groups[i];
        c.attr.norm.eps = 1e-6;
        c.x = random_view(3, 5, 4, 6, 2, 1);
        c.gamma = random_view(1, 1, 1, 6, 1.5, 2);
        c.beta = random_view(1, 1, 1, 6, 0.5, 3);
        c.r = random_view(3, 5, 4, 6, 1, 4);
        c.dx = view_of(3, 5, 4, 6);
        c.y = view_of(3, 5, 4, 6);
        c.dgamma = view_of(1, 1, 1, 6);
        c.dbeta = view_of(1, 1, 1, 6);
        c.s = view_of(3, 1, 2, 6);
        c.coef = groups[i] ? view_of(3, 1, groups[i], 2) : view_of(3, 5, 4, 2);
        c.gradient(&c);
        assert_true(chain_error(&c, &c.x, &c.dx) < 1e-6);
        assert_true(chain_error(&c, &c.gamma, &c.dgamma) < 1e-6);
        assert_true(chain_error(&c, &c.beta, &c.dbeta) < 1e-6);
    }
}

static chain seg_chain(int channels, bool dice_batch, bool squared)
{
    pool_used = 0;
    chain c = {.loss = seg_loss, .gradient = seg_gradient};
    um_batch_set(&c.batch, 3, 4);
    c.attr.seg = (um_seg_attr){0.7, 1.3, 1e-5, .dice_batch = dice_batch, .squared = squared, .hw = 30, .two_class = channels == 2};
    c.x = random_view(3, 5, 6, channels, 2, 1);
    c.mask = random_view(3, 5, 6, 1, 1, 2);
    for (int64_t i = 0; i < um_view_count(&c.mask); i++)
        ((double *)c.mask.data)[i] = ((double *)c.mask.data)[i] > 0.2;
    c.dx = view_of(3, 5, 6, channels);
    c.s = view_of(3, 1, 1, 5);
    c.t = view_of(1, 1, 1, 5);
    c.share = view_of(1, 1, 1, 3);
    return c;
}

static void loss_matches_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        chain c = seg_chain(1 + i % 2, i & 2, i & 4);
        c.gradient(&c);
        double error = chain_error(&c, &c.x, &c.dx);
        if (!(error < 1e-5))
            fail_msg("loss, variant %d: gradient off by %.3g", i, error);
    }
}

/* Cross entropy, focal, margin and score, of five classes. */
static void class_losses_match_finite_differences(void **state)
{
    (void)state;
    static const struct { um_class_loss kind; double gamma; } variants[] = {
        {UM_CLASS_CE, 0}, {UM_CLASS_CE, 2}, {UM_CLASS_CE, 0.5}, {UM_CLASS_MARGIN, 0}, {UM_CLASS_SCORE, 0}};
    for (int i = 0; i < 5; i++) {
        pool_used = 0;
        chain c = {.loss = class_loss, .gradient = class_gradient};
        um_batch_set(&c.batch, 4, 4);
        c.attr.class_loss.kind = variants[i].kind;
        c.attr.class_loss.gamma = variants[i].gamma;
        c.x = random_view(4, 1, 1, 5, 2, 1);
        c.mask = view_of(4, 1, 1, 1);
        for (int k = 0; k < 4; k++)
            ((double *)c.mask.data)[k] = (k * 3 + 1) % 5;
        c.dx = view_of(4, 1, 1, 5);
        c.s = view_of(4, 1, 1, 3);
        c.gradient(&c);
        double error = chain_error(&c, &c.x, &c.dx);
        if (!(error < 1e-6))
            fail_msg("class loss %d: gradient off by %.3g", i, error);
    }
}

static int make_backend(void **state)
{
    (void)state;
    return um_backend_create(&backend, "cpu", UM_F64) == UM_OK ? 0 : -1;
}

static int free_backend(void **state)
{
    (void)state;
    um_backend_free(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_ops_match_finite_differences),
        cmocka_unit_test(batch_norm_matches_finite_differences),
        cmocka_unit_test(group_norm_matches_finite_differences),
        cmocka_unit_test(loss_matches_finite_differences),
        cmocka_unit_test(class_losses_match_finite_differences),
    };
    return cmocka_run_group_tests(tests, make_backend, free_backend);
}
