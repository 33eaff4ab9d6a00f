#include "image_test.h"

#include "image/luma.h"

static void weights_of_both_modes(void **state)
{
    (void)state;
    const uint8_t px[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30};
    float out[4];
    um_luma(out, px, 4, 3, 8, UM_LUMA_BT601);
    NEAR(out[0], 0.299 * 255, 1e-4);
    NEAR(out[1], 0.587 * 255, 1e-4);
    NEAR(out[2], 0.114 * 255, 1e-4);
    NEAR(out[3], 0.299 * 10 + 0.587 * 20 + 0.114 * 30, 1e-4);
    um_luma(out, px, 4, 3, 8, UM_LUMA_MEAN);
    NEAR(out[3], 20, 1e-6);
}

static void sixteen_bits_in_8_bit_units(void **state)
{
    (void)state;
    const uint16_t px[] = {0, 257, 65535};
    float out[3];
    um_luma(out, px, 3, 1, 16, UM_LUMA_BT601);
    assert_true(out[0] == 0.0f && out[1] == 1.0f && out[2] == 255.0f);
    um_luma(out, px, 1, 3, 16, UM_LUMA_BT601);
    NEAR(out[0], 0.587 + 0.114 * 255, 1e-4);
}

static void grey_colours_keep_their_level(void **state)
{
    (void)state;
    for (int v = 0; v < 256; v++) {
        const uint8_t px[3] = {(uint8_t)v, (uint8_t)v, (uint8_t)v};
        float grey;
        uint8_t rounded;
        um_luma(&grey, px, 1, 3, 8, UM_LUMA_BT601);
        um_luma_integer(&rounded, px, 1, 8);
        assert_true(grey == (float)v && rounded == v);
    }
}

static void integer_luma_works_in_place(void **state)
{
    (void)state;
    uint8_t px[] = {255, 0, 0, 0, 255, 0, 1, 2, 3};
    um_luma_integer(px, px, 3, 8);
    assert_int_equal(px[0], 76);  /* 76.245 */
    assert_int_equal(px[1], 150); /* 149.685 */
    assert_int_equal(px[2], 2);   /* 1.815 */
    uint16_t deep[] = {65535, 65535, 65535, 65535, 0, 0};
    um_luma_integer(deep, deep, 2, 16);
    assert_int_equal(deep[0], 65535);
    assert_int_equal(deep[1], 19595);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_both_modes),
        cmocka_unit_test(sixteen_bits_in_8_bit_units),
        cmocka_unit_test(grey_colours_keep_their_level),
        cmocka_unit_test(integer_luma_works_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
