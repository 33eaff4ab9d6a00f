/* The detector on synthetic retinas: found under every distortion, and not found where it is not. */
#include "io/io_fixture.h"

#include "image/retina.h"
#include "medlocker/evaluate.h"

enum { SIDE = 128, IMAGES = 14 };

static uint8_t images[IMAGES][SIDE * SIDE * 3], mask[SIDE * SIDE];
static um_logo logo;

static int draw(void **state)
{
    (void)state;
    um_logo original = {0};
    for (uint64_t i = 0; i < IMAGES; i++)
        OK(um_retina_draw(images[i], mask, 3, i, SIDE, (int)(i % 3)));
    OK(um_logo_read(&original, ""));
    OK(um_logo_fit(&logo, &original, SIDE, SIDE, 4));
    um_logo_clear(&original);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    um_logo_clear(&logo);
    return 0;
}

static um_theta theta_of(int i)
{
    return (um_theta){51 + i * 37 % 116, i * 13 % (SIDE - logo.h + 1), i * 29 % (SIDE - logo.w + 1)};
}

static void found_after_distortions(void **state)
{
    (void)state;
    uint8_t *copy = malloc(sizeof images[0]);
    um_bytes image = {copy, SIDE, SIDE, 3};
    for (int d = 0; d < UM_DISTORT_COUNT; d++) {
        int present = 0;
        for (int i = 0; i < IMAGES; i++) {
            um_theta t = theta_of(i);
            um_detect_result r;
            memcpy(copy, images[i], sizeof images[i]);
            OK(um_blend(&image, &logo, &t, UM_OPACITY_MUL));
            OK(um_distort(&image, (um_distortion)d));
            OK(um_detect(&r, &image, &logo, &t, UM_OPACITY_MUL, (uint64_t)i));
            present += r.verdict == UM_DETECT_PRESENT;
            if (d == UM_DISTORT_NONE)
                assert_true(r.level > 0.85 * t.alpha && r.level < 1.15 * t.alpha); /* the opacity is read off */
        }
        print_message("%s: %d of %d\n", um_distortion_name((um_distortion)d), present, IMAGES);
        assert_true(present >= (d == UM_DISTORT_NONE ? IMAGES : IMAGES * 9 / 10));
    }
    free(copy);
}

/* Clean images, and marked ones under somebody else's certificate. */
static void no_false_positives(void **state)
{
    (void)state;
    uint8_t *copy = malloc(sizeof images[0]);
    int looked = 0;
    for (int i = 0; i < IMAGES; i++)
        for (int k = 0; k < IMAGES; k++) {
            um_theta own = theta_of(i), t = theta_of(k);
            um_detect_result r;
            OK(um_detect(&r, &(um_bytes){images[i], SIDE, SIDE, 3}, &logo, &t, UM_OPACITY_MUL, (uint64_t)k));
            assert_int_not_equal(r.verdict, UM_DETECT_PRESENT);
            if (labs((long)(own.y - t.y)) <= 2 && labs((long)(own.x - t.x)) <= 2)
                continue;
            memcpy(copy, images[i], sizeof images[i]);
            OK(um_blend(&(um_bytes){copy, SIDE, SIDE, 3}, &logo, &own, UM_OPACITY_MUL));
            OK(um_detect(&r, &(um_bytes){copy, SIDE, SIDE, 3}, &logo, &t, UM_OPACITY_MUL, (uint64_t)k));
            assert_int_not_equal(r.verdict, UM_DETECT_PRESENT);
            looked++;
        }
    assert_true(looked > 150);
    free(copy);
}

/* Recovered images do not carry the mark any more; a black logo on black ground cannot be told. */
static void gone_or_untellable(void **state)
{
    (void)state;
    uint8_t *copy = malloc(sizeof images[0]);
    um_detect_result r;
    for (int i = 0; i < IMAGES; i++) {
        um_theta t = theta_of(i);
        um_bytes image = {copy, SIDE, SIDE, 3};
        memcpy(copy, images[i], sizeof images[i]);
        OK(um_blend(&image, &logo, &t, UM_OPACITY_MUL));
        OK(um_unblend(&image, &logo, &t, UM_OPACITY_MUL));
        OK(um_detect(&r, &image, &logo, &t, UM_OPACITY_MUL, 0));
        assert_int_not_equal(r.verdict, UM_DETECT_PRESENT);
    }
    uint8_t dark[4 * 64] = {0};
    for (int p = 0; p < 64; p++)
        dark[4 * p + 3] = 255;
    memset(copy, 0, sizeof images[0]);
    OK(um_detect(&r, &(um_bytes){copy, SIDE, SIDE, 3}, &(um_logo){8, 8, dark}, &(um_theta){100, 40, 40}, UM_OPACITY_MUL, 0));
    assert_int_equal(r.verdict, UM_DETECT_IMPOSSIBLE);
    assert_int_equal(um_detect(&r, &(um_bytes){copy, SIDE, SIDE, 3}, &logo, &(um_theta){100, SIDE, 0}, UM_OPACITY_MUL, 0),
                     UM_E_DATA);
    um_error_clear();
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_after_distortions), cmocka_unit_test(no_false_positives), cmocka_unit_test(gone_or_untellable),
    };
    return cmocka_run_group_tests(tests, draw, drop);
}
