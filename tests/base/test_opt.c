/* Option tables: defaults, every refusal with its text, print and read back, changes, help. */
#include "base/opt.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

typedef struct umed_options {
    double eps, lr, w;
    int64_t radius, batch, seed;
    int mode;
    bool squared;
} umed_options;

typedef struct run_options {
    char name[UM_OPT_TEXT];
    int64_t threads;
} run_options;

static const um_opt UMED_ROWS[] = {
    UM_OPT_REAL_ROW(umed_options, eps, "eps", "4/255", 0, 1, "", "largest change of a pixel"),
    UM_OPT_ENUM_ROW(umed_options, mode, "contour.mode", "straddle", "straddle inner outer canny", "where the contour lies"),
    UM_OPT_INT_ROW(umed_options, radius, "contour.radius", "1", 1, 64, "px", "half width"),
    UM_OPT_INT_ROW(umed_options, batch, "batch", "16", 1, 65536, "", "images per step"),
    UM_OPT_REAL_ROW(umed_options, lr, "adam.lr", "1e-4", 0, 10, "", "step size"),
    UM_OPT_REAL_ROW(umed_options, w, "contour.w", "1", -1e6, 1e6, "", "weight"),
    UM_OPT_INT_ROW(umed_options, seed, "seed", "1", -9e18, 9e18, "", "seed"),
    UM_OPT_BOOL_ROW(umed_options, squared, "squared", "false", "squared denominator"),
};
static const um_opt RUN_ROWS[] = {
    UM_OPT_TEXT_ROW(run_options, name, "name", "", "free text"),
    {"threads", UM_OPT_T_INT, offsetof(run_options, threads), "0", 0, 4096, NULL, "", "0: all", true},
};
static const um_opt_table UMED = UM_OPT_TABLE("umed", umed_options, UMED_ROWS);
static const um_opt_table RUN = UM_OPT_TABLE("run", run_options, RUN_ROWS);
static const um_opt_table *const TABLES[] = {&UMED, &RUN, NULL};

static int create(void **state)
{
    um_settings *s = NULL;
    um_error_clear();
    if (um_settings_create(&s, TABLES) != UM_OK)
        return -1;
    *state = s;
    return 0;
}

static int destroy(void **state)
{
    um_settings_free(*state);
    return 0;
}

static void assert_value(const um_settings *s, const char *key, const char *expected)
{
    um_text t = {0};
    assert_int_equal(um_settings_value(s, key, &t), UM_OK);
    assert_string_equal(um_text_get(&t), expected);
    um_text_free(&t);
}

static void test_defaults(void **state)
{
    const umed_options *o = um_settings_get(*state, "umed");
    const run_options *r = um_settings_get(*state, "run");
    assert_true(o->eps == 4.0 / 255 && o->lr == 1e-4 && o->w == 1);
    assert_true(o->radius == 1 && o->batch == 16 && o->mode == 0 && !o->squared);
    assert_string_equal(r->name, "");
    assert_null(um_settings_get(*state, "umex"));
}

static void test_set_reaches_the_struct(void **state)
{
    um_settings *s = *state;
    const umed_options *o = um_settings_get(s, "umed");
    const run_options *r = um_settings_get(s, "run");
    assert_int_equal(um_settings_set(s, "umed.eps", "8/255", "busi.cfg:3"), UM_OK);
    assert_int_equal(um_settings_set(s, "umed.contour.mode", "canny", "busi.cfg:4"), UM_OK);
    assert_int_equal(um_settings_assign(s, "umed.squared=yes", "--set"), UM_OK);
    assert_int_equal(um_settings_assign(s, " umed.batch =\t32 ", "--set"), UM_OK);
    assert_int_equal(um_settings_assign(s, "run.name=a=b", "--set"), UM_OK);
    assert_true(o->eps == 8.0 / 255 && o->mode == 3 && o->squared && o->batch == 32);
    assert_string_equal(r->name, "a=b");
    assert_int_equal(um_settings_assign(s, "run.name=", "--set"), UM_OK);
    assert_string_equal(r->name, "");
}

