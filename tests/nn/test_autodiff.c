/* What the backward pass appends, and gradients of graphs that networks do not contain: shared tensors, nested concatenations,
 * reading slices, padding and cropping. */
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/grad_check.h"

enum { SIDE = 9, BATCH = 3, CONVS = 19, CONVTS = 4, NORMS = 18 };

/* A generator that shifts the image, and a surrogate behind it: what UMed trains. */
typedef struct pair {
    um_backend *backend;
    um_params *generator, *surrogate;
    um_graph *graph;
    um_tid x, loss;
} pair;

static void make_pair(pair *p, bool generator_learns, bool surrogate_learns)
{
    const um_model_def *unet = NULL;
    const um_seg_attr seg = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5};
    um_model_config config = net_config(2, 1, 1);
    um_tid bound, y, z, d, sum, image, logits;
    assert_ok(um_backend_create(&p->backend, "cpu", UM_F32));
    assert_ok(um_params_create(&p->generator, p->backend));
    assert_ok(um_params_create(&p->surrogate, p->backend));
    assert_ok(um_graph_create(&p->graph, UM_F32, 2));
    assert_ok(um_model_find(&unet, "unet"));
    um_net g = {p->graph, p->generator, generator_learns, UM_BN_TRAIN}, s = {p->graph, p->surrogate, surrogate_learns, UM_BN_BATCH};
    assert_ok(um_graph_input(p->graph, &p->x, "image", 16, 16, 1));
    assert_ok(um_graph_input(p->graph, &bound, "bound", 16, 16, 1));
    assert_ok(um_graph_input(p->graph, &y, "mask", 16, 16, 1));
    assert_ok(unet->build(&g, &config, p->x, &z));
    assert_ok(um_nn_bound(p->graph, &d, z, bound, UM_BOUND_BOX_TANH, 1));
    assert_ok(um_nn_add(p->graph, &sum, d, p->x));
    assert_ok(um_nn_clip(p->graph, &image, sum, UM_CLIP_INWARD, 0, 1));
    assert_ok(unet->build(&s, &config, image, &logits));
    assert_ok(um_nn_seg_loss(p->graph, &p->loss, logits, y, &seg));
}

static void drop_pair(pair *p)
{
    um_graph_free(p->graph);
    um_params_free(p->generator);
    um_params_free(p->surrogate);
    um_backend_free(p->backend);
}

static int grads_of(const um_graph *g, const um_params *params)
{
    int count = 0;
    for (um_tid t = 0; t < g->n_tensors; t++)
        count += g->tensors[t].kind == UM_T_GRAD && g->tensors[t].params == params;
    return count;
}

static void frozen_behind_learning(void **state)
{
    (void)state;
    pair p;
    make_pair(&p, true, false);
    assert_ok(um_graph_backward(p.graph, p.loss, NULL, 0, NULL));
    assert_int_equal(grads_of(p.graph, p.surrogate), 0);
    assert_int_equal(grads_of(p.graph, p.generator), 64);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_WEIGHT), CONVS);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONVT_BWD_WEIGHT), CONVTS);
    assert_int_equal(net_count_op(p.graph, UM_OP_CHANNEL_SUM), CONVTS + 1);
    assert_int_equal(net_count_op(p.graph, UM_OP_BN_BWD_PARAM), NORMS);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_DATA), CONVS + CONVS - 1); /* not into the image */
    assert_int_equal(net_count_op(p.graph, UM_OP_CONVT_BWD_DATA), 2 * CONVTS);
    assert_int_equal(net_count_op(p.graph, UM_OP_BOUND_BWD), 1);
    assert_int_equal(net_count_op(p.graph, UM_OP_CLIP_BWD), 1);
    drop_pair(&p);
}

static void frozen_in_front_of_learning(void **state)
{
    (void)state;
    pair p;
    make_pair(&p, false, true);
    assert_ok(um_graph_backward(p.graph, p.loss, NULL, 0, NULL));
    assert_int_equal(grads_of(p.graph, p.generator), 0);
    assert_int_equal(grads_of(p.graph, p.surrogate), 64);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_WEIGHT), CONVS);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_DATA), CONVS - 1);
    assert_int_equal(net_count_op(p.graph, UM_OP_BN_BWD_PARAM), NORMS);
    assert_int_equal(net_count_op(p.graph, UM_OP_BOUND_BWD) + net_count_op(p.graph, UM_OP_CLIP_BWD), 0);
    drop_pair(&p);
}

