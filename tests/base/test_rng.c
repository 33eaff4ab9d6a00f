/* Philox known answers (random123, tests/kat_vectors), distributions, permutations. */
#include "base/rng.h"

#include "base/mem.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 200000 };

static void test_philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        uint32_t out[4];
        um_philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].expected, sizeof out);
    }
}

static void test_words_use_every_argument(void **state)
{
    (void)state;
    uint32_t base[4], out[4], expected[4];
    uint32_t key[2] = {0x89abcdef, 0x01234567u ^ (uint32_t)UM_RNG_SPLIT * 0x9E3779B9u}, counter[4] = {1, 3, 2, 4};
    um_philox4x32(counter, key, expected);
    um_rng_words(0x0123456789abcdef, UM_RNG_SPLIT, 1, 0x200000003, 4, base);
    assert_memory_equal(base, expected, sizeof base);
    um_rng_words(0x1123456789abcdef, UM_RNG_SPLIT, 1, 0x200000003, 4, out);
    assert_memory_not_equal(base, out, sizeof base);
    um_rng_words(0x0123456789abcdef, UM_RNG_LIMIT, 1, 0x200000003, 4, out);
    assert_memory_not_equal(base, out, sizeof base);
    um_rng_words(0x0123456789abcdef, UM_RNG_SPLIT, 1, 0x300000003, 4, out);
    assert_memory_not_equal(base, out, sizeof base);
}

static void test_unit_range(void **state)
{
    (void)state;
    assert_true(um_rng_unit(0) == 0.0f);
    assert_true(um_rng_unit(~0u) < 1.0f);
    assert_true(um_rng_unit(1u << 31) == 0.5f);
}

static void moments(const float *x, int n, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *variance = squares / n;
}

/* Chi-square of counts over equally likely bins; 63 degrees of freedom: mean 63, sd 11.2, so 110 is beyond 4 sd. */
static double chi_square_64(const int counts[64], int n)
{
    double chi = 0, expected = n / 64.0;
    for (int i = 0; i < 64; i++)
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    return chi;
}

static void test_uniform_distribution(void **state)
{
    (void)state;
    float *x = NULL;
    double mean, variance;
    int counts[64] = {0};
    assert_int_equal(UM_NEW_ARRAY(x, N), UM_OK);
    um_rng_fill_uniform(x, N, -2, 6, 1, UM_RNG_TEST, 0, 0);
    moments(x, N, &mean, &variance);
    assert_true(fabs(mean - 2) < 5 * sqrt(64.0 / 12 / N)); /* five standard errors */
    assert_true(fabs(variance / (64.0 / 12) - 1) < 0.02);
    for (int i = 0; i < N; i++) {
        assert_true(x[i] >= -2 && x[i] <= 6);
        int bin = (int)((x[i] + 2) * 8);
        counts[bin < 64 ? bin : 63]++;
    }
    assert_true(chi_square_64(counts, N) < 110);
    um_free(x);
}

static void test_normal_distribution(void **state)
{
    (void)state;
    float *x = NULL;
    double mean, variance, lag[3] = {0};
    int counts[64] = {0};
    assert_int_equal(UM_NEW_ARRAY(x, N), UM_OK);
    um_rng_fill_normal(x, N, 3, 2, 7, UM_RNG_TEST, 5, 6);
    moments(x, N, &mean, &variance);
    assert_true(fabs(mean - 3) < 5 * 2 / sqrt(N));
    assert_true(fabs(variance / 4 - 1) < 0.02);
    for (int i = 0; i < N; i++) {
        double z = (x[i] - 3) / 2;
        int bin = (int)(64 * 0.5 * erfc(-z / sqrt(2))); /* the cumulative distribution makes the bins equally likely */
        counts[bin < 64 ? bin : 63]++;
        for (int k = 1; k <= 2 && i >= k; k++)
            lag[k] += z * (x[i - k] - 3) / 2 / N;
    }
    assert_true(chi_square_64(counts, N) < 110);
    assert_true(fabs(lag[1]) < 5 / sqrt(N) && fabs(lag[2]) < 5 / sqrt(N)); /* within and across pairs of words */
    um_free(x);
}

static void test_fills_depend_on_position_only(void **state)
{
    (void)state;
    float a[37], b[10];
    um_rng_fill_uniform(a, 37, 0, 1, 3, UM_RNG_TEST, 1, 2);
    um_rng_fill_uniform(b, 10, 0, 1, 3, UM_RNG_TEST, 1, 2);
    assert_memory_equal(a, b, sizeof b);
    uint32_t words[4];
    um_rng_words(3, UM_RNG_TEST, 9, 1, 2, words);
    assert_true(a[36] == um_rng_unit(words[0]));
    um_rng_fill_normal(a, 37, 0, 1, 3, UM_RNG_TEST, 1, 2);
    um_rng_fill_normal(b, 9, 0, 1, 3, UM_RNG_TEST, 1, 2);
    assert_memory_equal(a, b, 9 * sizeof *b);
}

static void test_permutation_holds_every_index_once(void **state)
{
    (void)state;
    int64_t out[1000];
    char seen[1000] = {0};
    int in_place = 0;
    assert_int_equal(um_rng_permutation(out, NULL, 1000, 1, UM_RNG_TEST, 0), UM_OK);
    for (int i = 0; i < 1000; i++) {
        assert_in_range(out[i], 0, 999);
        assert_int_equal(seen[out[i]]++, 0);
        in_place += out[i] == i;
    }
    assert_true(in_place < 10);
    int64_t other[1000];
    assert_int_equal(um_rng_permutation(other, NULL, 1000, 1, UM_RNG_TEST, 1), UM_OK);
    assert_memory_not_equal(out, other, sizeof out);
    assert_int_equal(um_rng_permutation(out, NULL, 0, 1, UM_RNG_TEST, 0), UM_OK);
    assert_int_equal(um_rng_permutation(out, NULL, -1, 1, UM_RNG_TEST, 0), UM_E_BUG);
}

static void test_permutation_of_ids_ignores_file_order(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    uint64_t keys[COUNT], reversed[COUNT];
    int64_t a[COUNT], b[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        snprintf(id, sizeof id, "benign (%d)", i);
        keys[i] = reversed[COUNT - 1 - i] = um_text_hash(id);
    }
    assert_int_equal(um_rng_permutation(a, keys, COUNT, 9, UM_RNG_SPLIT, 0), UM_OK);
    assert_int_equal(um_rng_permutation(b, reversed, COUNT, 9, UM_RNG_SPLIT, 0), UM_OK);
    for (int i = 0; i < COUNT; i++)
        assert_true(keys[a[i]] == reversed[b[i]]);
}

static void test_permutation_breaks_ties_by_index(void **state)
{
    (void)state;
    uint64_t keys[50] = {0};
    int64_t out[50];
    assert_int_equal(um_rng_permutation(out, keys, 50, 9, UM_RNG_SPLIT, 0), UM_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(out[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_words_use_every_argument),
        cmocka_unit_test(test_unit_range),
        cmocka_unit_test(test_uniform_distribution),
        cmocka_unit_test(test_normal_distribution),
        cmocka_unit_test(test_fills_depend_on_position_only),
        cmocka_unit_test(test_permutation_holds_every_index_once),
        cmocka_unit_test(test_permutation_of_ids_ignores_file_order),
        cmocka_unit_test(test_permutation_breaks_ties_by_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