static void test_refusals(void **state)
{
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"umed.contur.radius", "2", "unknown key \"umed.contur.radius\" at busi.cfg:12; did you mean \"umed.contour.radius\"?"},
        {"nothing.like.it.here", "2", "unknown key \"nothing.like.it.here\" at busi.cfg:12; --print-config shows all keys"},
        {"umed.contour", "2", "\"umed.contour\" at busi.cfg:12 is a group; set one of its keys, such as \"umed.contour.mode\""},
        {"", "2", "unknown key \"\" at busi.cfg:12; --print-config shows all keys"},
        {"umed.batch", "0", "umed.batch = 0 at busi.cfg:12: must be in [1, 65536]"},
        {"umed.batch", "65537", "umed.batch = 65537 at busi.cfg:12: must be in [1, 65536]"},
        {"umed.batch", "many", "umed.batch = \"many\" at busi.cfg:12: expected an integer"},
        {"umed.batch", "16.0", "umed.batch = \"16.0\" at busi.cfg:12: expected an integer"},
        {"umed.eps", "300/255", "umed.eps = 300/255 at busi.cfg:12: must be in [0, 1]"},
        {"umed.eps", "1/0", "umed.eps = \"1/0\" at busi.cfg:12: expected a number or a fraction such as \"4/255\""},
        {"umed.squared", "maybe", "umed.squared = \"maybe\" at busi.cfg:12: expected true or false"},
        {"umed.contour.mode", "stradle",
         "umed.contour.mode = \"stradle\" at busi.cfg:12: unknown choice; did you mean \"straddle\"? "
         "one of: straddle inner outer canny"},
        {"umed.contour.mode", "zzz",
         "umed.contour.mode = \"zzz\" at busi.cfg:12: unknown choice; one of: straddle inner outer canny"},
        {"umed.contour.mode", "inn", NULL},
        {"umed.contour.mode", "inner outer", NULL},
        {"umed.contour.mode", "", NULL},
        {"run.name", "two\nlines", "run.name at busi.cfg:12: text with a control character; write it on one line"},
    };
    um_text before = {0}, after = {0};
    assert_int_equal(um_settings_print(*state, &before), UM_OK);
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        assert_int_equal(um_settings_set(*state, cases[i].key, cases[i].value, "busi.cfg:12"), UM_E_CONFIG);
        if (cases[i].message)
            assert_string_equal(um_error_text(), cases[i].message);
    }
    assert_int_equal(um_settings_print(*state, &after), UM_OK);
    assert_string_equal(um_text_get(&before), um_text_get(&after));
    um_text_free(&before);
    um_text_free(&after);
}

static void test_text_length_and_assignment_form(void **state)
{
    char longer[UM_OPT_TEXT + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(um_settings_set(*state, "run.name", longer, "--set"), UM_E_CONFIG);
    assert_string_equal(um_error_text(), "run.name at --set: text of 256 bytes; at most 255 are allowed");
    longer[UM_OPT_TEXT - 1] = 0;
    assert_int_equal(um_settings_set(*state, "run.name", longer, "--set"), UM_OK);
    assert_value(*state, "run.name", longer);
    assert_int_equal(um_settings_assign(*state, "umed.batch", "--set"), UM_E_CONFIG);
    assert_string_equal(um_error_text(), "\"umed.batch\" at --set: expected key=value, such as umed.eps=8/255");
}

static void test_canonical_reals(void **state)
{
    static const struct {
        const char *given, *canonical;
    } cases[] = {{"4/255", "4/255"},   {"0.4/255", "0.4/255"}, {"1", "1"},         {"1.0", "1"},   {"1e0", "1"},
                 {"0.0001", "0.0001"}, {"1e-4", "0.0001"},     {"51/255", "0.2"},  {"-0.0", "0"},  {"1e-8", "1e-08"},
                 {"1e6", "1000000"},   {"0.1", "0.1"},         {"255/255", "1"},   {"2/3", "170/255"}};
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        assert_int_equal(um_settings_set(*state, "umed.contour.w", cases[i].given, "test"), UM_OK);
        assert_value(*state, "umed.contour.w", cases[i].canonical);
    }
}

/* Any double comes back with the same bits from its canonical text. */
static void test_reals_round_trip_exactly(void **state)
{
    const umed_options *o = um_settings_get(*state, "umed");
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        char given[64];
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        snprintf(given, sizeof given, "%.17g", (double)(int64_t)x * (i % 2 ? 1e-13 : 1e-19));
        assert_int_equal(um_settings_set(*state, "umed.contour.w", given, "test"), UM_OK);
        double value = o->w;
        um_text t = {0};
        assert_int_equal(um_settings_value(*state, "umed.contour.w", &t), UM_OK);
        assert_int_equal(um_settings_set(*state, "umed.contour.w", um_text_get(&t), "test"), UM_OK);
        assert_true(o->w == value);
        um_text_free(&t);
    }
}

