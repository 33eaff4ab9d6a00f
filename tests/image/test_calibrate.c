#include "image_test.h"

#include <math.h>

#include "image/calibrate.h"

static const um_contour_options straddle = {UM_CONTOUR_STRADDLE, 1, UM_CONTOUR_SQUARE, UM_CONTOUR_IGNORE};

static void flat_block(void **state)
{
    (void)state;
    uint8_t images[2 * 100], masks[200] = {0};
    memset(images, 90, sizeof images);
    for (int y = 3; y < 7; y++) {
        memset(masks + 10 * y + 3, 1, 4);
    }
    const um_lbp_options popcount = {UM_LBP_POPCOUNT, 8, 1, UM_LBP_SQUARE, UM_LBP_FIXED, 0};
    um_calibration k;
    OK(um_calibrate(&k, images, masks, 2, 10, 10, 1, 8, &straddle, &popcount, 4 / 255.0));
    NEAR(k.phi_c, 0.16, 1e-12); /* 32 of 100 in one image, none in the other */
    NEAR(k.phi_t, 0.02, 1e-12);
    NEAR(k.m2, 1.0, 1e-12); /* flat: every neighbour counts as not darker */
    NEAR(k.psnr_sat, 36.0896 - 10 * log10(0.32 + 0.04), 1e-4);
    assert_int_equal(k.n_empty, 1);
}

static void flat_block_without_texture(void **state)
{
    (void)state;
    uint16_t image[100];
    uint8_t mask[100] = {0};
    for (int i = 0; i < 100; i++) {
        image[i] = 30000;
        mask[i] = i / 10 > 2 && i / 10 < 7 && i % 10 > 2 && i % 10 < 7;
    }
    const um_lbp_options transitions = {UM_LBP_TRANSITIONS, 8, 1, UM_LBP_SQUARE, UM_LBP_FIXED, 0};
    um_calibration k;
    OK(um_calibrate(&k, image, mask, 1, 10, 10, 1, 16, &straddle, &transitions, 4 / 255.0));
    assert_true(k.m2 == 0);
    NEAR(k.psnr_sat, 36.0896 - 10 * log10(0.32), 1e-4);
}

static void nothing_to_measure(void **state)
{
    (void)state;
    const uint8_t image[100] = {0}, mask[100] = {0};
    const um_lbp_options o = {UM_LBP_POPCOUNT, 8, 1, UM_LBP_SQUARE, UM_LBP_FIXED, 0};
    um_calibration k;
    OK(um_calibrate(&k, image, mask, 1, 10, 10, 1, 8, &straddle, &o, 4 / 255.0));
    assert_true(isinf(k.psnr_sat) && k.n_empty == 1 && k.m2 == 0);
    FAILS(um_calibrate(&k, image, mask, 0, 10, 10, 1, 8, &straddle, &o, 4 / 255.0), UM_E_DATA, "at least one image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat_block),
        cmocka_unit_test(flat_block_without_texture),
        cmocka_unit_test(nothing_to_measure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
