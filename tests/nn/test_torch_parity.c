/* Our networks against PyTorch, from numbers written by tests/ref/torch_parity.py.
 *
 * Gates. f64: 1e-6 is asked for; PyTorch itself moves by 1e-13 when its sums change order and ours agree to 1e-13, so 1e-8
 * catches slips that 1e-6 would let pass and leaves room for other instruction sets. f32: 1e-4; the two f32
 * computations differ by up to 1e-5. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/threads.h"
#include "nn/parity.h"
#include "train/segmenter.h"

enum { TRAIN_LANES = 3 };
static const double F64_GATE = 1e-8, F32_GATE = 1e-4;

typedef struct parity_case {
    const char *model, *backend, *net; /* net: its name in the fixture */
    bool brief, deep;                  /* brief: the fixture has no weights, buffers and f32 gradients of it */
} parity_case;

static um_model_config config_of(const parity_case *c)
{
    um_model_config config = net_config(PARITY_WIDTH, 1, 1);
    config.deep_supervision = c->deep;
    return config;
}

static parity_file fixture;
static double images[PARITY_BATCH * PARITY_PIXELS], masks[PARITY_BATCH * PARITY_PIXELS];

static int read_fixture(void **state)
{
    (void)state;
    um_threads_set(1);
    parity_read(&fixture, "torch_parity.txt");
    parity_batch(images, masks);
    return 0;
}

static int free_fixture(void **state)
{
    (void)state;
    parity_free(&fixture);
    return 0;
}