static void set_many(um_settings *s)
{
    static const char *const changes[] = {"umed.eps=8/255",        "umed.contour.mode=outer", "umed.contour.w=3",
                                          "umed.adam.lr=1e-8",     "umed.seed=5000000000",    "umed.squared=true",
                                          "run.name=say \"hi\" \\", "run.threads=4"};
    for (size_t i = 0; i < UM_COUNT(changes); i++)
        assert_int_equal(um_settings_assign(s, changes[i], "test"), UM_OK);
}

static void test_print(void **state)
{
    um_text t = {0};
    set_many(*state);
    assert_int_equal(um_settings_print(*state, &t), UM_OK);
    assert_string_equal(um_text_get(&t), "umed: {\n"
                                         "    eps = \"8/255\";\n"
                                         "    contour: {\n"
                                         "        mode = \"outer\";\n"
                                         "        radius = 1;\n"
                                         "        w = 3.0;\n"
                                         "    };\n"
                                         "    batch = 16;\n"
                                         "    adam: {\n"
                                         "        lr = 1e-08;\n"
                                         "    };\n"
                                         "    seed = 5000000000L;\n"
                                         "    squared = true;\n"
                                         "};\n"
                                         "run: {\n"
                                         "    name = \"say \\\"hi\\\" \\\\\";\n"
                                         "    threads = 4;\n"
                                         "};\n");
    um_text_free(&t);
}

static void unquote(char *s)
{
    char *to = s;
    for (const char *from = s + 1; *from && *from != '"'; from++) {
        if (*from == '\\')
            from++;
        *to++ = *from;
    }
    *to = 0;
}

/* A reader of exactly what um_settings_print writes: one group, end or "name = value;" per line. */
static void read_back(um_settings *s, char *printed)
{
    char prefix[256] = "", key[300];
    for (char *line = strtok(printed, "\n"); line; line = strtok(NULL, "\n")) {
        line += strspn(line, " ");
        size_t n = strlen(line);
        char *value = strstr(line, " = ");
        if (strcmp(line, "};") == 0) {
            prefix[strlen(prefix) - 1] = 0;
            char *dot = strrchr(prefix, '.');
            *(dot ? dot + 1 : prefix) = 0;
        } else if (value) {
            line[n - 1] = *value = 0;
            value += 3;
            if (*value == '"')
                unquote(value);
            else
                value[strcspn(value, "L")] = 0;
            snprintf(key, sizeof key, "%s%s", prefix, line);
            assert_int_equal(um_settings_set(s, key, value, "print"), UM_OK);
        } else {
            assert_string_equal(line + n - 3, ": {");
            strncat(prefix, line, n - 3);
            strcat(prefix, ".");
        }
    }
}

static void test_print_reads_back(void **state)
{
    um_settings *fresh = NULL;
    um_text first = {0}, copy = {0}, second = {0};
    set_many(*state);
    assert_int_equal(um_settings_create(&fresh, TABLES), UM_OK);
    assert_int_equal(um_settings_print(*state, &first), UM_OK);
    assert_int_equal(um_text_add(&copy, "%s", um_text_get(&first)), UM_OK);
    read_back(fresh, copy.data);
    assert_int_equal(um_settings_print(fresh, &second), UM_OK);
    assert_string_equal(um_text_get(&first), um_text_get(&second));
    assert_memory_equal(um_settings_get(fresh, "umed"), um_settings_get(*state, "umed"), sizeof(umed_options));
    assert_memory_equal(um_settings_get(fresh, "run"), um_settings_get(*state, "run"), sizeof(run_options));
    um_text_free(&first);
    um_text_free(&copy);
    um_text_free(&second);
    um_settings_free(fresh);
}

static void assert_changes(const um_settings *s, const char *groups, const char *expected)
{
    um_text t = {0};
    assert_int_equal(um_settings_changes(s, groups, &t), UM_OK);
    assert_string_equal(um_text_get(&t), expected);
    um_text_free(&t);
}

