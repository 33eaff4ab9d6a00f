/* Each nano network learns four images by heart (models.md section 10.5): the loss falls by 70 % within STEPS Adam steps at lr
 * 1e-3. They need 170 to 190 steps; STEPS leaves a little room below the 300 that are allowed. U-Net++, half as wide as the
 * U-Net, stands at 40 % after 300 steps at width 4; at the width of the others it takes nearly all of them. */
#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "nn/net_fixture.h"
#include "train/segmenter.h"

enum { IMAGES = 4, SIDE = 32, WIDTH = 8, STEPS = 210, STEPS_MAX = 300 };

static double images[IMAGES * SIDE * SIDE], masks[IMAGES * SIDE * SIDE];
static float x[IMAGES * SIDE * SIDE], y[IMAGES * SIDE * SIDE];

static void make_images(void)
{
    net_example(images, masks, IMAGES, SIDE, SIDE, 1);
    for (int i = 0; i < IMAGES * SIDE * SIDE; i++) {
        x[i] = (float)images[i];
        y[i] = (float)masks[i];
    }
}

static void overfits(void **state)
{
    um_segmenter_config config = {.net = net_config(strcmp(*state, "unetpp") ? WIDTH : 2 * WIDTH, 1, 1),
                                  .h = SIDE,
                                  .w = SIDE,
                                  .max_batch = IMAGES,
                                  .spread = {.lanes = 4},
                                  .loss = {.w_ce = 1, .w_dice = 1, .smooth = 1e-5},
                                  .adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8}};
    um_backend *backend = NULL;
    um_segmenter *s = NULL;
    double first = 0, loss[3] = {0};
    bool nested = strcmp(*state, "unetpp") == 0;
    int reached = 0, steps = nested ? STEPS_MAX : STEPS;
    make_images();
    assert_ok(um_backend_create(&backend, "cpu", UM_F32));
    assert_ok(um_model_find(&config.model, *state));
    assert_ok(um_segmenter_create(&s, backend, &config));
    assert_ok(um_params_init(s->params, 1, UM_RNG_EXPLOITER_INIT));
    for (int step = 0; step < steps; step++) {
        assert_ok(um_segmenter_step(s, x, y, IMAGES, loss));
        first = step ? first : loss[0];
        if (!reached && loss[0] <= 0.3 * first)
            reached = step + 1;
    }
    print_message("%s: loss %.4f to %.4f in %d steps; 30 %% after %d\n", (const char *)*state, first, loss[0], steps, reached);
    assert_true(loss[0] <= 0.3 * first);
    um_segmenter_free(s);
    um_backend_free(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"unet", overfits, NULL, NULL, "unet"},
        {"cdc_unet", overfits, NULL, NULL, "cdc_unet"},
        {"unetpp", overfits, NULL, NULL, "unetpp"},
        {"attention_unet", overfits, NULL, NULL, "attention_unet"},
        {"transunet", overfits, NULL, NULL, "transunet"},
    };
    um_threads_set(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
