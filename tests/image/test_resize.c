#include "image_test.h"

#include "image/resize.h"

enum { PIXELS_MAX = 1024 };

static void fill(void *out, int64_t n, int bits)
{
    for (int64_t i = 0; i < n; i++) {
        if (bits == 8) {
            ((uint8_t *)out)[i] = (uint8_t)pattern(i, 8);
        } else {
            ((uint16_t *)out)[i] = (uint16_t)pattern(i, 16);
        }
    }
}

static double value(const void *p, int64_t i, int bits)
{
    return bits == 8 ? ((const uint8_t *)p)[i] : ((const uint16_t *)p)[i];
}

static void compare(FILE *f, const void *got, int64_t n, int bits, double tolerance)
{
    for (int64_t i = 0; i < n; i++) {
        double want;
        assert_int_equal(fscanf(f, "%lf", &want), 1);
        NEAR(value(got, i, bits), want, tolerance);
    }
}

/* Rounding the exact result costs half a level; Pillow's float result is good to 1e-4 of the range. */
static void bilinear_equals_pillow(void **state)
{
    (void)state;
    const char *source = getenv("UMED_SOURCE_DIR");
    char path[1024], mark[8];
    long h, w, h_out, w_out;
    int bits, n_cases = 0;
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/tests/ref/pillow_resize.txt", source);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, " resize %ld %ld %ld %ld %d", &h, &w, &h_out, &w_out, &bits) == 5) {
        uint16_t in[PIXELS_MAX], out[PIXELS_MAX];
        fill(in, h * w, bits);
        OK(um_resize(out, h_out, w_out, in, h, w, 1, bits, UM_RESIZE_BILINEAR));
        compare(f, out, h_out * w_out, bits, bits == 8 ? 0.501 : 0.52);
        if (bits == 8) {
            assert_int_equal(fscanf(f, " %7s", mark), 1);
            compare(f, out, h_out * w_out, bits, 1);
        }
        n_cases++;
    }
    fclose(f);
    assert_int_equal(n_cases, 7);
}

static void channels_are_independent(void **state)
{
    (void)state;
    uint8_t in[7 * 9 * 3], plane[7 * 9], out[4 * 12 * 3], small[4 * 12];
    fill(in, sizeof in, 8);
    OK(um_resize(out, 4, 12, in, 7, 9, 3, 8, UM_RESIZE_BILINEAR));
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < 63; i++) {
            plane[i] = in[3 * i + c];
        }
        OK(um_resize(small, 4, 12, plane, 7, 9, 1, 8, UM_RESIZE_BILINEAR));
        for (int i = 0; i < 48; i++) {
            assert_int_equal(out[3 * i + c], small[i]);
        }
    }
}

static void flat_images_stay_flat(void **state)
{
    (void)state;
    uint16_t in[37 * 23], out[11 * 31];
    for (int k = 0; k < 3; k++) {
        const uint16_t v = (uint16_t[]){0, 12345, 65535}[k];
        for (int i = 0; i < 37 * 23; i++) {
            in[i] = v;
        }
        OK(um_resize(out, 11, 31, in, 37, 23, 1, 16, UM_RESIZE_BILINEAR));
        for (int i = 0; i < 11 * 31; i++) {
            assert_int_equal(out[i], v);
        }
    }
}

static void nearest_takes_the_pixel_at_the_centre(void **state)
{
    (void)state;
    uint8_t in[5 * 7], out[3 * 4];
    fill(in, sizeof in, 8);
    OK(um_resize(out, 3, 4, in, 5, 7, 1, 8, UM_RESIZE_NEAREST));
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 4; x++) {
            assert_int_equal(out[4 * y + x], in[7 * (int)((y + 0.5) * 5 / 3) + (int)((x + 0.5) * 7 / 4)]);
        }
    }
}

static void equal_sizes_copy(void **state)
{
    (void)state;
    uint16_t in[6 * 5 * 3], out[6 * 5 * 3];
    fill(in, 90, 16);
    OK(um_resize(out, 6, 5, in, 6, 5, 3, 16, UM_RESIZE_BILINEAR));
    assert_memory_equal(in, out, sizeof in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bilinear_equals_pillow), cmocka_unit_test(channels_are_independent),
        cmocka_unit_test(flat_images_stay_flat),  cmocka_unit_test(nearest_takes_the_pixel_at_the_centre),
        cmocka_unit_test(equal_sizes_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
