#include "image_test.h"

#include "image/blur.h"
#include "image/phantom.h"

enum { SIZE = 64, PIXELS = SIZE * SIZE, IMAGES = 50 };

typedef struct set {
    uint8_t images[IMAGES][PIXELS], masks[IMAGES][PIXELS];
} set;

static set *draw_set(uint64_t seed)
{
    set *s = malloc(sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < IMAGES; i++) {
        OK(um_phantom_draw(s->images[i], s->masks[i], seed, (uint64_t)i, SIZE, 1));
    }
    return s;
}

static void lesions_cover_3_to_20_percent(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        set *s = draw_set(seed);
        for (int i = 0; i < IMAGES; i++) {
            int area = 0;
            for (int k = 0; k < PIXELS; k++) {
                assert_true(s->masks[i][k] <= 1);
                area += s->masks[i][k];
            }
            assert_in_range(area, PIXELS * 3 / 100, PIXELS * 20 / 100);
        }
        free(s);
    }
}

/* Rounds of 3x3 blur take the speckle out. */
static void smooth(uint8_t *image)
{
    uint8_t other[PIXELS];
    for (int round = 0; round < 4; round++) {
        OK(um_blur_gauss3(other, image, SIZE, SIZE, 1, 8, 0, UM_BLUR_REPLICATE));
        OK(um_blur_gauss3(image, other, SIZE, SIZE, 1, 8, 0, UM_BLUR_REPLICATE));
    }
}

static double best_threshold_dsc(const uint8_t *images, const uint8_t *masks, int n)
{
    double best = 0;
    for (int level = 1; level < 256; level++) {
        long tp = 0, other = 0;
        for (int i = 0; i < n; i++) {
            const int dark = images[i] < level;
            tp += dark && masks[i];
            other += dark != (masks[i] != 0);
        }
        const double dsc = 2.0 * (double)tp / (2.0 * (double)tp + (double)other);
        best = dsc > best ? dsc : best;
    }
    return best;
}

static void no_threshold_solves_it(void **state)
{
    (void)state;
    set *s = draw_set(1);
    for (int i = 0; i < IMAGES; i++) {
        smooth(s->images[i]);
    }
    const double dsc = best_threshold_dsc(s->images[0], s->masks[0], IMAGES * PIXELS);
    print_message("best global threshold: DSC %.3f\n", dsc);
    assert_true(dsc < 0.5 && dsc > 0.1);
    free(s);
}

/* Mean grey inside against a ring of 4 pixels around: the contrast that an observer sees. */
static double local_contrast(const uint8_t *image, const uint8_t *mask)
{
    double in = 0, n_in = 0, out = 0, n_out = 0;
    for (int k = 0; k < PIXELS; k++) {
        if (mask[k]) {
            in += image[k];
            n_in++;
            continue;
        }
        int near = 0;
        for (int dy = -4; dy <= 4; dy++) {
            for (int dx = -4; dx <= 4; dx++) {
                const int y = k / SIZE + dy, x = k % SIZE + dx;
                near |= y >= 0 && x >= 0 && y < SIZE && x < SIZE && mask[y * SIZE + x];
            }
        }
        out += near ? image[k] : 0;
        n_out += near;
    }
    return out / n_out - in / n_in;
}

static void lesions_are_darker_than_their_surround(void **state)
{
    (void)state;
    set *s = draw_set(2);
    double mean = 0, least = 255;
    for (int i = 0; i < IMAGES; i++) {
        const double c = local_contrast(s->images[i], s->masks[i]);
        mean += c / IMAGES;
        least = c < least ? c : least;
    }
    print_message("local contrast: mean %.1f, least %.1f grey levels\n", mean, least);
    assert_true(mean > 12 && least > 1); /* at this size, speckle is about 1.5 grey levels */
    free(s);
}

static void depends_on_seed_and_index_only(void **state)
{
    (void)state;
    uint8_t a[PIXELS], b[PIXELS], ma[PIXELS], mb[PIXELS];
    OK(um_phantom_draw(a, ma, 7, 3, SIZE, 1));
    OK(um_phantom_draw(b, mb, 7, 4, SIZE, 1));
    assert_memory_not_equal(a, b, PIXELS);
    assert_memory_not_equal(ma, mb, PIXELS);
    OK(um_phantom_draw(b, mb, 8, 3, SIZE, 1));
    assert_memory_not_equal(ma, mb, PIXELS);
    OK(um_phantom_draw(b, mb, 7, 3, SIZE, 1));
    assert_memory_equal(a, b, PIXELS);
    assert_memory_equal(ma, mb, PIXELS);
}

static void sizes_show_the_same_scene(void **state)
{
    (void)state;
    enum { LARGE = 3 * SIZE };
    uint8_t *image = malloc(LARGE * LARGE), *mask = malloc(LARGE * LARGE), small[PIXELS], mask_small[PIXELS];
    int differ = 0;
    OK(um_phantom_draw(image, mask, 5, 11, LARGE, 1));
    OK(um_phantom_draw(small, mask_small, 5, 11, SIZE, 1));
    for (int y = 0; y < SIZE; y++) {
        for (int x = 0; x < SIZE; x++) {
            differ += mask[(3 * y + 1) * LARGE + 3 * x + 1] != mask_small[y * SIZE + x]; /* the same point of the frame */
        }
    }
    assert_int_equal(differ, 0);
    free(mask);
    free(image);
}

static void colour_is_colour(void **state)
{
    (void)state;
    uint8_t image[PIXELS * 3], grey[PIXELS], mask[PIXELS], mask_grey[PIXELS];
    int coloured = 0;
    OK(um_phantom_draw(image, mask, 1, 0, SIZE, 3));
    OK(um_phantom_draw(grey, mask_grey, 1, 0, SIZE, 1));
    assert_memory_equal(mask, mask_grey, PIXELS);
    for (int k = 0; k < PIXELS; k++) {
        coloured += image[3 * k] != image[3 * k + 2];
        assert_int_equal(image[3 * k], grey[k]);
    }
    assert_true(coloured > PIXELS / 2);
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    uint8_t image[1], mask[1];
    FAILS(um_phantom_draw(image, mask, 1, 0, 15, 1), UM_E_CONFIG, "phantom size 15");
    FAILS(um_phantom_draw(image, mask, 1, 0, 5000, 1), UM_E_CONFIG, "phantom size 5000");
    FAILS(um_phantom_draw(image, mask, 1, 0, 64, 2), UM_E_CONFIG, "1 or 3 channels, not 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lesions_cover_3_to_20_percent),
        cmocka_unit_test(no_threshold_solves_it),
        cmocka_unit_test(lesions_are_darker_than_their_surround),
        cmocka_unit_test(depends_on_seed_and_index_only),
        cmocka_unit_test(sizes_show_the_same_scene),
        cmocka_unit_test(colour_is_colour),
        cmocka_unit_test(bad_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
