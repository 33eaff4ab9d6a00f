/* image/enlarge.h: what comes back when the image is resized, and what the difference never exceeds. */
#include "image_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "image/enlarge.h"
#include "image/resize.h"

enum { LARGE = 150, SMALL = 64, N = SMALL * SMALL, M = LARGE * LARGE };

static float small[N], out[M];

/* One pixel in nine differs, by -4/255 to 4/255: as sparse as contours and texture are. */
static void sparse(float *to, int64_t n)
{
    um_rng_fill_uniform(to, n, -4.0F / 255, 4.0F / 255, 3, UM_RNG_BENCH, 0, 0);
    for (int64_t i = 0; i < n; i++)
        to[i] = i * 2654435761u % 9 == 0 ? to[i] : 0;
}

/* In 16 bits around the middle, so that resizing rounds hardly anything: the difference that is left. */
static void resized(float *to, const float *d, int64_t h, int64_t w, int64_t h_to, int64_t w_to, int64_t c)
{
    uint16_t *large = NULL, *little = NULL;
    OK(UM_NEW_ARRAY(large, h * w * c));
    OK(UM_NEW_ARRAY(little, h_to * w_to * c));
    for (int64_t i = 0; i < h * w * c; i++)
        large[i] = (uint16_t)lrint(32768 + 65535.0 * (double)d[i]);
    OK(um_resize(little, h_to, w_to, large, h, w, c, 16, UM_RESIZE_BILINEAR));
    for (int64_t i = 0; i < h_to * w_to * c; i++)
        to[i] = (float)((little[i] - 32768) / 65535.0);
    um_free(large);
    um_free(little);
}

static double lost(const float *back, const float *want, int64_t n)
{
    double missing = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        missing += pow((double)back[i] - (double)want[i], 2);
        all += pow((double)want[i], 2);
    }
    return sqrt(missing / all);
}

static float largest(const float *v, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(v[i]));
    return most;
}

/* Interpolation alone loses 0.78 of such a perturbation (and the same of BUSI's). */
static void most_of_it_comes_back(void **state)
{
    (void)state;
    static float back[N];
    sparse(small, N);
    OK(um_enlarge(out, LARGE, LARGE, small, SMALL, SMALL, 1, NULL));
    assert_true(largest(out, M) <= largest(small, N));
    resized(back, out, LARGE, LARGE, SMALL, SMALL, 1);
    assert_true(lost(back, small, N) < 0.5);
}

/* A hundredth of what the bound allows: then nothing is lost but what resizing cannot show. */
static void all_of_it_comes_back_where_there_is_room(void **state)
{
    (void)state;
    static float back[N];
    sparse(small, N);
    for (int i = 0; i < N; i++)
        small[i] *= 0.2F;
    small[0] = 1;
    OK(um_enlarge(out, LARGE, LARGE, small, SMALL, SMALL, 1, NULL));
    resized(back, out, LARGE, LARGE, SMALL, SMALL, 1);
    small[0] = back[0] = 0; /* it makes the room */
    small[1] = back[1] = small[SMALL] = back[SMALL] = small[SMALL + 1] = back[SMALL + 1] = 0;
    assert_true(lost(back, small, N) < 0.1);
}

/* No single pixel can be moved within the bound so that more comes back. */
static void no_neighbour_is_nearer(void **state)
{
    (void)state;
    enum { H = 9, W = 11, h = 4, w = 5 };
    float in[h * w], d[H * W], back[h * w];
    um_rng_fill_uniform(in, h * w, -0.1F, 0.1F, 5, UM_RNG_BENCH, 0, 0);
    OK(um_enlarge(d, H, W, in, h, w, 1, NULL));
    resized(back, d, H, W, h, w, 1);
    double best = lost(back, in, h * w);
    for (int i = 0; i < H * W; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float old = d[i];
            d[i] = fminf(fmaxf(old + (float)sign * 0.02F, -largest(in, h * w)), largest(in, h * w));
            resized(back, d, H, W, h, w, 1);
            assert_true(lost(back, in, h * w) > best - 2e-3);
            d[i] = old;
        }
}

static void images_stay_in_their_range(void **state)
{
    (void)state;
    float *image = NULL;
    sparse(small, N);
    OK(UM_NEW_ARRAY(image, M));
    for (int i = 0; i < M; i++)
        image[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 0.5F;
    OK(um_enlarge(out, LARGE, LARGE, small, SMALL, SMALL, 1, image));
    for (int i = 0; i < M; i++)
        assert_true(image[i] + out[i] >= 0 && image[i] + out[i] <= 1);
    um_free(image);
}

/* Three channels are three problems; a flat difference stays flat, whatever the sizes; the same size is a copy. */
static void plain_cases(void **state)
{
    (void)state;
    float in[5 * 7 * 3], d[13 * 10 * 3], one[5 * 7], alone[13 * 10];
    um_rng_fill_uniform(in, 5 * 7 * 3, -0.1F, 0.1F, 7, UM_RNG_BENCH, 0, 0);
    in[0] = in[1] = in[2] = 0.1F; /* one bound for all */
    OK(um_enlarge(d, 13, 10, in, 5, 7, 3, NULL));
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 5 * 7; i++)
            one[i] = in[3 * i + k];
        OK(um_enlarge(alone, 13, 10, one, 5, 7, 1, NULL));
        for (int i = 0; i < 13 * 10; i++)
            assert_true(alone[i] == d[3 * i + k]);
    }
    OK(um_enlarge(d, 5, 7, in, 5, 7, 3, NULL));
    assert_memory_equal(d, in, sizeof in);
    for (int i = 0; i < 5 * 7; i++)
        one[i] = 0.05F;
    OK(um_enlarge(alone, 13, 10, one, 5, 7, 1, NULL));
    for (int i = 0; i < 13 * 10; i++)
        NEAR(alone[i], 0.05, 1e-6);
    OK(um_enlarge(alone, 3, 2, one, 5, 7, 1, NULL)); /* and smaller */
    for (int i = 0; i < 3 * 2; i++)
        NEAR(alone[i], 0.05, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_of_it_comes_back),
        cmocka_unit_test(all_of_it_comes_back_where_there_is_room),
        cmocka_unit_test(no_neighbour_is_nearer),
        cmocka_unit_test(images_stay_in_their_range),
        cmocka_unit_test(plain_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