static double size_of(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

/* A bias before a BatchNorm or inside a softmax moves nothing: both sides hold rounding errors only. */
static bool is_rounding(const parity_record *r)
{
    return !strcmp(r->kind, "grad") && (r->full ? size_of(r->v, r->numel) : r->v[0]) < 1e-12;
}

static double compare(const char *net, const char *prec, const char *kind, const char *name, const double *t, int64_t n)
{
    parity_record *r = parity_find(&fixture, net, prec, kind, name);
    double d = parity_distance(r, t, n), gate = prec[1] == '6' ? F64_GATE : F32_GATE;
    r->used = true;
    if (is_rounding(r) && size_of(t, n) < 1e-12)
        return 0;
    if (!(d <= gate))
        fail_msg("%s %s %s %s is %.3g away from PyTorch's, relative L2; the gate is %.0e", net, prec, kind, name, d, gate);
    return d;
}

static double compare_params(const char *net, const char *prec, const char *kind, const um_params *params, um_param_block block,
                             bool buffers)
{
    double worst = 0;
    for (int i = 0; i < params->n; i++) {
        if ((params->list[i].kind == UM_PARAM_BUFFER) != buffers)
            continue;
        double *t = net_param(params, i, block), d = compare(net, prec, kind, params->list[i].name, t, params->list[i].count);
        worst = d > worst ? d : worst;
        um_free(t);
    }
    return worst;
}

static void all_used(const char *net, const char *prec)
{
    for (int i = 0; i < fixture.n; i++)
        if (!strcmp(fixture.list[i].net, net) && !strcmp(fixture.list[i].prec, prec) && !fixture.list[i].used)
            fail_msg("%s %s %s %s of the fixture has no counterpart here", net, prec, fixture.list[i].kind, fixture.list[i].name);
}

/* Loss, logits and gradients of the first step. */
static void one_step(const parity_case *c, um_dtype real)
{
    const char *prec = real == UM_F64 ? "f64" : "f32";
    test_net net;
    net_create(&net, &(net_spec){.model = c->model, .backend = c->backend, .real = real, .config = config_of(c),
                                 .h = PARITY_SIDE, .w = PARITY_SIDE, .max_batch = PARITY_BATCH});
    parity_weights(net.params);
    if (real == UM_F64 && !c->brief)
        compare_params(c->net, prec, "init", net.params, UM_BLOCK_VALUE, false);
    net_upload(&net, net.x, images, PARITY_BATCH);
    net_upload(&net, net.y, masks, PARITY_BATCH);
    double loss = net_run(&net, PARITY_BATCH, 1), *logits = net_fetch(&net, net.logits, PARITY_BATCH);
    double worst[3] = {0};
    worst[0] = compare(c->net, prec, "loss", "step1", &loss, 1);
    worst[1] = compare(c->net, prec, "logits", "step1", logits, PARITY_BATCH * PARITY_PIXELS);
    if (real == UM_F64 || !c->brief)
        worst[2] = compare_params(c->net, prec, "grad", net.params, UM_BLOCK_GRAD, false);
    print_message("%s on %s, %s: loss %.1e, logits %.1e, gradients %.1e\n", c->net, c->backend, prec, worst[0], worst[1],
                  worst[2]);
    um_free(logits);
    net_free(&net);
}

static void compare_counters(const char *net, const um_params *params)
{
    double count = (double)params->bn_batches;
    for (int i = 0; i < params->n; i++) {
        char name[128];
        if (!um_text_ends_with(params->list[i].name, ".running_var"))
            continue;
        snprintf(name, sizeof name, "%.*snum_batches_tracked", (int)(strlen(params->list[i].name) - strlen("running_var")),
                 params->list[i].name);
        compare(net, "f64", "buffer", name, &count, 1);
    }
}

/* Losses of ten Adam steps, weights and buffers after them, and logits in eval mode. */
static void ten_steps(const parity_case *c)
{
    um_segmenter_config config = {.net = config_of(c),
                                  .h = PARITY_SIDE,
                                  .w = PARITY_SIDE,
                                  .max_batch = PARITY_BATCH,
                                  .spread = {.lanes = TRAIN_LANES},
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    um_backend *backend = NULL;
    um_segmenter *s = NULL;
    double losses[PARITY_STEPS], loss[3], *logits = NULL, worst[3] = {0};
    assert_ok(um_backend_create(&backend, c->backend, UM_F64));
    assert_ok(um_model_find(&config.model, c->model));
    assert_ok(um_segmenter_create(&s, backend, &config));
    assert_ok(um_params_init(s->params, 1, UM_RNG_TEST));
    parity_weights(s->params);
    for (int i = 0; i < PARITY_STEPS; i++) {
        assert_ok(um_segmenter_step(s, images, masks, PARITY_BATCH, loss));
        losses[i] = loss[0];
    }
    compare(c->net, "f64", "losses", "steps", losses, PARITY_STEPS);
    if (!c->brief) {
        worst[0] = compare_params(c->net, "f64", "param", s->params, UM_BLOCK_VALUE, false);
        worst[1] = compare_params(c->net, "f64", "buffer", s->params, UM_BLOCK_VALUE, true);
        compare_counters(c->net, s->params);
    }
    assert_ok(UM_NEW_ARRAY(logits, PARITY_BATCH * PARITY_PIXELS));
    assert_ok(um_segmenter_logits(s, images, PARITY_BATCH, logits));
    worst[2] = compare(c->net, "f64", "eval_logits", "step10", logits, PARITY_BATCH * PARITY_PIXELS);
    print_message("%s on %s after ten steps: weights %.1e, buffers %.1e, eval logits %.1e\n", c->net, c->backend, worst[0],
                  worst[1], worst[2]);
    um_free(logits);
    um_segmenter_free(s);
    um_backend_free(backend);
}

static void inputs_are_rebuilt(void **state)
{
    (void)state;
    compare("data", "f64", "images", "batch", images, PARITY_BATCH * PARITY_PIXELS);
    compare("data", "f64", "masks", "batch", masks, PARITY_BATCH * PARITY_PIXELS);
}

static void matches_torch(void **state)
{
    const parity_case *c = *state;
    for (int i = 0; i < fixture.n; i++)
        fixture.list[i].used = false;
    one_step(c, UM_F64);
    ten_steps(c);
    all_used(c->net, "f64");
    one_step(c, UM_F32);
    all_used(c->net, "f32");
}

/* A gate that lets everything pass is none: one weight of one hundred thousand, moved by 1e-5 of its size, must show. */
static void distance_sees_small_errors(void **state)
{
    (void)state;
    parity_record *r = parity_find(&fixture, "data", "f64", "images", "batch");
    double moved[PARITY_BATCH * PARITY_PIXELS];
    memcpy(moved, images, sizeof moved);
    moved[1234] += 1e-5;
    assert_true(parity_distance(r, moved, PARITY_BATCH * PARITY_PIXELS) > F64_GATE);
    memcpy(moved, images, sizeof moved);
    moved[10] = images[11], moved[11] = images[10];
    assert_true(images[10] != images[11]);
    assert_true(parity_distance(r, moved, PARITY_BATCH * PARITY_PIXELS) > F32_GATE);
}

int main(void)
{
    static parity_case cases[] = {
        {"unet", "cpu", "unet"}, {"cdc_unet", "cpu", "cdc_unet"}, {"unet", "check:cpu", "unet"}, {"cdc_unet", "check:cpu", "cdc_unet"},
        {"unetpp", "cpu", "unetpp", true}, {"unetpp", "cpu", "unetpp_deep", true, true},
        {"attention_unet", "cpu", "attention_unet", true}, {"transunet", "cpu", "transunet", true},
        {"transunet", "check:cpu", "transunet", true},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_rebuilt),
        cmocka_unit_test(distance_sees_small_errors),
        {"unet on cpu", matches_torch, NULL, NULL, &cases[0]},
        {"cdc_unet on cpu", matches_torch, NULL, NULL, &cases[1]},
        {"unet on check:cpu", matches_torch, NULL, NULL, &cases[2]},
        {"cdc_unet on check:cpu", matches_torch, NULL, NULL, &cases[3]},
        {"unetpp on cpu", matches_torch, NULL, NULL, &cases[4]},
        {"unetpp_deep on cpu", matches_torch, NULL, NULL, &cases[5]},
        {"attention_unet on cpu", matches_torch, NULL, NULL, &cases[6]},
        {"transunet on cpu", matches_torch, NULL, NULL, &cases[7]},
        {"transunet on check:cpu", matches_torch, NULL, NULL, &cases[8]},
    };
    return cmocka_run_group_tests(tests, read_fixture, free_fixture);
}
