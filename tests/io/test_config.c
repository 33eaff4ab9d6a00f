/* io/config.h: settings and sweep lists, and every refusal with file and line. */
#include "io_fixture.h"

#include "io/config.h"

typedef struct umed_options { double eps; int64_t radius; bool aug; char name[UM_OPT_TEXT]; } umed_options;
static const um_opt umed_rows[] = {
    UM_OPT_REAL_ROW(umed_options, eps, "eps", "4/255", 0, 1, "", "bound"),
    UM_OPT_INT_ROW(umed_options, radius, "contour.radius", "1", 1, 9, "pixel", "radius"),
    UM_OPT_BOOL_ROW(umed_options, aug, "aug", "false", "augment"),
    UM_OPT_TEXT_ROW(umed_options, name, "name", "x", "name"),
};
static const um_opt_table umed_table = UM_OPT_TABLE("umed", umed_options, umed_rows);

typedef struct grid_options { int64_t ranks_per_cell; } grid_options;
static const um_opt grid_rows[] = {UM_OPT_INT_ROW(grid_options, ranks_per_cell, "ranks_per_cell", "1", 1, 4096, "", "ranks")};
static const um_opt_table grid_table = UM_OPT_TABLE("grid", grid_options, grid_rows);

static const um_opt_table *const tables[] = {&umed_table, &grid_table, NULL};

static um_status load(const char *text, um_settings **settings, um_grid_config **grid)
{
    um_status rc = UM_OK;
    UM_TRY(um_file_write(at("t.cfg"), text, strlen(text)));
    UM_TRY(um_settings_create(settings, tables));
    UM_TRY(um_config_load(at("t.cfg"), *settings, grid));
done:
    return rc;
}

static void refuse(const char *text, const char *message)
{
    um_settings *settings = NULL;
    um_grid_config *grid = NULL;
    FAILS(load(text, &settings, &grid), UM_E_CONFIG, message);
    assert_null(grid);
    um_settings_free(settings);
}

static void settings_of_every_type(void **state)
{
    (void)state;
    um_settings *s = NULL;
    OK(load("umed: { eps = \"8/255\"; contour: { radius = 3; }; aug = true; name = \"a b\"; };\n", &s, NULL));
    const umed_options *o = um_settings_get(s, "umed");
    assert_true(o->eps == 8.0 / 255 && o->radius == 3 && o->aug);
    assert_string_equal(o->name, "a b");
    um_settings_free(s);
    OK(load("umed = { eps = 0.1; name = [60, 30]; }\ngrid = { ranks_per_cell = 4L; }", &s, NULL));
    o = um_settings_get(s, "umed");
    assert_true(o->eps == 0.1 && ((const grid_options *)um_settings_get(s, "grid"))->ranks_per_cell == 4);
    assert_string_equal(o->name, "60,30");
    um_settings_free(s);
}

static const char sweep[] =
    "grid: {\n  ranks_per_cell = 2;\n"
    "  datasets = ( { name = \"busi\"; path = \"busi.h5\"; }, { name = \"k\"; path = \"/data/k.h5\"; } );\n"
    "  variants = ( { name = \"umed8\"; base = \"umed\"; set = [ \"umed.eps=8/255\" ]; } );\n"
    "  blocks = ( { tables = [1,2]; protectors = [\"none\",\"em\"]; exploiters = [\"unet\"]; },\n"
    "             { datasets = [\"busi\"]; defenses = [\"none\",\"blur\"]; } );\n"
    "  seeds = [1,2,3]; };\n";

static void sweep_lists(void **state)
{
    (void)state;
    um_settings *s = NULL;
    um_grid_config *g = NULL;
    char resolved[400];
    OK(load(sweep, &s, &g));
    snprintf(resolved, sizeof resolved, "%s/busi.h5", fixture_dir);
    assert_true(g->n_datasets == 2 && g->n_variants == 1 && g->n_blocks == 2 && g->seeds.n == 3);
    assert_string_equal(g->datasets[0].path, "busi.h5");
    assert_string_equal(g->datasets[0].resolved, resolved);
    assert_string_equal(g->datasets[1].resolved, "/data/k.h5");
    assert_string_equal(g->variants[0].set.items[0], "umed.eps=8/255");
    assert_true(g->blocks[0].tables.n == 2 && g->blocks[0].tables.items[1] == 2 && g->blocks[0].datasets.n == 0);
    assert_true(g->blocks[1].tables.n == 0 && g->blocks[1].defenses.n == 2 && g->seeds.items[2] == 3);
    assert_string_equal(g->blocks[0].protectors.items[1], "em");
    assert_true(um_text_ends_with(g->blocks[1].where, "t.cfg:6"));
    um_grid_config_free(g);
    um_settings_free(s);
    OK(load("umed: { eps = 0.5; };", &s, &g));
    assert_true(g->n_datasets == 0 && g->n_blocks == 0 && g->seeds.n == 0);
    um_grid_config_free(g);
    um_settings_free(s);
}

