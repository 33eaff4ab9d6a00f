#include "image_test.h"

#include "image/contour.h"

enum { H = 13, W = 17, N = H * W };

static int in_element(int se, int64_t r, int64_t dy, int64_t dx)
{
    const int64_t ay = llabs(dy), ax = llabs(dx);
    switch (se) {
    case UM_CONTOUR_SQUARE:
        return ay <= r && ax <= r;
    case UM_CONTOUR_CROSS:
        return (dy == 0 && ax <= r) || (dx == 0 && ay <= r);
    default:
        return dy * dy + dx * dx <= r * r;
    }
}

static int at(const uint8_t *m, int64_t y, int64_t x, int outside)
{
    return y < 0 || x < 0 || y >= H || x >= W ? outside : m[y * W + x] != 0;
}

/* Dilation (want 1) or erosion (want 0) by its definition: is there a pixel of value `want` under the element? */
static int meets(const uint8_t *m, int64_t y, int64_t x, int want, int outside, int se, int64_t r)
{
    for (int64_t dy = -r; dy <= r; dy++) {
        for (int64_t dx = -r; dx <= r; dx++) {
            if (in_element(se, r, dy, dx) && at(m, y + dy, x + dx, outside) == want) {
                return 1;
            }
        }
    }
    return 0;
}

static void expected_map(uint8_t *out, const uint8_t *m, const um_contour_options *o)
{
    const int ignore = o->border == UM_CONTOUR_IGNORE;
    uint8_t line[N];
    for (int64_t i = 0; i < N; i++) {
        line[i] = m[i] && meets(m, i / W, i % W, 0, ignore, UM_CONTOUR_CROSS, 1);
    }
    for (int64_t i = 0; i < N; i++) {
        const int d = meets(m, i / W, i % W, 1, 0, o->se, o->radius), e = !meets(m, i / W, i % W, 0, ignore, o->se, o->radius);
        const int y = m[i] != 0;
        out[i] = (uint8_t)(o->mode == UM_CONTOUR_STRADDLE ? d && !e
                           : o->mode == UM_CONTOUR_INNER  ? y && !e
                           : o->mode == UM_CONTOUR_OUTER  ? d && !y
                                                          : meets(line, i / W, i % W, 1, 0, o->se, o->radius - 1));
    }
}

static int64_t count(const uint8_t *m, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += m[i];
    }
    return sum;
}

static void block_of_the_specification(void **state)
{
    (void)state;
    uint8_t mask[100] = {0}, contour[100], interior[100];
    for (int y = 3; y < 7; y++) {
        memset(mask + 10 * y + 3, 1, 4);
    }
    OK(um_contour_map(contour, mask, 10, 10, &(um_contour_options){UM_CONTOUR_STRADDLE, 1, UM_CONTOUR_SQUARE, UM_CONTOUR_IGNORE}));
    um_contour_interior(interior, mask, contour, 100);
    assert_int_equal(count(contour, 100), 32);
    assert_int_equal(count(interior, 100), 4);
    assert_int_equal(interior[44] + interior[45] + interior[54] + interior[55], 4);
}

/* A blob that touches two sides of the frame, a lone pixel, a hole. */
static void make_mask(uint8_t *m)
{
    memset(m, 0, N);
    for (int64_t y = 0; y < 8; y++) {
        memset(m + y * W, 255, (size_t)(9 - y / 2));
    }
    m[3 * W + 3] = 0;
    m[10 * W + 14] = 1;
}

static void every_setting_matches_the_definition(void **state)
{
    (void)state;
    uint8_t mask[N], got[N], want[N];
    make_mask(mask);
    for (int mode = 0; mode < 4; mode++) {
        for (int se = 0; se < 3; se++) {
            for (int border = 0; border < 2; border++) {
                for (int64_t radius = 1; radius <= 5; radius++) {
                    const um_contour_options o = {mode, radius, se, border};
                    OK(um_contour_map(got, mask, H, W, &o));
                    expected_map(want, mask, &o);
                    assert_memory_equal(got, want, N);
                }
            }
        }
    }
}

static void the_frame_counts_only_when_asked(void **state)
{
    (void)state;
    uint8_t mask[N], got[N];
    memset(mask, 1, N);
    OK(um_contour_map(got, mask, H, W, &(um_contour_options){UM_CONTOUR_STRADDLE, 2, UM_CONTOUR_SQUARE, UM_CONTOUR_IGNORE}));
    assert_int_equal(count(got, N), 0);
    OK(um_contour_map(got, mask, H, W, &(um_contour_options){UM_CONTOUR_STRADDLE, 2, UM_CONTOUR_SQUARE, UM_CONTOUR_COUNT}));
    assert_int_equal(count(got, N), N - (H - 4) * (W - 4));
}

static void a_radius_out_of_range_is_refused(void **state)
{
    (void)state;
    uint8_t mask[N] = {0}, got[N];
    FAILS(um_contour_map(got, mask, H, W, &(um_contour_options){0, 0, 0, 0}), UM_E_CONFIG, "contour.radius = 0");
    FAILS(um_contour_map(got, mask, H, W, &(um_contour_options){0, 65, 0, 0}), UM_E_CONFIG, "1..64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_of_the_specification),
        cmocka_unit_test(every_setting_matches_the_definition),
        cmocka_unit_test(the_frame_counts_only_when_asked),
        cmocka_unit_test(a_radius_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
