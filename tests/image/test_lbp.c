#include "image_test.h"

#include <math.h>

#include "image/lbp.h"

enum { H = 9, W = 11, N = H * W, CENTRE = 4 * W + 5 };

static um_lbp_options options(int map)
{
    return (um_lbp_options){map, 8, 1, UM_LBP_SQUARE, UM_LBP_FIXED, 0};
}

static float centre_value(const float *grey, um_lbp_options o)
{
    float out[N];
    OK(um_lbp_texture(out, grey, NULL, H, W, &o));
    return out[CENTRE];
}

static void set_neighbours(float *grey, uint32_t code)
{
    static const int offset[8][2] = {{-1, -1}, {-1, 0}, {-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}, {0, -1}};
    for (int i = 0; i < N; i++) {
        grey[i] = 100;
    }
    for (int p = 0; p < 8; p++) {
        grey[CENTRE + offset[p][0] * W + offset[p][1]] = (code >> p & 1u) ? 100.0f : 99.0f;
    }
}

static void flat_image_is_code_255(void **state)
{
    (void)state;
    float grey[N], out[N];
    for (int i = 0; i < N; i++) {
        grey[i] = 37;
    }
    for (int interp = 0; interp < 2; interp++) {
        um_lbp_options o = options(UM_LBP_CODE255);
        o.interp = interp;
        OK(um_lbp_texture(out, grey, NULL, H, W, &o));
        for (int i = 0; i < N; i++) {
            assert_true(out[i] == 1.0f);
        }
        o.map = UM_LBP_TRANSITIONS;
        OK(um_lbp_texture(out, grey, NULL, H, W, &o));
        assert_true(out[CENTRE] == 0.0f && out[0] == 0.0f);
    }
}

static void local_maximum_is_code_0(void **state)
{
    (void)state;
    float grey[N];
    set_neighbours(grey, 0);
    assert_true(centre_value(grey, options(UM_LBP_CODE255)) == 0.0f);
    assert_true(centre_value(grey, options(UM_LBP_POPCOUNT)) == 0.0f);
}

static void every_code_maps_by_its_definition(void **state)
{
    (void)state;
    float grey[N];
    for (uint32_t code = 0; code < 256; code++) {
        int ones = 0, changes = 0;
        uint32_t smallest = 255;
        for (int p = 0; p < 8; p++) {
            ones += code >> p & 1u;
            changes += (code >> p & 1u) != (code >> (p + 1) % 8 & 1u);
            const uint32_t turned = (code << p | code >> (8 - p)) & 255u;
            smallest = turned < smallest ? turned : smallest;
        }
        set_neighbours(grey, code);
        NEAR(centre_value(grey, options(UM_LBP_CODE255)), code / 255.0, 1e-6);
        NEAR(centre_value(grey, options(UM_LBP_POPCOUNT)), ones / 8.0, 1e-6);
        NEAR(centre_value(grey, options(UM_LBP_RI)), smallest / 255.0, 1e-6);
        NEAR(centre_value(grey, options(UM_LBP_TRANSITIONS)), changes / 8.0, 1e-6);
        NEAR(centre_value(grey, options(UM_LBP_UNIFORM_IDX)), (changes <= 2 ? ones : 9) / 9.0, 1e-6);
        assert_true(centre_value(grey, options(UM_LBP_ONES)) == 1.0f);
    }
}

static float clamped(const float *g, int64_t y, int64_t x)
{
    y = y < 0 ? 0 : y >= H ? H - 1 : y;
    x = x < 0 ? 0 : x >= W ? W - 1 : x;
    return g[y * W + x];
}

static double interpolated(const float *g, double y, double x)
{
    const int64_t iy = (int64_t)floor(y), ix = (int64_t)floor(x);
    const double fy = y - (double)iy, fx = x - (double)ix;
    return (1 - fy) * ((1 - fx) * clamped(g, iy, ix) + fx * clamped(g, iy, ix + 1)) +
           fy * ((1 - fx) * clamped(g, iy + 1, ix) + fx * clamped(g, iy + 1, ix + 1));
}

