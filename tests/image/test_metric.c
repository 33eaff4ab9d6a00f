#include "image_test.h"

#include <math.h>

#include "image/metric.h"

enum { H = 19, W = 23, PIXELS = H * W };

static um_pixels view(const void *data, int64_t c, int bits)
{
    return (um_pixels){data, H, W, c, bits};
}

static void psnr_of_the_specification(void **state)
{
    (void)state;
    uint8_t a[PIXELS], b[PIXELS];
    um_difference d;
    const um_pixels va = {a, 2, 50, 1, 8}, vb = {b, 2, 50, 1, 8};
    memset(a, 100, sizeof a);
    memset(b, 104, sizeof b);
    OK(um_metric_difference(&d, &va, &vb, NULL));
    NEAR(d.psnr, 36.0896, 5e-5);
    NEAR(d.linf, 4 / 255.0, 1e-12);
    NEAR(d.l2, 4 / 255.0 * 10, 1e-12);
    assert_true(d.changed == 1.0 && isnan(d.psnr_roi));
    memset(b, 100, 50);
    OK(um_metric_difference(&d, &va, &vb, NULL));
    NEAR(d.psnr, 39.0999, 5e-5);
    assert_true(d.changed == 0.5);
    OK(um_metric_difference(&d, &va, &va, NULL));
    assert_true(isinf(d.psnr) && d.mse == 0 && d.changed == 0);
}

static void differences_match_a_double_loop(void **state)
{
    (void)state;
    uint16_t a[PIXELS * 3], b[PIXELS * 3];
    uint8_t mask[PIXELS];
    double sum = 0, roi = 0, n_roi = 0;
    for (int i = 0; i < PIXELS * 3; i++) {
        a[i] = (uint16_t)pattern(i, 16);
        b[i] = (uint16_t)(i % 5 < 2 ? a[i] : pattern(i + 7, 16));
    }
    for (int i = 0; i < PIXELS; i++) {
        mask[i] = i % 7 == 0;
        for (int c = 0; c < 3; c++) {
            const double d = (a[3 * i + c] - b[3 * i + c]) / 65535.0;
            sum += d * d;
            roi += mask[i] ? d * d : 0;
            n_roi += mask[i];
        }
    }
    um_difference d;
    const um_pixels va = view(a, 3, 16), vb = view(b, 3, 16);
    OK(um_metric_difference(&d, &va, &vb, mask));
    NEAR(d.mse, sum / (PIXELS * 3), 1e-12);
    NEAR(d.psnr_roi, -10 * log10(roi / n_roi), 1e-9);
    NEAR(d.l2, sqrt(sum), 1e-9);
}

static int mirrored(int i, int n)
{
    return i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i;
}

/* SSIM by its definition: a full two-dimensional window at every centre. */
static double naive_ssim(const double *a, const double *b, const uint8_t *mask, const um_ssim_options *o)
{
    const int half = o->window == UM_SSIM_GAUSS11 ? 5 : 3, inset = o->border == UM_SSIM_VALID ? half : 0;
    double total = 0, n = 0;
    for (int y = inset; y < H - inset; y++) {
        for (int x = inset; x < W - inset; x++) {
            double sw = 0, ma = 0, mb = 0, va = 0, vb = 0, vab = 0;
            for (int pass = 0; pass < 2; pass++) {
                for (int dy = -half; dy <= half; dy++) {
                    for (int dx = -half; dx <= half; dx++) {
                        const double w = o->window == UM_SSIM_GAUSS11 ? exp(-(dy * dy + dx * dx) / 4.5) : 1;
                        const int i = mirrored(y + dy, H) * W + mirrored(x + dx, W);
                        if (pass == 0) {
                            sw += w;
                            ma += w * a[i];
                            mb += w * b[i];
                        } else {
                            va += w * (a[i] - ma) * (a[i] - ma);
                            vb += w * (b[i] - mb) * (b[i] - mb);
                            vab += w * (a[i] - ma) * (b[i] - mb);
                        }
                    }
                }
                ma /= pass == 0 ? sw : 1;
                mb /= pass == 0 ? sw : 1;
            }
            const double norm = o->window == UM_SSIM_GAUSS11 ? sw : 48;
            const double s =
                (2 * ma * mb + 1e-4) * (2 * vab / norm + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va / norm + vb / norm + 9e-4));
            if (mask == NULL || mask[y * W + x]) {
                total += s;
                n += 1;
            }
        }
    }
    return total / n;
}

static void ssim_matches_its_definition(void **state)
{
    (void)state;
    uint8_t a[PIXELS * 3], b[PIXELS * 3], mask[PIXELS];
    double pa[3][PIXELS], pb[3][PIXELS], la[PIXELS], lb[PIXELS];
    for (int i = 0; i < PIXELS * 3; i++) {
        a[i] = (uint8_t)pattern(i, 8);
        b[i] = (uint8_t)((3 * a[i] + pattern(i + 11, 8)) / 4);
        pa[i % 3][i / 3] = a[i] / 255.0;
        pb[i % 3][i / 3] = b[i] / 255.0;
    }
    for (int i = 0; i < PIXELS; i++) {
        mask[i] = i % W > 4 && i % W < 14;
        la[i] = 0.299 * pa[0][i] + 0.587 * pa[1][i] + 0.114 * pa[2][i];
        lb[i] = 0.299 * pb[0][i] + 0.587 * pb[1][i] + 0.114 * pb[2][i];
    }
    const um_pixels va = view(a, 3, 8), vb = view(b, 3, 8);
    for (int k = 0; k < 8; k++) {
        const um_ssim_options o = {k & 1, k >> 1 & 1, k >> 2 & 1};
        um_ssim_result r;
        OK(um_metric_ssim(&r, &va, &vb, mask, &o));
        double frame = 0, roi = 0;
        for (int c = 0; c < 3; c++) {
            frame += naive_ssim(o.color == UM_SSIM_LUMA ? la : pa[c], o.color == UM_SSIM_LUMA ? lb : pb[c], NULL, &o) / 3;
            roi += naive_ssim(o.color == UM_SSIM_LUMA ? la : pa[c], o.color == UM_SSIM_LUMA ? lb : pb[c], mask, &o) / 3;
        }
        NEAR(r.frame, frame, 1e-6); /* planes are held in float */
        NEAR(r.roi, roi, 1e-6);
    }
}

static void ssim_of_equal_images_is_1(void **state)
{
    (void)state;
    uint16_t a[PIXELS];
    um_ssim_result r;
    for (int i = 0; i < PIXELS; i++) {
        a[i] = (uint16_t)pattern(i, 16);
    }
    const um_pixels v = view(a, 1, 16);
    OK(um_metric_ssim(&r, &v, &v, NULL, &(um_ssim_options){0}));
    NEAR(r.frame, 1, 1e-12);
    assert_true(isnan(r.roi));
}

static void bad_geometry_is_refused(void **state)
{
    (void)state;
    uint8_t a[PIXELS] = {0};
    um_ssim_result r;
    um_difference d;
    const um_pixels small = {a, 10, 30, 1, 8}, other = {a, 30, 10, 1, 8};
    FAILS(um_metric_ssim(&r, &small, &small, NULL, &(um_ssim_options){0}), UM_E_DATA, "at least 11 x 11");
    FAILS(um_metric_difference(&d, &small, &other, NULL), UM_E_BUG, "a->h == b->h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(psnr_of_the_specification),   cmocka_unit_test(differences_match_a_double_loop),
        cmocka_unit_test(ssim_matches_its_definition), cmocka_unit_test(ssim_of_equal_images_is_1),
        cmocka_unit_test(bad_geometry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
