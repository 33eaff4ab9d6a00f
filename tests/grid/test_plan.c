/* From a configuration to cells: blocks, variants, merging, filters, refusals. */
#include "grid_fixture.h"

#include "grid/plan.h"

static const char head[] = "model: { base_width = 2; }; umed: { gen: { base_width = 2; }; };\n"
                           "grid: { datasets = ( { name = \"a\"; path = \"a.h5\"; }, { name = \"b\"; path = \"b.h5\"; } );\n"
                           "variants = ( { name = \"umed8\"; base = \"umed\"; set = [ \"umed.eps=8/255\" ]; },\n"
                           "             { name = \"same\"; base = \"umed\"; set = [ \"umed.eps=4/255\" ]; } );\n";

/* Expands head + rest; the rest closes the group. */
static um_status expand(um_sweep **out, const char *rest, const char *const *only, size_t n_only)
{
    um_text text = {0};
    um_status rc;
    if (!um_file_exists(at("a.h5"))) {
        make_phantoms(at("a.h5"), 10, 16, 1);
        make_phantoms(at("b.h5"), 10, 16, 2);
    }
    OK(um_text_add(&text, "%s%s", head, rest));
    rc = expand_text(out, um_text_get(&text), only, n_only);
    um_text_free(&text);
    return rc;
}

static int n_exploiters(void)
{
    int n = 0, count = 0;
    const um_model_def *const *all = um_model_all(&n);
    for (int i = 0; i < n; i++)
        count += all[i]->exploiter;
    return count;
}

static void whole(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    OK(expand(&s, "};", NULL, 0));
    int n_protectors = 0, n_defenses = 0;
    um_protector_all(&n_protectors);
    um_defense_all(&n_defenses);
    assert_int_equal(s->n_data, 2);
    assert_int_equal(s->n_methods, n_protectors + 2);
    assert_int_equal(s->n_cells, 2 * (n_protectors + 1) * n_defenses * n_exploiters()); /* umed8 adds one; `same` is umed */
    assert_int_equal(s->n_items, 2 * n_protectors);
    assert_int_equal(s->data[0].n_train, 8);
    assert_int_equal(s->data[0].n_test, 2);
    assert_int_equal(s->cells[0].seed, 1);
    um_sweep_free(s);
}

static void blocks_merge(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    um_text tables = {0};
    OK(expand(
        &s,
        "blocks = ( { tables = [1,2]; datasets = [\"a\"]; protectors = [\"none\",\"umed\"]; exploiters = [\"unet\"]; defenses = [\"none\"]; },\n"
        "           { tables = [3]; datasets = [\"a\"]; protectors = [\"same\",\"umed8\"]; exploiters = [\"unet\"]; defenses = [\"none\"]; } ); seeds = [4,5]; };",
        NULL, 0));
    assert_int_equal(s->n_cells, 6);
    assert_int_equal(s->n_items, 4);
    assert_string_equal(s->methods[s->cells[2].method].name, "umed");
    OK(um_sweep_tables_text(s->cells[2].tables, &tables));
    assert_string_equal(um_text_get(&tables), "1 2 3");
    assert_int_equal(s->cells[0].item, -1);
    assert_int_equal(s->cells[2].item, 0);
    assert_string_not_equal(s->cells[2].key, s->cells[3].key);
    assert_string_equal(s->cells[2].group, s->cells[3].group);
    um_text_free(&tables);
    um_sweep_free(s);
}

/* An item stands before every cell that needs it, and items are numbered in the order of their first cell. */
static void order(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    int seen = 0;
    OK(expand(&s, "seeds = [1,2,3]; };", NULL, 0));
    for (int i = 0; i < s->n_cells; i++) {
        assert_true(s->cells[i].item <= seen);
        seen += s->cells[i].item == seen;
        if (s->cells[i].item >= 0) {
            assert_int_equal(s->items[s->cells[i].item].seed, s->cells[i].seed);
            assert_int_equal(s->items[s->cells[i].item].data, s->cells[i].data);
        }
    }
    assert_int_equal(seen, s->n_items);
    um_sweep_free(s);
}

static void costs(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    double before;
    OK(expand(&s, "blocks = ( { exploiters = [\"unet\"]; } ); };", NULL, 0));
    for (int i = 0; i < s->n_cells; i++)
        assert_true(s->cells[i].cost.flops > 1e6);
    for (int i = 0; i < s->n_items; i++)
        assert_true(s->items[i].cost.flops > 1e6 || !s->methods[s->items[i].method].def->cost);
    before = s->cells[0].cost.flops;
    um_sweep_free(s);
    OK(um_settings_set(settings, "exploiter.epochs", "300", "test"));
    OK(expand(&s, "blocks = ( { exploiters = [\"unet\"]; } ); };", NULL, 0));
    assert_true(s->cells[0].cost.flops > 1.9 * before && s->cells[0].cost.flops < 2.1 * before);
    um_sweep_free(s);
}

