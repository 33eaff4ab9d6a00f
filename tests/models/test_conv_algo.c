/* Training with Winograd convolutions is training with direct ones, as far as training can tell: over STEPS steps on changing batches
 * the loss curves of the two algorithms differ by less than those of two seeds do. */
#include <math.h>

#include "base/threads.h"
#include "nn/net_fixture.h"
#include "train/segmenter.h"

enum { IMAGES = 16, BATCH = 4, SIDE = 32, WIDTH = 8, STEPS = 200 };

static double images[IMAGES * SIDE * SIDE], masks[IMAGES * SIDE * SIDE];
static float x[IMAGES * SIDE * SIDE], y[IMAGES * SIDE * SIDE];

static void train(um_conv_algo algo, uint64_t seed, double curve[STEPS])
{
    um_segmenter_config config = {.net = net_config(WIDTH, 1, 1), .h = SIDE, .w = SIDE, .max_batch = BATCH, .spread = {.lanes = 4},
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    um_backend *backend = NULL;
    um_segmenter *s = NULL;
    assert_ok(um_backend_create(&backend, "cpu", UM_F32));
    backend->conv_algo = algo;
    assert_ok(um_model_find(&config.model, "unet"));
    assert_ok(um_segmenter_create(&s, backend, &config));
    assert_ok(um_params_init(s->params, seed, UM_RNG_EXPLOITER_INIT));
    for (int step = 0; step < STEPS; step++) {
        double loss[3];
        int64_t at = step % (IMAGES / BATCH) * BATCH * SIDE * SIDE;
        assert_ok(um_segmenter_step(s, x + at, y + at, BATCH, loss));
        curve[step] = loss[0];
    }
    um_segmenter_free(s);
    um_backend_free(backend);
}

static double mean_distance(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < STEPS; i++)
        sum += fabs(a[i] - b[i]);
    return sum / STEPS;
}

static void winograd_differs_less_than_seeds(void **state)
{
    static double direct[STEPS], winograd[STEPS], other_seed[STEPS];
    (void)state;
    train(UM_CONV_DIRECT, 1, direct);
    train(UM_CONV_WINOGRAD, 1, winograd);
    train(UM_CONV_DIRECT, 2, other_seed);
    double algorithms = mean_distance(direct, winograd), seeds = mean_distance(direct, other_seed);
    print_message("mean distance of loss curves: algorithms %.2e, seeds %.2e; loss %.3f to %.3f\n", algorithms, seeds, direct[0],
                  direct[STEPS - 1]);
    assert_true(direct[STEPS - 1] < 0.5 * direct[0]);
    assert_true(algorithms > 0);
    assert_true(algorithms < 0.5 * seeds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(winograd_differs_less_than_seeds)};
    um_threads_set(1);
    net_example(images, masks, IMAGES, SIDE, SIDE, 1);
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++) {
        x[i] = (float)images[i];
        y[i] = (float)masks[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