static void circles_match_a_direct_evaluation(void **state)
{
    (void)state;
    float grey[N], out[N];
    for (int i = 0; i < N; i++) {
        grey[i] = (float)pattern(i, 8);
    }
    const struct {
        int p;
        double r;
    } cases[] = {{8, 1}, {4, 1.5}, {16, 2}, {24, 3}, {1, 0.5}, {12, 4.2}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const um_lbp_options o = {UM_LBP_CODE255, cases[k].p, cases[k].r, UM_LBP_CIRCULAR_BILINEAR, UM_LBP_FIXED, 0};
        OK(um_lbp_texture(out, grey, NULL, H, W, &o));
        for (int64_t i = 0; i < N; i++) {
            uint32_t code = 0;
            for (int p = 0; p < cases[k].p; p++) {
                const double a = 2 * M_PI * p / cases[k].p;
                const double v = interpolated(grey, (double)(i / W) - cases[k].r * sin(a), (double)(i % W) + cases[k].r * cos(a));
                code |= (uint32_t)(v >= (double)grey[i] - 1e-6) << p;
            }
            NEAR(out[i], code / (double)((1u << cases[k].p) - 1), 1e-6);
        }
    }
}

static void variance_saturates_at_its_percentile(void **state)
{
    (void)state;
    float grey[N], out[N];
    uint8_t roi[N] = {0};
    for (int i = 0; i < N; i++) {
        grey[i] = 50;
    }
    grey[CENTRE] = 59; /* variance of its 3x3 window: 81 * (1/9 - 1/81) = 8 */
    grey[2] = 53;
    roi[CENTRE] = roi[CENTRE + 1] = 1;
    const um_lbp_options o = options(UM_LBP_VAR);
    OK(um_lbp_texture(out, grey, roi, H, W, &o));
    assert_true(out[CENTRE] == 1.0f);
    NEAR(out[2], 2.0 * 9.0 / 9.0 * (1.0 - 2.0 / 9.0) / 8.0, 1e-5); /* the edge repeats it: two of nine are 3 above */
    assert_true(out[8 * W] == 0.0f);
}

static void norms_use_the_roi(void **state)
{
    (void)state;
    float grey[N], raw[N], out[N];
    uint8_t roi[N] = {0};
    for (int i = 0; i < N; i++) {
        grey[i] = (float)pattern(i, 8);
        roi[i] = i % W > 3 && i % W < 7;
    }
    um_lbp_options o = options(UM_LBP_POPCOUNT);
    OK(um_lbp_texture(raw, grey, roi, H, W, &o));
    float lo = 1, hi = 0;
    for (int i = 0; i < N; i++) {
        lo = roi[i] && raw[i] < lo ? raw[i] : lo;
        hi = roi[i] && raw[i] > hi ? raw[i] : hi;
    }
    o.norm = UM_LBP_ROI_MINMAX;
    OK(um_lbp_texture(out, grey, roi, H, W, &o));
    for (int i = 0; i < N; i++) {
        NEAR(out[i], fmin(1, fmax(0, (raw[i] - lo) / (hi - lo))), 1e-6);
    }
    o.norm = UM_LBP_ROI_MAX;
    OK(um_lbp_texture(out, grey, roi, H, W, &o));
    for (int i = 0; i < N; i++) {
        NEAR(out[i], fmin(1, raw[i] / hi), 1e-6);
    }
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    float grey[N] = {0}, out[N];
    const um_lbp_options p0 = {0, 0, 1, UM_LBP_CIRCULAR_BILINEAR, 0, 0}, p25 = {0, 25, 1, UM_LBP_CIRCULAR_BILINEAR, 0, 0};
    const um_lbp_options r0 = {0, 8, 0, 0, 0, 0}, r17 = {0, 8, 17, 0, 0, 0}, half = {0, 8, 1.5, 0, 0, 0}, p6 = {0, 6, 1, 0, 0, 0};
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &p0), UM_E_CONFIG, "lbp.P = 0");
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &p25), UM_E_CONFIG, "lbp.P = 25");
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &r0), UM_E_CONFIG, "lbp.R = 0");
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &r17), UM_E_CONFIG, "lbp.R = 17");
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &half), UM_E_CONFIG, "circular_bilinear");
    FAILS(um_lbp_texture(out, grey, NULL, H, W, &p6), UM_E_CONFIG, "circular_bilinear");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat_image_is_code_255),
        cmocka_unit_test(local_maximum_is_code_0),
        cmocka_unit_test(every_code_maps_by_its_definition),
        cmocka_unit_test(circles_match_a_direct_evaluation),
        cmocka_unit_test(variance_saturates_at_its_percentile),
        cmocka_unit_test(norms_use_the_roi),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