static void limit(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    OK(um_settings_set(settings, "data.limit", "3", "test"));
    OK(expand(&s, "};", NULL, 0));
    assert_int_equal(s->data[0].n_train, 3);
    assert_int_equal(s->data[0].n_test, 2);
    um_sweep_free(s);
}

static void only(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    static const char *const some[] = {"dataset=b", "protector=none", "protector=umed8",
                                       "seed=2",    "defense=none",   "exploiter=unet"};
    OK(expand(&s, "seeds = [1,2]; };", some, UM_COUNT(some)));
    assert_int_equal(s->n_cells, 2);
    assert_string_equal(s->data[s->cells[0].data].name, "b");
    assert_string_equal(s->methods[s->cells[1].method].name, "umed8");
    assert_int_equal(s->cells[1].seed, 2);
    um_sweep_free(s);
    FAILS(expand(&s, "};", (const char *const[]){"seed=7"}, 1), UM_E_CONFIG, "no cell is left");
    FAILS(expand(&s, "};", (const char *const[]){"protector=umd"}, 1), UM_E_CONFIG, "--only: unknown protector 'umd', did");
    FAILS(expand(&s, "};", (const char *const[]){"dataset=c"}, 1), UM_E_CONFIG, "--only: unknown dataset 'c'");
    FAILS(expand(&s, "};", (const char *const[]){"defense=blurr"}, 1), UM_E_CONFIG, "did you mean 'blur'");
    FAILS(expand(&s, "};", (const char *const[]){"network=unet"}, 1), UM_E_USAGE, "--only network=unet");
    FAILS(expand(&s, "};", (const char *const[]){"seed="}, 1), UM_E_USAGE, "--only seed=");
}

static void refusals(void **state)
{
    (void)state;
    um_sweep *s = NULL;
#define BLOCK(text) "blocks = ( { " text " } ); };"
    FAILS(expand(&s, BLOCK("protectors = [\"umd\"];"), NULL, 0), UM_E_CONFIG, "unknown protector 'umd', did you mean 'umed'?");
    FAILS(expand(&s, BLOCK("protectors = [\"umed9\"];"), NULL, 0), UM_E_CONFIG, "did you mean 'umed");
    FAILS(expand(&s, BLOCK("exploiters = [\"unte\"];"), NULL, 0), UM_E_CONFIG, "unknown exploiter 'unte', did you mean 'unet'?");
    FAILS(expand(&s, BLOCK("exploiters = [\"cdc_unet\"];"), NULL, 0), UM_E_CONFIG, "unknown exploiter 'cdc_unet'");
    FAILS(expand(&s, BLOCK("defenses = [\"nine\"];"), NULL, 0), UM_E_CONFIG, "did you mean 'none'?");
    FAILS(expand(&s, BLOCK("datasets = [\"c\"];"), NULL, 0), UM_E_CONFIG, "unknown dataset 'c'");
    FAILS(expand(&s, BLOCK("tables = [6];"), NULL, 0), UM_E_CONFIG, "tables = 6");
    assert_non_null(strstr(um_error_text(), "sweep.cfg:5"));
#undef BLOCK
    assert_null(s);
}

static void no_data(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    um_grid_config empty = {0};
    um_grid_dataset twice[] = {{"a", "x", "x"}, {"a", "y", "y"}}, lost[] = {{"a", "x.h5", "/nowhere/x.h5"}};
    FAILS(um_sweep_create(&s, &empty, settings, NULL, backend, "e.cfg"), UM_E_CONFIG, "e.cfg: no dataset");
    empty.datasets = twice;
    empty.n_datasets = 2;
    FAILS(um_sweep_create(&s, &empty, settings, NULL, backend, "e.cfg"), UM_E_CONFIG, "two datasets are called 'a'");
    empty.datasets = lost;
    empty.n_datasets = 1;
    assert_int_not_equal(um_sweep_create(&s, &empty, settings, NULL, backend, "e.cfg"), UM_OK);
    assert_non_null(strstr(um_error_text(), "/nowhere/x.h5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(whole),    FIXTURE_TEST(blocks_merge), FIXTURE_TEST(order),          FIXTURE_TEST(costs),  FIXTURE_TEST(limit),
        FIXTURE_TEST(only),     FIXTURE_TEST(refusals), FIXTURE_TEST(no_data),
    };
    return cmocka_run_group_tests_name("grid_plan", tests, open_backend, close_backend);
}
