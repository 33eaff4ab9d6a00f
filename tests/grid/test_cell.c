/* Keys: equal for equal work, different for everything that can change a result. */
#include "grid_fixture.h"

#include "grid/cell.h"

static char key_a[UM_KEY_BYTES], key_b[UM_KEY_BYTES];

static um_cell_id exploit_id(void)
{
    um_cell_id id = {.dataset_sha256 = "aa", .settings = settings, .exploiter = "unet", .defense = "none", .seed = 1};
    OK(um_protector_find(&id.protector, "umed"));
    return id;
}

static um_cell_id item_id(void)
{
    um_cell_id id = exploit_id();
    id.exploiter = id.defense = NULL;
    return id;
}

/* The key of an id before and after an assignment; then the setting is put back. */
static bool changes_key(um_cell_id id, const char *key, const char *value)
{
    um_text before = {0};
    OK(um_settings_value(settings, key, &before));
    OK(um_cell_key(key_a, &id, true));
    OK(um_settings_set(settings, key, value, "test"));
    OK(um_cell_key(key_b, &id, true));
    OK(um_settings_set(settings, key, um_text_get(&before), "test"));
    um_text_free(&before);
    return strcmp(key_a, key_b) != 0;
}

static void form(void **state)
{
    (void)state;
    um_cell_id id = exploit_id();
    OK(um_cell_key(key_a, &id, true));
    assert_int_equal(strlen(key_a), 16);
    assert_int_equal(strspn(key_a, "0123456789abcdef"), 16);
    OK(um_cell_key(key_b, &id, true));
    assert_string_equal(key_a, key_b);
}

/* A key must not change between versions without a new schema number: results of old sweeps would be lost. */
static void stable(void **state)
{
    (void)state;
    um_cell_id id = exploit_id();
    OK(um_protector_find(&id.protector, "none"));
    OK(um_cell_key(key_a, &id, true));
    char hex[UM_SHA256_HEX];
    const char *text = "schema=1\nkind=exploit\ndataset=aa\nprotector=none\nexploiter=unet\ndefense=none\nseed=1\n";
    um_sha256_of(text, strlen(text), hex);
    assert_memory_equal(key_a, hex, 16);
}

/* The key of a TransUNet that starts from the file `name` with this content. */
static void pretrained_key(char out[UM_KEY_BYTES], const char *name, const char *content)
{
    um_cell_id id = exploit_id();
    OK(um_file_write(at(name), content, strlen(content)));
    id.exploiter = "transunet";
    OK(um_settings_set(settings, "transunet.pretrained", at(name), "test"));
    OK(um_cell_key(out, &id, true));
}

static void pretrained_weights_count_by_content(void **state)
{
    (void)state;
    um_cell_id id = exploit_id();
    char key_c[UM_KEY_BYTES];
    pretrained_key(key_a, "a.npz", "weights");
    pretrained_key(key_b, "b.npz", "weights");
    assert_string_equal(key_a, key_b);
    pretrained_key(key_b, "b.npz", "others!");
    assert_string_not_equal(key_a, key_b);
    id.exploiter = "transunet";
    OK(um_settings_set(settings, "transunet.pretrained", "", "test"));
    OK(um_cell_key(key_c, &id, true));
    assert_string_not_equal(key_a, key_c);
    OK(um_settings_set(settings, "transunet.pretrained", "/no/such.npz", "test"));
    assert_int_equal(um_cell_key(key_c, &id, true), UM_E_IO);
    assert_non_null(strstr(um_error_text(), "/no/such.npz"));
}

static void coordinates_count(void **state)
{
    (void)state;
    um_cell_id base = exploit_id(), other = base;
    OK(um_cell_key(key_a, &base, true));
#define DIFFERS(change)                                                                                                            \
    do {                                                                                                                           \
        other = base;                                                                                                              \
        change;                                                                                                                    \
        OK(um_cell_key(key_b, &other, true));                                                                                      \
        assert_string_not_equal(key_a, key_b);                                                                                     \
    } while (0)
    DIFFERS(other.dataset_sha256 = "ab");
    DIFFERS(other.exploiter = "unetpp");
    DIFFERS(other.defense = "advtrain");
    DIFFERS(other.seed = 2);
    DIFFERS(other.exploiter = other.defense = NULL);
    DIFFERS(OK(um_protector_find(&other.protector, "none")));
#undef DIFFERS
}

static void group_key_forgets_the_seed(void **state)
{
    (void)state;
    um_cell_id one = exploit_id(), two = one;
    two.seed = 2;
    OK(um_cell_key(key_a, &one, false));
    OK(um_cell_key(key_b, &two, false));
    assert_string_equal(key_a, key_b);
}

