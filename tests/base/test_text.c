/* Growing text, parses with refusals, nearest names. */
#include "base/text.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void test_text_grows(void **state)
{
    (void)state;
    um_text t = {0};
    assert_string_equal(um_text_get(&t), "");
    assert_int_equal(um_text_add(&t, "%s", ""), UM_OK);
    assert_string_equal(um_text_get(&t), "");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(um_text_add(&t, "%03d,", i), UM_OK);
    assert_int_equal(t.n, 4000);
    assert_int_equal(strlen(um_text_get(&t)), 4000);
    assert_memory_equal(um_text_get(&t) + 3996, "999,", 4);
    um_text_free(&t);
    assert_null(t.data);
    um_text_free(&t);
}

static void test_parse_int(void **state)
{
    (void)state;
    int64_t x = 5;
    assert_true(um_text_parse_int("-12", &x) && x == -12);
    assert_true(um_text_parse_int("+7", &x) && x == 7);
    assert_true(um_text_parse_int("9223372036854775807", &x) && x == INT64_MAX);
    static const char *const bad[] = {"", " 3", "3 ", "3x", "x", "0x10", "1.5", "1e3", "--3", "+-3", "9223372036854775808", "-"};
    for (size_t i = 0; i < UM_COUNT(bad); i++) {
        x = 5;
        assert_false(um_text_parse_int(bad[i], &x));
        assert_int_equal(x, 5);
    }
}

static void test_parse_real(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {{"4/255", 4.0 / 255}, {"0.4/255", 0.4 / 255}, {"1e-4", 1e-4},     {"-2.5", -2.5},
                {"+.5", 0.5},         {"3", 3},               {"1e-310", 1e-310}};
    double x = 0;
    for (size_t i = 0; i < UM_COUNT(good); i++) {
        assert_true(um_text_parse_real(good[i].text, &x));
        assert_true(x == good[i].value);
    }
    static const char *const bad[] = {"",    " 3",  "3 ",  "3x",    "1/0",    "1/0.0", "/2",     "2/",     "1/2/3", "1/ 2",
                                      "inf", "nan", "0x1", "1e999", "1e-999", "e",     "1.2.3", "1e300/1e-300", "."};
    for (size_t i = 0; i < UM_COUNT(bad); i++) {
        x = 5;
        assert_false(um_text_parse_real(bad[i], &x));
        assert_true(x == 5);
    }
}

static void test_parse_bool(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    bool x = false;
    for (size_t i = 0; i < 4; i++) {
        assert_true(um_text_parse_bool(yes[i], &x) && x);
        assert_true(um_text_parse_bool(no[i], &x) && !x);
    }
    assert_false(um_text_parse_bool("", &x));
    assert_false(um_text_parse_bool("truex", &x));
    assert_false(um_text_parse_bool("2", &x));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"unet", "attention_unet", "unetpp", "transunet"};
    static const struct {
        const char *query, *expected;
    } cases[] = {{"unte", "unet"},        {"Unet", "unet"},       {"unet_pp", "unetpp"}, {"atention_unet", "attention_unet"},
                 {"trans_unet", "transunet"}, {"unet", "unet"}};
    for (size_t i = 0; i < UM_COUNT(cases); i++)
        assert_string_equal(um_text_nearest(cases[i].query, names, 4), cases[i].expected);
    assert_null(um_text_nearest("resnet50_deep", names, 4));
    assert_null(um_text_nearest("", names, 4));
    assert_null(um_text_nearest("unet", names, 0));
    char longer[500];
    memset(longer, 'u', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(um_text_nearest(longer, names, 4));
    static const char *const short_names[] = {"em", "tap", "ar"};
    assert_string_equal(um_text_nearest("ra", short_names, 3), "ar"); /* a swap is one step */
    const char *const with_longer[] = {longer, "unet"};
    assert_string_equal(um_text_nearest("unt", with_longer, 2), "unet");
}

static void test_ends_with_and_hash(void **state)
{
    (void)state;
    assert_true(um_text_ends_with("a.h5", ".h5"));
    assert_true(um_text_ends_with("a.h5", ""));
    assert_false(um_text_ends_with("h5", ".h5"));
    assert_false(um_text_ends_with("a.h5.part", ".h5"));
    assert_true(um_text_hash("") == 0xcbf29ce484222325u);
    assert_true(um_text_hash("a") == 0xaf63dc4c8601ec8cu);
    assert_true(um_text_hash("foobar") == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows),    cmocka_unit_test(test_parse_int), cmocka_unit_test(test_parse_real),
        cmocka_unit_test(test_parse_bool),    cmocka_unit_test(test_nearest),   cmocka_unit_test(test_ends_with_and_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
