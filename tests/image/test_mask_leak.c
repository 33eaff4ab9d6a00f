/* The mask leak: what a simple high-pass predictor reads off an image. */
#include "image/mask_leak.h"
#include "image_test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SIDE = 48 };

/* A smooth ramp; inside a disc every other pixel is moved by `step` levels, as a perturbation that keeps to the mask does. */
static void draw(uint8_t *image, uint8_t *mask, int step, int channels)
{
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            bool in = (i - 20) * (i - 20) + (j - 26) * (j - 26) < 144;
            mask[i * SIDE + j] = in;
            for (int k = 0; k < channels; k++)
                image[(i * SIDE + j) * channels + k] = (uint8_t)(60 + i + j + k + (in ? ((i + j) % 2 ? step : -step) : 0));
        }
}

static double leak(int step, int channels, um_leak_filter filter)
{
    uint8_t image[SIDE * SIDE * 3], mask[SIDE * SIDE], found[SIDE * SIDE];
    um_pixels p = {image, SIDE, SIDE, channels, 8};
    draw(image, mask, step, channels);
    assert_int_equal(um_mask_leak_predict(found, &p, filter), UM_OK);
    um_confusion c = um_confusion_of_masks(found, mask, SIDE * SIDE);
    return um_confusion_dsc(&c);
}

static void noise_in_the_mask_gives_it_away(void **state)
{
    (void)state;
    for (int filter = 0; filter < 2; filter++)
        for (int channels = 1; channels <= 3; channels += 2) {
            double with = leak(4, channels, (um_leak_filter)filter), without = leak(0, channels, (um_leak_filter)filter);
            if (!(with > 0.7 && without < 0.3))
                fail_msg("filter %d, %d channels: %g with noise, %g without", filter, channels, with, without);
        }
}

static void flat_images_betray_nothing(void **state)
{
    (void)state;
    uint8_t image[SIDE * SIDE], found[SIDE * SIDE], nothing[SIDE * SIDE] = {0};
    um_pixels p = {image, SIDE, SIDE, 1, 8};
    memset(image, 77, sizeof image);
    for (int filter = 0; filter < 2; filter++) {
        memset(found, 9, sizeof found);
        assert_int_equal(um_mask_leak_predict(found, &p, (um_leak_filter)filter), UM_OK);
        assert_memory_equal(found, nothing, sizeof found);
    }
}

/* An impulse leaves three quarters of itself after the binomial kernel, all of it after the median; 7x7 pixels see it. */
static void residuals_are_those_of_the_filters(void **state)
{
    (void)state;
    uint16_t image[SIDE * SIDE];
    uint8_t found[SIDE * SIDE];
    um_pixels p = {image, SIDE, SIDE, 1, 16};
    for (int i = 0; i < SIDE * SIDE; i++)
        image[i] = 20000;
    image[20 * SIDE + 20] = 21000;
    assert_int_equal(um_mask_leak_predict(found, &p, UM_LEAK_DENOISE), UM_OK);
    for (int i = 0; i < SIDE * SIDE; i++) /* the median removes it and leaves its neighbours alone */
        assert_int_equal(found[i], abs(i / SIDE - 20) <= 3 && abs(i % SIDE - 20) <= 3);
    assert_int_equal(um_mask_leak_predict(found, &p, UM_LEAK_HIGHPASS), UM_OK);
    for (int i = 0; i < SIDE * SIDE; i++) /* the centre's 0.75 against at most 0.125 of its neighbours */
        assert_int_equal(found[i], abs(i / SIDE - 20) <= 3 && abs(i % SIDE - 20) <= 3);
}

static void otsu_cuts_between_two_heaps(void **state)
{
    (void)state;
    float v[100];
    for (int i = 0; i < 100; i++)
        v[i] = i < 70 ? 0.1f + 0.001f * (float)i : 0.8f + 0.001f * (float)i;
    double cut = um_otsu(v, 100);
    assert_true(cut > 0.169 && cut <= 0.87);
    memset(v, 0, sizeof v);
    assert_true(isinf(um_otsu(v, 100)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_in_the_mask_gives_it_away),
        cmocka_unit_test(flat_images_betray_nothing),
        cmocka_unit_test(residuals_are_those_of_the_filters),
        cmocka_unit_test(otsu_cuts_between_two_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