static void settings_that_matter(void **state)
{
    (void)state;
    assert_true(changes_key(exploit_id(), "exploiter.epochs", "7"));
    assert_true(changes_key(exploit_id(), "umed.eps", "8/255"));
    assert_true(changes_key(exploit_id(), "model.base_width", "8"));
    assert_true(changes_key(exploit_id(), "run.lanes", "2"));
    assert_true(changes_key(exploit_id(), "run.precision", "bf16"));
    assert_true(changes_key(exploit_id(), "run.reduce", "fast"));
    assert_true(changes_key(exploit_id(), "run.bn", "lane"));
    assert_true(changes_key(exploit_id(), "data.limit", "5"));
    assert_true(changes_key(item_id(), "umed.schedule.cycles", "3"));
    assert_true(changes_key(item_id(), "export.eps_scale", "2"));
}

static void settings_that_do_not(void **state)
{
    (void)state;
    um_cell_id clean = exploit_id();
    OK(um_protector_find(&clean.protector, "none"));
    assert_false(changes_key(exploit_id(), "run.threads", "3"));
    assert_false(changes_key(exploit_id(), "run.backend", "cpu"));
    assert_false(changes_key(exploit_id(), "run.checkpoint_s", "1"));
    assert_false(changes_key(exploit_id(), "grid.lease_s", "5"));
    assert_false(changes_key(exploit_id(), "data.size", "64"));
    assert_false(changes_key(exploit_id(), "data.split_seed", "9")); /* in the dataset's hash; counts with data.limit only */
    assert_false(changes_key(item_id(), "exploiter.epochs", "7"));
    assert_false(changes_key(clean, "umed.eps", "8/255"));
}

static void writing_does_not_matter(void **state)
{
    (void)state;
    um_cell_id id = exploit_id();
    OK(um_settings_set(settings, "umed.eps", "8/255", "test"));
    OK(um_settings_set(settings, "exploiter.epochs", "7", "test"));
    OK(um_cell_key(key_a, &id, true));
    OK(um_settings_set(settings, "exploiter.epochs", "9", "test"));
    OK(um_settings_set(settings, "exploiter.epochs", "7", "test"));
    OK(um_settings_set(settings, "umed.eps", "16/510", "test"));
    OK(um_cell_key(key_b, &id, true));
    assert_string_equal(key_a, key_b);
}

static void check_method(const char *name, const char *const *set, size_t n, const char *bound, const char *label, bool plain)
{
    um_method m;
    const um_protector_def *def = NULL;
    OK(um_protector_find(&def, name));
    OK(um_method_create(&m, "method", def, settings, (char *const *)set, n, "test"));
    assert_string_equal(m.bound, bound);
    assert_string_equal(m.label, label);
    assert_int_equal(m.plain, plain);
    um_method_clear(&m);
}

static void methods(void **state)
{
    (void)state;
    check_method("none", NULL, 0, "none", "", true);
    check_method("umed", NULL, 0, "4/255", "A", true);
    check_method("umed", (const char *[]){"umed.eps=8/255"}, 1, "8/255", "", true);
    check_method("umed", (const char *[]){"umed.parts=contour"}, 1, "4/255", "B", false);
    check_method("umed", (const char *[]){"umed.parts=contour", "umed.cdc.mode=none"}, 2, "4/255", "C", false);
    check_method("umed", (const char *[]){"umed.parts=texture"}, 1, "4/255", "E", false);
    check_method("umed", (const char *[]){"umed.parts=texture", "umed.lbp.map=ones"}, 2, "4/255", "F", false);
    check_method("umed", (const char *[]){"umed.contour.radius=3"}, 1, "4/255", "", false);
    check_method("umed", (const char *[]){"umed.cdc.mode=none"}, 1, "4/255", "", false);
}

static void method_refusals(void **state)
{
    (void)state;
    um_method m;
    const um_protector_def *def = NULL;
    char *unknown[] = {"umed.epps=8/255"};
    OK(um_protector_find(&def, "umed"));
    FAILS(um_method_create(&m, "v", def, settings, unknown, 1, "busi.cfg:3"), UM_E_CONFIG, "umed.eps");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(form),
        FIXTURE_TEST(stable),
        FIXTURE_TEST(pretrained_weights_count_by_content),
        FIXTURE_TEST(coordinates_count),
        FIXTURE_TEST(group_key_forgets_the_seed),
        FIXTURE_TEST(settings_that_matter),
        FIXTURE_TEST(settings_that_do_not),
        FIXTURE_TEST(writing_does_not_matter),
        FIXTURE_TEST(methods),
        FIXTURE_TEST(method_refusals),
    };
    return cmocka_run_group_tests_name("grid_cell", tests, NULL, NULL);
}