static void image_gradient_only(void **state)
{
    (void)state;
    pair p;
    um_tid dx = UM_NONE;
    make_pair(&p, false, false);
    assert_ok(um_graph_backward(p.graph, p.loss, &p.x, 1, &dx));
    assert_true(dx >= 0);
    assert_int_equal(grads_of(p.graph, p.generator) + grads_of(p.graph, p.surrogate), 0);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_WEIGHT) + net_count_op(p.graph, UM_OP_CHANNEL_SUM), 0);
    assert_int_equal(net_count_op(p.graph, UM_OP_CONV_BWD_DATA), 2 * CONVS);
    drop_pair(&p);
}

static void nothing_to_learn(void **state)
{
    (void)state;
    pair p;
    make_pair(&p, false, false);
    assert_int_equal(um_graph_backward(p.graph, p.loss, NULL, 0, NULL), UM_E_BUG);
    drop_pair(&p);
}

/* A graph of the test's own, from an image of two channels to the logits of a 1x1 convolution. */
typedef um_status (*body_fn)(const um_net *net, um_tid x, um_tid *features);

static um_status shared_by_four(const um_net *net, um_tid x, um_tid *out)
{
    um_status rc = UM_OK;
    um_tid t = UM_NONE, u = UM_NONE, v = UM_NONE, w = UM_NONE;
    UM_TRY(um_nn_conv(net, &t, x, "t", 3, 3, true));
    UM_TRY(um_nn_conv(net, &u, t, "u", 3, 3, false));
    UM_TRY(um_nn_add(net->graph, &v, t, u));
    UM_TRY(um_nn_batchnorm(net, &w, v, "w", false));
    UM_TRY(um_nn_add(net->graph, &v, w, t));
    UM_TRY(um_nn_add(net->graph, &v, v, v));
    UM_TRY(um_graph_concat(net->graph, out, v, t, "vt"));
done:
    return rc;
}

/* Only what is whole and unshared can become a slice in place: all others are copied. */
static um_status nested_concat(const um_net *net, um_tid x, um_tid *out)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tid a = UM_NONE, b = UM_NONE, c = UM_NONE, ab = UM_NONE, ac = UM_NONE, aa = UM_NONE;
    UM_TRY(um_nn_conv(net, &a, x, "a", 3, 3, true));
    UM_TRY(um_nn_conv(net, &b, x, "b", 2, 1, true));
    UM_TRY(um_nn_batchnorm(net, &c, a, "c", false));
    UM_TRY(um_graph_concat(g, &ab, a, b, "ab"));
    UM_TRY(um_graph_concat(g, &ac, a, c, "ac"));
    UM_TRY(um_graph_concat(g, &aa, ab, ac, "abac"));
    UM_TRY(um_graph_concat(g, out, aa, x, "abacx"));
    assert_int_equal(net_count_op(g, UM_OP_COPY), 5); /* a once; [a, b], [a, c] and both; the image, whose memory is its own */
done:
    return rc;
}

static um_status twice_the_same(const um_net *net, um_tid x, um_tid *out)
{
    um_status rc = UM_OK;
    um_tid a = UM_NONE;
    UM_TRY(um_nn_conv(net, &a, x, "a", 3, 3, true));
    UM_TRY(um_graph_concat(net->graph, out, a, a, "aa"));
done:
    return rc;
}

/* Consumers of channel ranges that overlap, and of the whole. */
static um_status reads_slices(const um_net *net, um_tid x, um_tid *out)
{
    um_status rc = UM_OK;
    um_graph *g = net->graph;
    um_tid a = UM_NONE, s = UM_NONE, r = UM_NONE, b = UM_NONE, c = UM_NONE, d = UM_NONE;
    UM_TRY(um_nn_conv(net, &a, x, "a", 6, 3, true));
    UM_TRY(um_graph_slice(g, &s, a, 1, 3));
    UM_TRY(um_graph_slice(g, &r, a, 2, 4));
    UM_TRY(um_nn_conv(net, &b, s, "b", 2, 3, false));
    UM_TRY(um_nn_conv(net, &c, r, "c", 2, 1, false));
    UM_TRY(um_nn_batchnorm(net, &d, a, "d", false));
    UM_TRY(um_graph_concat(g, &b, b, c, "bc"));
    UM_TRY(um_graph_concat(g, out, b, d, "bcd"));
done:
    return rc;
}