static void test_changes(void **state)
{
    um_settings *s = *state;
    assert_changes(s, "", "");
    um_settings_assign(s, "run.name=x", "test");
    um_settings_assign(s, "umed.adam.lr=0.001", "test");
    um_settings_assign(s, "umed.eps=8/255", "test");
    um_settings_assign(s, "run.threads=4", "test");
    assert_changes(s, "", "umed.eps=8/255\numed.adam.lr=0.001\nrun.name=x\n");
    assert_changes(s, "run", "run.name=x\n");
    assert_changes(s, "run umed", "umed.eps=8/255\numed.adam.lr=0.001\nrun.name=x\n");
    um_settings_assign(s, "umed.adam.lr=1e-3", "test");
    um_settings_assign(s, "umed.eps=0.015686274509803921", "test"); /* the default, written out */
    assert_changes(s, "umed", "umed.adam.lr=0.001\n");
    um_text t = {0};
    assert_int_equal(um_settings_changes(s, "umed grib", &t), UM_E_BUG);
    um_text_free(&t);
}

static void test_clone_is_independent(void **state)
{
    um_settings *copy = NULL;
    um_settings_assign(*state, "umed.batch=32", "test");
    assert_int_equal(um_settings_clone(&copy, *state), UM_OK);
    um_settings_assign(*state, "umed.batch=64", "test");
    assert_value(copy, "umed.batch", "32");
    assert_changes(copy, "", "umed.batch=32\n");
    um_settings_free(copy);
    um_settings_free(NULL);
}

static void test_help(void **state)
{
    um_text t = {0};
    um_settings_assign(*state, "umed.batch=32", "test");
    assert_int_equal(um_settings_help(*state, "umed", &t), UM_OK);
    const char *help = um_text_get(&t);
    assert_non_null(strstr(help, "  umed.eps             real in [0, 1]; default 4/255; largest change of a pixel\n"));
    assert_non_null(strstr(help, "  umed.contour.radius  integer in [1, 64]; default 1 px; half width\n"));
    assert_non_null(strstr(help, "  umed.contour.mode    one of: straddle inner outer canny; default straddle; where"));
    assert_non_null(strstr(help, "  umed.batch           integer in [1, 65536]; default 16; images per step\n"));
    assert_non_null(strstr(help, "  umed.squared         true or false; default false; squared denominator\n"));
    assert_null(strstr(help, "run."));
    um_text_free(&t);
    assert_int_equal(um_settings_help(*state, NULL, &t), UM_OK);
    assert_non_null(strstr(um_text_get(&t), "  run.name             text; default empty; free text\n"));
    um_text_free(&t);
    assert_int_equal(um_settings_help(*state, "umedd", &t), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "umedd"));
    um_text_free(&t);
}

static void test_value_of_unknown_key(void **state)
{
    um_text t = {0};
    assert_int_equal(um_settings_value(*state, "umed.bach", &t), UM_E_CONFIG);
    assert_non_null(strstr(um_error_text(), "umed.batch"));
    um_text_free(&t);
}

static void test_broken_tables_are_bugs(void **state)
{
    (void)state;
    static const um_opt wrong_default[] = {UM_OPT_INT_ROW(umed_options, batch, "batch", "0", 1, 9, "", "x")};
    static const um_opt twice[] = {UM_OPT_INT_ROW(umed_options, batch, "batch", "1", 1, 9, "", "x"),
                                   UM_OPT_INT_ROW(umed_options, radius, "batch", "1", 1, 9, "", "x")};
    const um_opt_table a = UM_OPT_TABLE("a", umed_options, wrong_default), b = UM_OPT_TABLE("b", umed_options, twice);
    const um_opt_table *const list_a[] = {&a, NULL}, *const list_b[] = {&b, NULL};
    um_settings *s = NULL;
    assert_int_equal(um_settings_create(&s, list_a), UM_E_BUG);
    assert_string_equal(um_error_text(), "wrong default: a.batch = 0 at its option table: must be in [1, 9]");
    assert_int_equal(um_settings_create(&s, list_b), UM_E_BUG);
    assert_string_equal(um_error_text(), "option b.batch is declared twice");
    assert_null(s);
}

#define WITH_SETTINGS(f) cmocka_unit_test_setup_teardown(f, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SETTINGS(test_defaults),
        WITH_SETTINGS(test_set_reaches_the_struct),
        WITH_SETTINGS(test_refusals),
        WITH_SETTINGS(test_text_length_and_assignment_form),
        WITH_SETTINGS(test_canonical_reals),
        WITH_SETTINGS(test_reals_round_trip_exactly),
        WITH_SETTINGS(test_print),
        WITH_SETTINGS(test_print_reads_back),
        WITH_SETTINGS(test_changes),
        WITH_SETTINGS(test_clone_is_independent),
        WITH_SETTINGS(test_help),
        WITH_SETTINGS(test_value_of_unknown_key),
        cmocka_unit_test(test_broken_tables_are_bugs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
