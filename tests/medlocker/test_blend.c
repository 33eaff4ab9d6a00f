/* Acceptance tests 1 and 2 of the watermark: the whole table of blending and its inverse, and exact recovery. */
#include "io/io_fixture.h"

#include <math.h>

#include "base/rng.h"
#include "medlocker/blend.h"

/* The definition in exact rational arithmetic: round(((65025-k) I + k W) / 65025); no ties exist. */
static int blend_by_definition(int i, int w, int k)
{
    int64_t n = (int64_t)(65025 - k) * i + (int64_t)k * w;
    int64_t q = n / 65025, r = n % 65025;
    return (int)(q + (2 * r > 65025));
}

/* The largest errors of the inverse, M = 255: one row per alpha with the bound of section 6 and the share of samples that are off.
 * */
static void exhaustive_table(void **state)
{
    (void)state;
    static const struct { int alpha, worst; double share;
    } rows[] = {{26, 1, 0.102}, {102, 1, 0.398}, {128, 1, 0.500}, {166, 1, 0.648}, {170, 1, -1},
                {171, 2, -1},   {204, 2, -1},    {217, 3, -1},    {230, 5, -1}};
    for (size_t r = 0; r < UM_COUNT(rows); r++) {
        int k = rows[r].alpha * 255, worst = 0;
        int64_t off = 0;
        for (int i = 0; i < 256; i++)
            for (int w = 0; w < 256; w++) {
                int marked = um_blend_level(i, w, k), error = abs(um_unblend_level(marked, w, k) - i);
                assert_int_equal(marked, blend_by_definition(i, w, k));
                assert_in_range(marked, i < w ? i : w, i < w ? w : i);
                worst = error > worst ? error : worst;
                off += error > 0;
            }
        if (worst != rows[r].worst || worst > um_unblend_error(k))
            fail_msg("alpha %d: error %d levels, expected %d, bound %d", rows[r].alpha, worst, rows[r].worst, um_unblend_error(k));
        if (rows[r].share > 0 && fabs((double)off / 65536 - rows[r].share) > 0.002)
            fail_msg("alpha %d: %.4f of the samples are off, expected %.3f", rows[r].alpha, (double)off / 65536, rows[r].share);
    }
    for (int k = 0; k <= 166 * 255; k += 255)
        assert_in_range(um_unblend_error(k), 0, 1);
}

/* Preimages against trying all 256 levels, for every opacity up to 254/255. */
static void preimages(void **state)
{
    (void)state;
    for (int k = 0; k < UM_BLEND_ONE; k += 509)
        for (int w = 0; w < 256; w += 5)
            for (int marked = 0; marked < 256; marked++) {
                int first = -1, n = 0, got_first = 0;
                for (int i = 0; i < 256; i++)
                    if (um_blend_level(i, w, k) == marked) {
                        first = n++ ? first : i;
                    }
                int got = um_blend_preimages(marked, w, k, &got_first);
                if (got != n || (n && got_first != first))
                    fail_msg("k %d W %d I' %d: [%d, +%d), expected [%d, +%d)", k, w, marked, got_first, got, first, n);
                assert_true(n <= 1 << um_residual_bits(k));
            }
    assert_int_equal(um_residual_bits(0), 0);
    assert_int_equal(um_residual_bits(127 * 255), 1);
    assert_int_equal(um_residual_bits(128 * 255), 2); /* a hair above one half: three preimages occur */
    assert_int_equal(um_residual_bits(191 * 255), 2);
}

enum { H = 19, W = 23, LH = 9, LW = 7 };

static void random_bytes(uint8_t *out, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        um_rng_words(seed, UM_RNG_TEST, (uint32_t)i, 0, 0, words);
        out[i] = (uint8_t)(words[0] >> 13);
        if (words[1] % 5 == 0)
            out[i] = words[1] % 2 ? 255 : 0; /* opacities of 0 and 1, black and white */
    }
}

