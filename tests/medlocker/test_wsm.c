/* Acceptance test 3: places that keep off the lesions. */
#include "io/io_fixture.h"

#include "base/rng.h"
#include "medlocker/wsm.h"

static uint32_t draw(uint64_t trial, uint32_t i)
{
    uint32_t words[4];
    um_rng_words(5, UM_RNG_TEST, i, trial, 0, words);
    return words[0];
}

/* 10,000 random sets of boxes: every place that is said to be free is free pixel by pixel, and the others are not. */
static void integral_is_brute_force(void **state)
{
    (void)state;
    enum { H = 14, W = 17 };
    int64_t strict = 0, relaxed = 0, none = 0;
    for (uint64_t trial = 0; trial < 10000; trial++) {
        um_box list[3];
        um_boxes boxes = {list, (int64_t)(draw(trial, 0) % 4)};
        int64_t lh = 1 + draw(trial, 1) % 8, lw = 1 + draw(trial, 2) % 9, least = INT64_MAX;
        for (int64_t i = 0; i < boxes.n; i++) {
            uint32_t r = draw(trial, (uint32_t)(3 + i));
            int64_t y = r % H, x = r / 64 % W;
            list[i] = (um_box){y, x, y + 1 + r / 4096 % (uint32_t)(H - y), x + 1 + r / 65536 % (uint32_t)(W - x)};
        }
        um_places p = {0};
        OK(um_places_find(&p, &boxes, H, W, lh, lw, trial % 2));
        for (int64_t y = 0; y + lh <= H; y++)
            for (int64_t x = 0; x + lw <= W; x++) {
                int64_t overlap = um_boxes_overlap(&boxes, &(um_box){y, x, y + lh, x + lw});
                least = overlap < least ? overlap : least;
                if (p.state == UM_WSM_STRICT)
                    assert_int_equal(p.allowed[y * W + x], overlap == 0);
                else if (p.allowed[y * W + x])
                    assert_in_range(overlap, 1, lh * lw / 20);
            }
        um_wsm_state expected = least == 0 ? UM_WSM_STRICT : trial % 2 && least <= lh * lw / 20 ? UM_WSM_RELAXED : UM_WSM_NONE;
        assert_int_equal(p.state, expected);
        assert_int_equal(p.n > 0, p.state != UM_WSM_NONE);
        strict += p.state == UM_WSM_STRICT, relaxed += p.state == UM_WSM_RELAXED, none += p.state == UM_WSM_NONE;
        um_places_free(&p);
    }
    assert_true(strict > 3000 && none > 300 && relaxed > 3); /* all three were seen */
}

static void boxes_of_masks(void **state)
{
    (void)state;
    static const char *const picture[] = {
        "##........", /* diagonal neighbours are one component; three pixels are too few */
        "..#.......", "...#....#.", "........#.", "........#.", "..........", "......####",
    };
    uint8_t mask[7 * 10];
    for (int i = 0; i < 70; i++)
        mask[i] = picture[i / 10][i % 10] == '#';
    um_boxes b = {0};
    OK(um_boxes_of_mask(&b, mask, 7, 10, 4, 1));
    assert_int_equal(b.n, 2);
    const um_box first = {0, 0, 4, 5}, second = {5, 5, 7, 10};
    assert_memory_equal(&b.list[0], &first, sizeof first);
    assert_memory_equal(&b.list[1], &second, sizeof second);
    um_boxes_free(&b);
}

static void projection_is_nearest(void **state)
{
    (void)state;
    um_box list[] = {{2, 2, 12, 15}, {0, 20, 5, 22}};
    um_boxes boxes = {list, 2};
    um_places p = {0};
    OK(um_places_find(&p, &boxes, 20, 30, 4, 4, false));
    for (int64_t y = -3; y < 23; y++)
        for (int64_t x = -3; x < 33; x++) {
            int64_t cy = y < 0 ? 0 : y > 16 ? 16 : y, cx = x < 0 ? 0 : x > 26 ? 26 : x, best = INT64_MAX, py = y, px = x;
            for (int64_t i = 0; i < p.n; i++) {
                int64_t dy = llabs(p.at[i] / 30 - cy), dx = llabs(p.at[i] % 30 - cx), d = dy > dx ? dy : dx;
                best = d < best ? d : best;
            }
            um_places_project(&p, &py, &px);
            assert_true(p.allowed[py * 30 + px]);
            int64_t dy = llabs(py - cy), dx = llabs(px - cx);
            assert_int_equal(dy > dx ? dy : dx, best);
        }
    um_places_free(&p);
}

/* Marks at every place of an image with lesions leave the boxes as they are. */
static void nothing_inside_boxes(void **state)
{
    (void)state;
    enum { SIDE = 40 };
    um_logo original = {0}, logo = {0};
    um_places p = {0};
    double ratio = 0;
    um_box list[] = {{4, 6, 15, 16}, {20, 22, 34, 35}};
    um_boxes boxes = {list, 2};
    uint8_t clean[SIDE * SIDE], marked[SIDE * SIDE];
    const um_wsm_options o = {.ratio = 4, .ratio_most = 8};
    OK(um_logo_read(&original, ""));
    OK(um_wsm_place(&logo, &p, &original, &boxes, SIDE, SIDE, &o, &ratio));
    assert_int_equal(p.state, UM_WSM_STRICT);
    assert_true(p.n > 50);
    for (int i = 0; i < SIDE * SIDE; i++)
        clean[i] = (uint8_t)(i * 7);
    for (int64_t i = 0; i < p.n; i++) {
        memcpy(marked, clean, sizeof marked);
        OK(um_blend(&(um_bytes){marked, SIDE, SIDE, 1}, &logo, &(um_theta){166, p.at[i] / SIDE, p.at[i] % SIDE}, UM_OPACITY_MUL));
        for (int b = 0; b < 2; b++)
            for (int64_t y = list[b].y0; y < list[b].y1; y++)
                assert_memory_equal(marked + y * SIDE + list[b].x0, clean + y * SIDE + list[b].x0,
                                    (size_t)(list[b].x1 - list[b].x0));
    }
    um_logo_clear(&logo);
    um_places_free(&p);

    um_box most[] = {{0, 0, SIDE, SIDE - 6}}; /* the ladder: only a logo of 6 x 6 fits beside this */
    um_boxes tight = {most, 1};
    OK(um_wsm_place(&logo, &p, &original, &tight, SIDE, SIDE, &o, &ratio));
    assert_int_equal(p.state, UM_WSM_STRICT);
    assert_int_equal(logo.w, 6);
    assert_true(ratio > 6 && ratio < 7.01);
    um_logo_clear(&logo);
    um_places_free(&p);
    most[0].x1 = SIDE;
    OK(um_wsm_place(&logo, &p, &original, &tight, SIDE, SIDE, &o, &ratio));
    assert_int_equal(p.state, UM_WSM_NONE);
    um_logo_clear(&logo);
    um_places_free(&p);
    um_logo_clear(&original);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integral_is_brute_force), cmocka_unit_test(boxes_of_masks), cmocka_unit_test(projection_is_nearest),
        cmocka_unit_test(nothing_inside_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
