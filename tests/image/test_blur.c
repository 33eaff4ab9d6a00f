#include "image_test.h"

#include <math.h>

#include "image/blur.h"

static void impulse_gives_the_kernel(void **state)
{
    (void)state;
    uint16_t in[25] = {0}, out[25];
    in[12] = 16 * 100;
    OK(um_blur_gauss3(out, in, 5, 5, 1, 16, 0, UM_BLUR_REFLECT101));
    int sum = 0;
    for (int i = 0; i < 25; i++) {
        const int dy = abs(i / 5 - 2), dx = abs(i % 5 - 2);
        assert_int_equal(out[i], dy > 1 || dx > 1 ? 0 : 100 * (2 - dy) * (2 - dx));
        sum += out[i];
    }
    assert_int_equal(sum, 1600);
}

static void borders(void **state)
{
    (void)state;
    const uint8_t in[3] = {0, 100, 200};
    uint8_t out[3];
    OK(um_blur_gauss3(out, in, 1, 3, 1, 8, 0, UM_BLUR_REFLECT101));
    assert_int_equal(out[0], 50);
    assert_int_equal(out[1], 100);
    assert_int_equal(out[2], 150);
    OK(um_blur_gauss3(out, in, 1, 3, 1, 8, 0, UM_BLUR_REPLICATE));
    assert_int_equal(out[0], 25);
    assert_int_equal(out[2], 175);
}

static void half_levels_round_up(void **state)
{
    (void)state;
    const uint8_t in[9] = {0, 0, 0, 0, 2, 0, 0, 0, 0}; /* 2 * 4 / 16 = 0.5 */
    uint8_t out[9];
    OK(um_blur_gauss3(out, in, 3, 3, 1, 8, 0, UM_BLUR_REPLICATE));
    assert_int_equal(out[4], 1);
}

static void sigma_and_channels(void **state)
{
    (void)state;
    enum { H = 7, W = 6 };
    uint8_t in[H * W * 3], out[H * W * 3];
    const double e = exp(-1 / (2 * 0.8 * 0.8)), taps[3] = {e / (1 + 2 * e), 1 / (1 + 2 * e), e / (1 + 2 * e)};
    NEAR(taps[0], 0.2390, 5e-5);
    for (int i = 0; i < H * W * 3; i++) {
        in[i] = (uint8_t)pattern(i, 8);
    }
    OK(um_blur_gauss3(out, in, H, W, 3, 8, 0.8, UM_BLUR_REPLICATE));
    for (int y = 1; y < H - 1; y++) {
        for (int x = 1; x < W - 1; x++) {
            for (int c = 0; c < 3; c++) {
                double sum = 0;
                for (int k = 0; k < 9; k++) {
                    sum += taps[k / 3] * taps[k % 3] * in[((y + k / 3 - 1) * W + x + k % 3 - 1) * 3 + c];
                }
                NEAR(out[(y * W + x) * 3 + c], sum, 0.51);
            }
        }
    }
}

static void bad_sigma_is_refused(void **state)
{
    (void)state;
    uint8_t in[1] = {7}, out[1];
    FAILS(um_blur_gauss3(out, in, 1, 1, 1, 8, -1, UM_BLUR_REFLECT101), UM_E_CONFIG, "sigma = -1");
    FAILS(um_blur_gauss3(out, in, 1, 1, 1, 8, (double)NAN, UM_BLUR_REFLECT101), UM_E_CONFIG, "sigma");
    OK(um_blur_gauss3(out, in, 1, 1, 1, 8, 2, UM_BLUR_REFLECT101));
    assert_int_equal(out[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(impulse_gives_the_kernel), cmocka_unit_test(borders),
        cmocka_unit_test(half_levels_round_up),     cmocka_unit_test(sigma_and_channels),
        cmocka_unit_test(bad_sigma_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