static void round_trips(void **state)
{
    (void)state;
    for (uint64_t trial = 0; trial < 200; trial++) {
        uint8_t pixels[H * W * 3], marked[H * W * 3], rgba[LH * LW * 4], *residual = NULL;
        int64_t c = trial % 2 ? 3 : 1, bits = 0;
        size_t bytes = 0;
        um_opacity_rule rule = trial % 3 == 2 ? UM_OPACITY_MIN : UM_OPACITY_MUL;
        random_bytes(pixels, sizeof pixels, 3 * trial);
        random_bytes(rgba, sizeof rgba, 3 * trial + 1);
        um_logo logo = {LH, LW, rgba};
        um_theta t = {(int)(trial * 37 % 255), (int64_t)(trial % (H - LH + 1)), (int64_t)(trial * 7 % (W - LW + 1))};
        um_bytes image = {marked, H, W, c}, clean = {pixels, H, W, c};
        memcpy(marked, pixels, sizeof marked);
        OK(um_residual_make(&residual, &bytes, &bits, &clean, &logo, &t, rule));
        OK(um_blend(&image, &logo, &t, rule));
        for (int64_t p = 0; p < H * W; p++) {
            bool inside = p / W >= t.y && p / W < t.y + LH && p % W >= t.x && p % W < t.x + LW;
            for (int64_t ch = 0; ch < c && !inside; ch++)
                assert_int_equal(marked[p * c + ch], pixels[p * c + ch]);
        }
        uint8_t near[H * W * 3];
        memcpy(near, marked, sizeof near);
        OK(um_unblend(&(um_bytes){near, H, W, c}, &logo, &t, rule));
        int bound = 0;
        for (int64_t p = 0; p < LH * LW; p++) {
            int one = um_unblend_error(um_logo_opacity(&logo, p, t.alpha, rule));
            bound = one > bound ? one : bound;
        }
        for (int64_t i = 0; i < H * W * c; i++)
            assert_in_range(abs(near[i] - pixels[i]), 0, bound);
        if (bytes) { /* any other length is refused */
            uint8_t copy[H * W * 3];
            memcpy(copy, marked, sizeof copy);
            assert_int_equal(um_unblend_exact(&(um_bytes){copy, H, W, c}, &logo, &t, rule, residual, bytes - 1), UM_E_DATA);
        }
        OK(um_unblend_exact(&image, &logo, &t, rule, residual, bytes));
        assert_memory_equal(marked, pixels, (size_t)(H * W * c));
        um_free(residual);
    }
}

static void refusals(void **state)
{
    (void)state;
    uint8_t pixels[H * W] = {0}, rgba[4] = {9, 9, 9, 255}, *residual = NULL;
    um_logo logo = {1, 1, rgba};
    um_bytes image = {pixels, H, W, 1};
    size_t bytes = 0;
    int64_t bits = 0;
    assert_int_equal(um_unblend(&image, &logo, &(um_theta){255, 0, 0}, UM_OPACITY_MUL), UM_E_DATA);
    assert_int_equal(um_residual_make(&residual, &bytes, &bits, &image, &logo, &(um_theta){255, 0, 0}, UM_OPACITY_MUL), UM_E_DATA);
    assert_int_equal(um_blend(&image, &logo, &(um_theta){256, 0, 0}, UM_OPACITY_MUL), UM_E_DATA);
    assert_int_equal(um_blend(&image, &logo, &(um_theta){9, H, 0}, UM_OPACITY_MUL), UM_E_DATA);
    assert_int_equal(um_blend(&image, &logo, &(um_theta){9, 0, -1}, UM_OPACITY_MUL), UM_E_DATA);
    um_error_clear();
}

/* Against hashlib. */
static void hashes(void **state)
{
    (void)state;
    uint8_t pixels[] = {1, 2, 3, 4, 5, 6}, rgba[] = {0, 1, 2, 3, 4, 5, 6, 7};
    char hex[UM_SHA256_HEX];
    um_bytes_sha256(&(um_bytes){pixels, 2, 3, 1}, hex);
    assert_string_equal(hex, "dc30e4bc7adf27b35241826b7d09e63be82395e994da6446c94f15f0e0af1dfd");
    um_logo_sha256(&(um_logo){1, 2, rgba}, hex);
    assert_string_equal(hex, "19618ccda9e903bf9c7ac4f9b3fe9da522f7782a9c9463cb16a87c2689edc0fb");
}

/* A logo of one colour keeps it whatever its opacity does, and the size follows the rule. */
static void fitting(void **state)
{
    (void)state;
    um_logo logo = {0}, small = {0};
    OK(um_logo_read(&logo, ""));
    OK(um_logo_fit(&small, &logo, 256, 128, 4));
    assert_int_equal(small.h, 32);
    assert_int_equal(small.w, 32);
    um_logo_clear(&small);
    for (int64_t p = 0; p < logo.h * logo.w; p++)
        logo.rgba[4 * p] = 200, logo.rgba[4 * p + 1] = 100, logo.rgba[4 * p + 2] = 50;
    OK(um_logo_fit(&small, &logo, 90, 90, 4));
    assert_int_equal(small.h, 23);
    int64_t seen = 0, opacity = 0, before = 0;
    for (int64_t p = 0; p < small.h * small.w; p++) {
        opacity += small.rgba[4 * p + 3];
        if (small.rgba[4 * p + 3] == 0)
            continue;
        seen++;
        assert_in_range(small.rgba[4 * p], 199, 201);
        assert_in_range(small.rgba[4 * p + 2], 49, 51);
    }
    for (int64_t p = 0; p < logo.h * logo.w; p++)
        before += logo.rgba[4 * p + 3];
    assert_true(seen > 100);
    double was = (double)before / (double)(logo.h * logo.w), is = (double)opacity / (double)(small.h * small.w);
    assert_true(fabs(was - is) < 3);
    um_logo_clear(&small);
    um_logo_clear(&logo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exhaustive_table), cmocka_unit_test(preimages), cmocka_unit_test(round_trips),
        cmocka_unit_test(refusals),         cmocka_unit_test(hashes),    cmocka_unit_test(fitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