static um_status pads_and_crops(const um_net *net, um_tid x, um_tid *out)
{
    um_status rc = UM_OK;
    um_tid a = UM_NONE, small = UM_NONE, up = UM_NONE, wide = UM_NONE, narrow = UM_NONE;
    UM_TRY(um_nn_conv(net, &a, x, "a", 3, 3, true));
    UM_TRY(um_nn_maxpool(net->graph, &small, a, 2, 2, 0));
    UM_TRY(um_nn_conv_transpose(net, &up, small, "up", 2));
    UM_TRY(um_nn_fit(net->graph, &up, up, SIDE, SIDE));
    UM_TRY(um_nn_fit(net->graph, &wide, up, SIDE + 3, SIDE + 2));
    UM_TRY(um_nn_conv(net, &wide, wide, "wide", 3, 3, true));
    UM_TRY(um_nn_fit(net->graph, &narrow, wide, SIDE, SIDE));
    UM_TRY(um_graph_concat(net->graph, out, a, narrow, "an"));
done:
    return rc;
}

static void body_gradients(void **state)
{
    body_fn body = *(body_fn *)*state;
    const um_seg_attr seg = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5};
    um_backend *backend = NULL;
    um_params *params = NULL;
    um_graph *g = NULL;
    um_exec *exec = NULL;
    um_tid x, y, features = UM_NONE, logits, loss, dx;
    double images[BATCH * SIDE * SIDE * 2], masks[BATCH * SIDE * SIDE];
    assert_ok(um_backend_create(&backend, "check:cpu", UM_F64));
    assert_ok(um_params_create(&params, backend));
    assert_ok(um_graph_create(&g, UM_F64, BATCH));
    um_net net = {g, params, true, UM_BN_TRAIN};
    assert_ok(um_graph_input(g, &x, "image", SIDE, SIDE, 2));
    assert_ok(um_graph_input(g, &y, "mask", SIDE, SIDE, 1));
    assert_ok(body(&net, x, &features));
    assert_ok(um_nn_conv(&net, &logits, features, "out", 1, 1, true));
    assert_ok(um_nn_seg_loss(g, &loss, logits, y, &seg));
    assert_ok(um_graph_backward(g, loss, &x, 1, &dx));
    assert_ok(um_exec_create(&exec, g, backend));
    assert_ok(um_params_init(params, 3, UM_RNG_TEST));
    net_example(images, masks, BATCH, SIDE, SIDE, 2);
    assert_ok(um_exec_upload(exec, x, images, BATCH));
    assert_ok(um_exec_upload(exec, y, masks, BATCH));
    grad_check c = {exec, g, params, loss, x, dx, images, BATCH, 2, 30};
    grad_result result;
    grad_check_run(&c, &result);
    um_exec_free(exec);
    um_graph_free(g);
    um_params_free(params);
    um_backend_free(backend);
}

/* U-Nets at every side that pools unevenly somewhere: the image's gradient has the image's shape and is finite under check:. */
static void odd_sides(void **state)
{
    (void)state;
    for (int64_t side = 17; side <= 31; side += 2) {
        test_net net;
        double x[31 * 17 * 2], y[31 * 17 * 2];
        net_create(&net, &(net_spec){.model = side % 4 == 1 ? "unet" : "cdc_unet",
                                     .backend = "check:cpu",
                                     .real = UM_F64,
                                     .config = net_config(2, 1, 1),
                                     .h = side,
                                     .w = 17,
                                     .max_batch = 2,
                                     .wants_dx = true,
                                     .seed = 2});
        net_example(x, y, 2, side, 17, 1);
        net_upload(&net, net.x, x, 2);
        net_upload(&net, net.y, y, 2);
        assert_true(net_run(&net, 2, 2) > 0);
        assert_true(net_count_op(net.graph, UM_OP_WINDOW) >= 2);
        const um_tensor *dx = &net.graph->tensors[net.dx], *logits = &net.graph->tensors[net.logits];
        assert_true(dx->h == side && dx->w == 17 && dx->c == 1);
        assert_true(logits->h == side && logits->w == 17);
        net_free(&net);
    }
}

int main(void)
{
    static body_fn bodies[] = {shared_by_four, nested_concat, twice_the_same, reads_slices, pads_and_crops};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_behind_learning),
        cmocka_unit_test(frozen_in_front_of_learning),
        cmocka_unit_test(image_gradient_only),
        cmocka_unit_test(nothing_to_learn),
        {"a tensor with four consumers", body_gradients, NULL, NULL, &bodies[0]},
        {"nested concatenation", body_gradients, NULL, NULL, &bodies[1]},
        {"concatenation with itself", body_gradients, NULL, NULL, &bodies[2]},
        {"reading slices", body_gradients, NULL, NULL, &bodies[3]},
        {"padding and cropping", body_gradients, NULL, NULL, &bodies[4]},
        cmocka_unit_test(odd_sides),
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
