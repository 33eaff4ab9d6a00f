/* Memory, clock and thread count. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void test_alloc_is_aligned_and_zeroed(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    for (size_t i = 0; i < UM_COUNT(sizes); i++) {
        unsigned char *p = NULL;
        assert_int_equal(UM_NEW_ARRAY(p, sizes[i]), UM_OK);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(p[k], 0);
        um_free(p);
    }
    um_free(NULL);
}

static void test_alloc_refuses_overflow(void **state)
{
    (void)state;
    int mark = 0;
    void *p = &mark;
    assert_int_equal(um_alloc(&p, SIZE_MAX / 4, 8), UM_E_MEMORY);
    assert_int_equal(um_alloc(&p, SIZE_MAX, 1), UM_E_MEMORY);
    assert_int_equal(um_alloc(&p, (size_t)PTRDIFF_MAX, 1), UM_E_MEMORY);
    assert_ptr_equal(p, &mark);
}

static void test_realloc_keeps_content_and_zeroes_the_rest(void **state)
{
    (void)state;
    int *p = NULL;
    assert_int_equal(UM_GROW(p, 0, 3), UM_OK);
    p[0] = 1, p[1] = 2, p[2] = 3;
    assert_int_equal(UM_GROW(p, 3, 200), UM_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(p[i], i < 3 ? i + 1 : 0);
    int *before = p;
    assert_int_equal(UM_GROW(p, 200, SIZE_MAX / 2), UM_E_MEMORY);
    assert_ptr_equal(p, before);
    assert_int_equal(UM_GROW(p, 200, 2), UM_OK);
    assert_int_equal(p[1], 2);
    um_free(p);
}

static void test_strdup(void **state)
{
    (void)state;
    char *copy = NULL;
    assert_int_equal(um_strdup(&copy, "busi"), UM_OK);
    assert_string_equal(copy, "busi");
    um_free(copy);
}

static void test_clock(void **state)
{
    (void)state;
    double before = um_now();
    assert_true(um_now() >= before);
    char utc[UM_UTC_BYTES];
    um_utc(utc);
    const char *pattern = "dddd-dd-ddTdd:dd:ddZ";
    assert_int_equal(strlen(utc), strlen(pattern));
    for (size_t i = 0; pattern[i]; i++) {
        if (pattern[i] == 'd')
            assert_in_range(utc[i], '0', '9');
        else
            assert_int_equal(utc[i], pattern[i]);
    }
    assert_true(strcmp(utc, "2020-01-01T00:00:00Z") > 0);
}

static void test_threads_follow_rule_environment_and_setting(void **state)
{
    (void)state;
    unsetenv("OMP_NUM_THREADS");
    assert_true(um_cores() >= 1);
    assert_int_equal(um_threads(), um_cores());
    um_threads_set_ranks_on_node(um_cores());
    assert_int_equal(um_threads(), 1);
    um_threads_set_ranks_on_node(100 * um_cores());
    assert_int_equal(um_threads(), 1);
    um_threads_set_ranks_on_node(0);
    setenv("OMP_NUM_THREADS", "3,2", 1);
    assert_int_equal(um_threads(), 3);
    static const char *const senseless[] = {"", "many", "0", "-2", "4x", "99999999999"};
    for (size_t i = 0; i < UM_COUNT(senseless); i++) {
        setenv("OMP_NUM_THREADS", senseless[i], 1);
        assert_int_equal(um_threads(), um_cores());
    }
    setenv("OMP_NUM_THREADS", "3", 1);
    um_threads_set(5);
    assert_int_equal(um_threads(), 5);
    um_threads_set(0);
    assert_int_equal(um_threads(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_is_aligned_and_zeroed),
        cmocka_unit_test(test_alloc_refuses_overflow),
        cmocka_unit_test(test_realloc_keeps_content_and_zeroes_the_rest),
        cmocka_unit_test(test_strdup),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_threads_follow_rule_environment_and_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
