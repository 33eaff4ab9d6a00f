/* The error idiom: message, trace, exit codes. */
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static um_status decide(int value)
{
    return value == 0 ? UM_OK : um_fail(UM_E_DATA, "row %d of scan.h5 is empty; import it again", value);
}

static um_status pass_on(int value, int *out)
{
    um_status rc = UM_OK;
    UM_TRY(decide(value));
    *out = 7;
done:
    return rc;
}

static um_status deep(int levels)
{
    um_status rc = UM_OK;
    UM_TRY(levels == 0 ? um_fail(UM_E_NUMERIC, "loss is nan") : deep(levels - 1));
done:
    return rc;
}

static um_status check_positive(int x)
{
    um_status rc = UM_OK;
    UM_REQUIRE(x > 0);
done:
    return rc;
}

static void trace_of(char *out, size_t bytes)
{
    FILE *file = fmemopen(out, bytes, "w");
    assert_non_null(file);
    um_error_print_trace(file);
    fclose(file);
}

static void test_fail_keeps_code_and_message(void **state)
{
    (void)state;
    int out = 1;
    um_error_clear();
    assert_int_equal(pass_on(0, &out), UM_OK);
    assert_int_equal(out, 7);
    assert_string_equal(um_error_text(), "");
    out = 1;
    assert_int_equal(pass_on(3, &out), UM_E_DATA);
    assert_int_equal(out, 1);
    assert_string_equal(um_error_text(), "row 3 of scan.h5 is empty; import it again");
}

static void test_later_error_replaces_and_may_quote_the_first(void **state)
{
    (void)state;
    int out = 0;
    pass_on(3, &out);
    um_fail(UM_E_IO, "cell 5: %s", um_error_text());
    assert_string_equal(um_error_text(), "cell 5: row 3 of scan.h5 is empty; import it again");
    um_error_clear();
    assert_string_equal(um_error_text(), "");
}

static void test_long_message_is_cut_with_dots(void **state)
{
    (void)state;
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    um_fail(UM_E_DATA, "%s", longer);
    assert_int_equal(strlen(um_error_text()), 1023);
    assert_string_equal(um_error_text() + 1018, "xx...");
}

static void test_trace_names_places_innermost_first(void **state)
{
    (void)state;
    char text[4096] = "";
    int out = 0;
    pass_on(3, &out);
    trace_of(text, sizeof text);
    char *first = strstr(text, "  at base/test_status.c:"), *second = strstr(text, "decide(value)");
    assert_ptr_equal(first, text);
    assert_non_null(second);
    assert_non_null(strstr(text, ": data\n"));
    assert_true(strstr(text, ": data\n") < second);
    um_error_clear();
    memset(text, 0, sizeof text);
    trace_of(text, sizeof text);
    assert_string_equal(text, "");
}

static void test_trace_is_bounded(void **state)
{
    (void)state;
    char text[4096] = "";
    int lines = 0;
    assert_int_equal(deep(40), UM_E_NUMERIC);
    trace_of(text, sizeof text);
    for (char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 17);
    assert_non_null(strstr(text, "and 26 more"));
}

static void test_require_reports_a_bug(void **state)
{
    (void)state;
    assert_int_equal(check_positive(1), UM_OK);
    assert_int_equal(check_positive(-1), UM_E_BUG);
    assert_string_equal(um_error_text(), "internal check failed: x > 0");
}

static void test_exit_codes(void **state)
{
    (void)state;
    static const struct {
        um_status code;
        int exit_code;
        const char *name;
    } cases[] = {
        {UM_OK, 0, "ok"},           {UM_E_USAGE, 64, "usage"},         {UM_E_CONFIG, 64, "config"},
        {UM_E_DATA, 65, "data"},    {UM_E_NUMERIC, 3, "numeric"},      {UM_E_UNSUPPORTED, 64, "unsupported"},
        {UM_E_MEMORY, 70, "memory"}, {UM_E_DEVICE, 70, "device"},      {UM_E_IO, 74, "io"},
        {UM_E_STOPPED, 75, "stopped"}, {UM_E_COMM, 76, "comm"},        {UM_E_PARTIAL, 3, "partial"},
        {UM_E_BUG, 70, "bug"},      {(um_status)99, 70, "unknown"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(um_status_exit(cases[i].code), cases[i].exit_code);
        assert_string_equal(um_status_name(cases[i].code), cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_keeps_code_and_message),
        cmocka_unit_test(test_later_error_replaces_and_may_quote_the_first),
        cmocka_unit_test(test_long_message_is_cut_with_dots),
        cmocka_unit_test(test_trace_names_places_innermost_first),
        cmocka_unit_test(test_trace_is_bounded),
        cmocka_unit_test(test_require_reports_a_bug),
        cmocka_unit_test(test_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
