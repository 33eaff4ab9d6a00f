/* BatchNorm statistics per lane: every lane is as if it were trained on alone, and running statistics are still those of the batch. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/net_fixture.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE, LANES = 3, PER_LANE = 2, IMAGES = LANES * PER_LANE };

static double images[IMAGES * PIXELS], masks[IMAGES * PIXELS];

static void open_net(test_net *net, const char *model, bool per_lane)
{
    net_create(net, &(net_spec){.model = model,
                                .backend = "cpu",
                                .real = UM_F64,
                                .config = net_config(4, 1, 1),
                                .h = SIDE,
                                .w = SIDE,
                                .max_batch = IMAGES,
                                .bn = UM_BN_TRAIN,
                                .bn_per_lane = per_lane,
                                .seed = 4});
}

static double run(test_net *net, int64_t first, int64_t n, int lanes)
{
    net_upload(net, net->x, images + first * PIXELS, n);
    net_upload(net, net->y, masks + first * PIXELS, n);
    return net_run(net, n, lanes);
}

static void assert_near(const double *got, const double *want, int64_t n, const char *what)
{
    double far = 0, size = 0;
    for (int64_t i = 0; i < n; i++)
        far = fmax(far, fabs(got[i] - want[i])), size = fmax(size, fabs(want[i]));
    if (!(far <= 1e-10 * size))
        fail_msg("%s: off by %g of %g", what, far, size);
}

/* sum += gradient block / LANES */
static void add_gradients(const um_params *p, double *sum)
{
    for (int i = 0; i < p->n; i++) {
        if (p->list[i].kind == UM_PARAM_BUFFER)
            continue;
        double *g = net_param(p, i, UM_BLOCK_GRAD);
        for (int64_t k = 0; k < p->list[i].count; k++)
            sum[k] += g[k] / LANES;
        sum += p->list[i].count;
        um_free(g);
    }
}

static void lanes_are_trainings_of_their_own(void **state)
{
    test_net whole, alone;
    double *mean = NULL, *together = NULL, loss = 0;
    open_net(&whole, *state, true);
    double whole_loss = run(&whole, 0, IMAGES, LANES), *logits = net_fetch(&whole, whole.logits, IMAGES);
    assert_ok(UM_NEW_ARRAY(mean, whole.params->n_values));
    assert_ok(UM_NEW_ARRAY(together, whole.params->n_values));
    for (int l = 0; l < LANES; l++) {
        open_net(&alone, *state, false);
        loss += run(&alone, l * PER_LANE, PER_LANE, 1) / LANES;
        double *own = net_fetch(&alone, alone.logits, PER_LANE);
        assert_near(logits + l * PER_LANE * PIXELS, own, PER_LANE * PIXELS, "logits of a lane");
        add_gradients(alone.params, mean);
        um_free(own);
        net_free(&alone);
    }
    for (int i = 0; i < LANES; i++)
        add_gradients(whole.params, together);
    assert_near(together, mean, whole.params->n_values, "gradients");
    assert_near(&whole_loss, &loss, 1, "loss");
    um_free(together);
    um_free(mean);
    um_free(logits);
    net_free(&whole);
}

/* The first normalisation sees the same values either way; deeper ones see what lanes did with them. */
static void running_statistics_are_of_the_batch(void **state)
{
    test_net lane, sync;
    open_net(&lane, *state, true);
    open_net(&sync, *state, false);
    double far = run(&lane, 0, IMAGES, LANES) - run(&sync, 0, IMAGES, LANES);
    assert_true(fabs(far) > 1e-6); /* or this test would compare a thing with itself */
    static const char *const ends[] = {"running_mean", "running_var"};
    for (int e = 0; e < 2; e++) {
        int first = -1;
        for (int i = 0; i < lane.params->n && first < 0; i++)
            first = strstr(lane.params->list[i].name, ends[e]) ? i : -1;
        assert_true(first >= 0);
        double *a = net_param(lane.params, first, UM_BLOCK_VALUE), *b = net_param(sync.params, first, UM_BLOCK_VALUE);
        assert_near(a, b, lane.params->list[first].count, ends[e]);
        um_free(a);
        um_free(b);
    }
    net_free(&lane);
    net_free(&sync);
}

static int meetings(const um_graph *g, int first, int last)
{
    int n = 0;
    for (int i = first; i < last; i++)
        n += g->nodes[i].op == UM_OP_ALL_REDUCE;
    return n;
}

/* Ranks meet as often as without batch statistics, and once more per normalisation at the very end. */
static void forward_and_backward_do_not_wait(void **state)
{
    test_net net, eval;
    open_net(&net, *state, true);
    net_create(&eval, &(net_spec){.model = *state,
                                  .backend = "cpu",
                                  .real = UM_F64,
                                  .config = net_config(4, 1, 1),
                                  .h = SIDE,
                                  .w = SIDE,
                                  .max_batch = IMAGES,
                                  .bn = UM_BN_EVAL,
                                  .seed = 4});
    assert_int_equal(meetings(net.graph, 0, net.graph->n_local), meetings(eval.graph, 0, eval.graph->n_nodes));
    assert_int_equal(meetings(net.graph, net.graph->n_local, net.graph->n_nodes), net_count_op(net.graph, UM_OP_BN_STATS));
    assert_true(net_count_op(net.graph, UM_OP_BN_STATS) > 10);
    net_free(&eval);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"lanes are trainings of their own (unet)", lanes_are_trainings_of_their_own, NULL, NULL, "unet"},
        {"lanes are trainings of their own (cdc_unet)", lanes_are_trainings_of_their_own, NULL, NULL, "cdc_unet"},
        {"running statistics are of the batch", running_statistics_are_of_the_batch, NULL, NULL, "unet"},
        {"forward and backward do not wait", forward_and_backward_do_not_wait, NULL, NULL, "unet"},
    };
    um_threads_set(1);
    net_example(images, masks, IMAGES, SIDE, SIDE, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
