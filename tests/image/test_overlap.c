#include "image_test.h"

#include <math.h>

#include "image/metric.h"

static void counts_of_the_specification(void **state)
{
    (void)state;
    const um_confusion c = {.tp = 30, .fp = 10, .fn = 20, .tn = 7};
    NEAR(um_confusion_dsc(&c), 2.0 / 3.0, 1e-12);
    NEAR(um_confusion_jaccard(&c), 0.5, 1e-12);
}

static void empty_masks(void **state)
{
    (void)state;
    const um_confusion both = {.tn = 5}, missed = {.fn = 3, .tn = 2}, invented = {.fp = 3, .tn = 2};
    assert_true(um_confusion_dsc(&both) == 1 && um_confusion_jaccard(&both) == 1);
    assert_true(um_confusion_dsc(&missed) == 0 && um_confusion_jaccard(&missed) == 0);
    assert_true(um_confusion_dsc(&invented) == 0 && um_confusion_jaccard(&invented) == 0);
}

static void counting(void **state)
{
    (void)state;
    const uint8_t predicted[] = {1, 1, 0, 0, 255, 0}, truth[] = {1, 0, 1, 0, 1, 0};
    const float logits[] = {0.0f, 2.0f, -0.001f, (float)NAN, 1e30f, -5};
    const um_confusion a = um_confusion_of_masks(predicted, truth, 6), b = um_confusion_of_logits(logits, truth, 6);
    assert_true(a.tp == 2 && a.fp == 1 && a.fn == 1 && a.tn == 2);
    assert_memory_equal(&a, &b, sizeof a);
}

/* Five images, batches of two: {0,1} {2,3} {4}. */
static void three_aggregations(void **state)
{
    (void)state;
    const um_confusion c[5] = {{.tp = 8, .fp = 2}, {.tp = 1, .fn = 3}, {.fn = 4}, {.tn = 9}, {.tp = 5, .fp = 5, .fn = 5}};
    const um_overlap pooled = um_overlap_of(c, 5, UM_AGGREGATE_POOLED, 0), image = um_overlap_of(c, 5, UM_AGGREGATE_IMAGE, 0);
    const um_overlap batch = um_overlap_of(c, 5, UM_AGGREGATE_BATCH, 2), whole = um_overlap_of(c, 5, UM_AGGREGATE_BATCH, 32);
    NEAR(pooled.dsc, 28.0 / (28 + 7 + 12), 1e-12);
    NEAR(pooled.jaccard, 14.0 / (14 + 7 + 12), 1e-12);
    NEAR(image.dsc, (16.0 / 18 + 2.0 / 5 + 0 + 1 + 0.5) / 5, 1e-12);
    NEAR(image.jaccard, (0.8 + 0.25 + 0 + 1 + 1.0 / 3) / 5, 1e-12);
    NEAR(batch.dsc, (18.0 / 23 + 0 + 0.5) / 3, 1e-12);
    NEAR(batch.jaccard, (9.0 / 14 + 0 + 1.0 / 3) / 3, 1e-12);
    assert_memory_equal(&whole, &pooled, sizeof pooled);
    assert_true(isnan(um_overlap_of(c, 0, UM_AGGREGATE_IMAGE, 0).dsc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_of_the_specification),
        cmocka_unit_test(empty_masks),
        cmocka_unit_test(counting),
        cmocka_unit_test(three_aggregations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