static void included_files(void **state)
{
    (void)state;
    um_settings *s = NULL;
    um_grid_config *g = NULL;
    const char *part = "umed: {\n eps = 0.25;\n radius = 1; };\n";
    OK(um_file_write(at("part.cfg"), "umed: {\n eps = 0.25; };\n", 24));
    OK(load("@include \"part.cfg\"\n", &s, NULL));
    assert_true(((const umed_options *)um_settings_get(s, "umed"))->eps == 0.25);
    um_settings_free(s);
    OK(um_dir_make(at("sub"), 0777));
    OK(um_file_write(at("sub/data.cfg"), "grid: { datasets = ( { name = \"a\"; path = \"a.h5\"; } ); };\n", 58));
    OK(load("@include \"sub/data.cfg\"\n", &s, &g));
    assert_string_equal(g->datasets[0].resolved, at("sub/a.h5"));
    um_grid_config_free(g);
    um_settings_free(s);
    OK(um_file_write(at("part.cfg"), part, strlen(part)));
    refuse("\n\n@include \"part.cfg\"\n", "part.cfg:3");
    refuse("\n@include \"none.cfg\"\n", "t.cfg:2: included file");
    OK(um_dir_make(at("folder"), 0777));
    refuse("@include \"folder\"\n", "t.cfg:1: included file");
    OK(um_file_write(at("outer.cfg"), "# here\n@include \"folder\"\n", 25));
    refuse("@include \"outer.cfg\"\n", "outer.cfg:2: included file");
    OK(um_file_write(at("self.cfg"), "@include \"self.cfg\"\n", 20));
    refuse("@include \"self.cfg\"\n", "include each other");
}

static void refusals_name_file_and_line(void **state)
{
    (void)state;
    refuse("umed: {\n epz = 0.1; };\n", "t.cfg:2");
    refuse("umed: {\n epz = 0.1; };\n", "umed.eps");
    refuse("umed: {\n\n eps = \"lots\"; };\n", "t.cfg:3");
    refuse("umed: {\n eps = 3; };\n", "t.cfg:2");
    refuse("umed: {\n eps = ; };\n", "t.cfg:2: syntax error");
    refuse("umed: {\n eps = 1; eps = 1; };\n", "t.cfg:2: duplicate setting name");
    refuse("umed: {\n name = ( { a = 1; } ); };\n", "t.cfg:2: expected a number");
    refuse("grid: { seed = [1]; };\n", "t.cfg:1");
    refuse("grid = 3;\n", "t.cfg:1");
    refuse("grid: {\n seeds = [\"a\"]; };\n", "t.cfg:2: expected integers");
    refuse("grid: {\n seeds = 1; };\n", "t.cfg:2: expected a list of integers");
    refuse("grid: {\n blocks = ( { protector = [\"em\"]; } ); };\n",
           "t.cfg:2: unknown key 'protector' in an entry of grid.blocks, did you mean 'protectors'?");
    refuse("grid: {\n blocks = ( { protectors = \"em\"; } ); };\n", "t.cfg:2: expected a list of quoted texts");
    refuse("grid: {\n blocks = [ 1 ]; };\n", "t.cfg:2: expected a list of groups");
    refuse("grid: {\n blocks = ( 1 ); };\n", "t.cfg:2: an entry of grid.blocks must be a group");
    refuse("grid: {\n datasets = ( { path = \"a\"; } ); };\n", "t.cfg:2: 'name' is needed here");
    refuse("grid: {\n variants = ( { name = \"a\"; base = 3; } ); };\n", "t.cfg:2: 'base' is needed here");
    refuse("grid: {\n datasets = ( { name = \"a\"; path = \"b\"; qqqqqqqqqq = 1; } ); };\n", "known: name path");
}

static void unreadable_files(void **state)
{
    (void)state;
    um_settings *s = NULL;
    OK(um_settings_create(&s, tables));
    FAILS(um_config_load(at("none.cfg"), s, NULL), UM_E_IO, "none.cfg");
    FAILS(um_config_load(fixture_dir, s, NULL), UM_E_IO, fixture_dir);
    OK(um_file_write(at("zero.cfg"), "a\0b", 3));
    FAILS(um_config_load(at("zero.cfg"), s, NULL), UM_E_CONFIG, "zero.cfg: holds zero bytes");
    um_settings_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(settings_of_every_type), FIXTURE_TEST(sweep_lists),      FIXTURE_TEST(included_files),
        FIXTURE_TEST(refusals_name_file_and_line), FIXTURE_TEST(unreadable_files),
    };
    return cmocka_run_group_tests_name("io/config", tests, NULL, NULL);
}
