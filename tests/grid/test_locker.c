/* Medlocker cells: from a configuration to networks, marks and cells; their keys; their order; result files and the tables of
 * them. */
#include "grid_fixture.h"

#include <math.h>

#include "grid/kind.h"
#include "grid/locker.h"
#include "grid/locker_result.h"
#include "grid/report.h"
#include "grid/run_internal.h"

static const char head[] = "model: { base_width = 2; };\n"
                           "grid: { datasets = ( { name = \"a\"; path = \"a.h5\"; }, { name = \"b\"; path = \"b.h5\"; } );\n"
                           "variants = ( { name = \"free\"; base = \"bhe\"; set = [ \"medlocker.avoid_lesions=false\" ]; },\n"
                           "             { name = \"same\"; base = \"bhe\"; set = [ \"medlocker.ratio=4\" ]; },\n"
                           "             { name = \"long\"; base = \"bhe\"; set = [ \"classifier.epochs=31\" ]; },\n"
                           "             { name = \"umed8\"; base = \"umed\"; set = [ \"umed.eps=8/255\" ]; } );\n";

static void make_retinas(const char *path, uint64_t seed)
{
    um_dataset *d = NULL;
    OK(um_import_retinas(&d, 10, 32, 2, seed, um_settings_get(settings, "data")));
    OK(um_dataset_write(d, path, NULL));
    um_dataset_free(d);
}

static um_status expand(um_sweep **out, const char *blocks, const char *const *only, size_t n_only)
{
    um_text text = {0};
    um_status rc;
    if (!um_file_exists(at("a.h5"))) {
        make_retinas(at("a.h5"), 1);
        make_retinas(at("b.h5"), 2);
    }
    OK(um_text_add(&text, "%sblocks = ( %s ); seeds = [1,2]; };", head, blocks));
    rc = expand_text(out, um_text_get(&text), only, n_only);
    um_text_free(&text);
    return rc;
}

#define BLOCK(text) "{ kind = \"medlocker\"; backbones = [\"resnet18\", \"vgg16_bn\"]; " text " }"

static void counts(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    OK(expand(&s, BLOCK("searches = [\"bhe\", \"random\"]; targets = [\"resnet18\", \"resnet18+vgg16_bn\", \"random\"];"), NULL,
              0));
    const um_locker_plan *p = s->locker;
    assert_int_equal(p->n_nets, 2 * 2 * 2);      /* datasets, seeds, backbones */
    assert_int_equal(p->n_cells, 2 * 2 * (3 + 2)); /* without a network there is only random */
    assert_int_equal(p->n_marks, p->n_cells);
    assert_int_equal(s->n_cells, 0);             /* none of kind exploit */
    assert_int_equal(s->n_tasks, p->n_nets + p->n_marks + p->n_cells);
    for (int i = 0; i < p->n_marks; i++) {
        const um_medlocker_options *o = um_settings_get(p->marks[i].settings, "medlocker");
        bool none = strcmp(p->marks[i].target, "random") == 0;
        assert_int_equal(p->marks[i].n_nets, none ? 0 : strchr(p->marks[i].target, '+') ? 2 : 1);
        assert_int_equal(o->budget, none ? 1 : 0);
        assert_int_equal(p->marks[i].split, UM_SPLIT_TEST);
        assert_true(p->marks[i].cam >= 0);
        assert_true(none || p->marks[i].cost.flops > 1e6);
    }
    for (int i = 0; i < p->n_nets; i++)
        assert_true(p->nets[i].cost.flops > 1e6 && p->nets[i].predict > 1e4);
    um_sweep_free(s);
}

/* Every task stands behind what it needs, and what it needs is right. */
static void needs(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    int *order = NULL;
    OK(expand(&s, BLOCK("searches = [\"bhe\"]; targets = [\"resnet18+vgg16_bn\"]; retrain = [\"vgg16_bn\"];"), NULL, 0));
    for (int i = 0; i < s->n_tasks; i++) {
        const um_task *t = &s->tasks[i];
        int n = t->kind == &um_task_train
                    ? 0
                    : 3; /* mark: two targets, Grad-CAM's network; judge: marks, two; retrain: two marks, one */
        assert_int_equal(t->n_needs, n);
        for (int k = 0; k < n; k++)
            assert_true(s->needs[t->first_need + k] < i);
    }
    OK(um_task_order(&order, s));
    assert_true(s->tasks[order[0]].kind == &um_task_train);
    for (int i = 0; i < s->n_tasks; i++) /* a task is never dearer with all that waits for it than what it needs */
        for (int k = 0; k < s->tasks[order[i]].n_needs; k++) {
            int at_need = -1;
            for (int j = 0; j < s->n_tasks; j++)
                at_need = order[j] == s->needs[s->tasks[order[i]].first_need + k] ? j : at_need;
            assert_true(at_need < i);
        }
    um_free(order);
    um_sweep_free(s);
}

static const um_locker_cell *cell_of(const um_sweep *s, const char *search, const char *target, int64_t seed)
{
    const um_locker_plan *p = s->locker;
    for (int i = 0; i < p->n_cells; i++) {
        const um_locker_mark *m = &p->marks[p->cells[i].mark];
        if (m->data == 0 && p->cells[i].seed == seed && strcmp(p->searches[m->search].name, search) == 0 &&
            strcmp(m->target, target) == 0)
            return &p->cells[i];
    }
    return NULL;
}

/* Keys change with what changes a result, and with nothing else; a seed changes the key and not the group. */
static void keys(void **state)
{
    (void)state;
    um_sweep *s = NULL, *t = NULL;
    char bhe[UM_KEY_BYTES];
    OK(expand(&s, BLOCK("searches = [\"bhe\", \"free\", \"same\", \"long\"]; targets = [\"resnet18\", \"vgg16_bn\"];"), NULL, 0));
    assert_null(cell_of(s, "same", "resnet18", 1)); /* merged into bhe: it says what is the default anyway */
    const um_locker_cell *one = cell_of(s, "bhe", "resnet18", 1), *two = cell_of(s, "bhe", "resnet18", 2);
    snprintf(bhe, sizeof bhe, "%s", one->key);
    assert_string_not_equal(one->key, two->key);
    assert_string_equal(one->group, two->group);
    assert_string_not_equal(one->key, cell_of(s, "free", "resnet18", 1)->key);
    assert_string_not_equal(one->key, cell_of(s, "bhe", "vgg16_bn", 1)->key);
    assert_int_equal(s->locker->marks[one->mark].cam, s->locker->marks[one->mark].net[0]);
    assert_int_equal(s->locker->marks[cell_of(s, "free", "resnet18", 1)->mark].cam, -1);
    assert_int_equal(s->locker->n_nets, 2 * 2 * 2 * 2); /* `long` trains networks of its own, `free` does not */
    um_sweep_free(s);
    s = NULL;
    OK(um_settings_set(settings, "run.threads", "3", "test"));
    OK(um_settings_set(settings, "medlocker.time", "5", "test"));
    OK(expand(&t, BLOCK("datasets = [\"a\"]; searches = [\"bhe\"]; targets = [\"resnet18\"];"), NULL, 0));
    assert_string_equal(cell_of(t, "bhe", "resnet18", 1)->key, bhe);
    um_sweep_free(t);
    t = NULL;
    OK(um_settings_set(settings, "medlocker.bhe.hops", "4", "test"));
    OK(expand(&t, BLOCK("searches = [\"bhe\"]; targets = [\"resnet18\"];"), NULL, 0));
    assert_string_not_equal(cell_of(t, "bhe", "resnet18", 1)->key, bhe);
    um_sweep_free(t);
}

static void only(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    static const char block[] = BLOCK(
        "searches = [\"bhe\", \"grad\"]; targets = [\"resnet18\", \"vgg16_bn\"];") ", { protectors = [\"none\"]; exploiters = [\"unet\"]; defenses = [\"none\"]; }";
    OK(expand(&s, block, NULL, 0));
    assert_int_equal(s->n_cells, 4);
    assert_int_equal(s->locker->n_cells, 16);
    um_sweep_free(s);
    OK(expand(&s, block, (const char *const[]){"search=grad", "target=vgg16_bn", "seed=2", "dataset=b"}, 4));
    assert_int_equal(s->n_cells, 0);
    assert_int_equal(s->locker->n_cells, 1);
    um_sweep_free(s);
    OK(expand(&s, block, (const char *const[]){"protector=none"}, 1));
    assert_int_equal(s->n_cells, 4);
    assert_int_equal(s->locker->n_cells, 0);
    um_sweep_free(s);
    s = NULL;
    FAILS(expand(&s, block, (const char *const[]){"search=gradd"}, 1), UM_E_CONFIG,
            "--only: unknown search 'gradd', did you mean 'grad'?");
    FAILS(expand(&s, block, (const char *const[]){"target=resnet50"}, 1), UM_E_CONFIG, "no cell is left");
}

static void refusals(void **state)
{
    (void)state;
    um_sweep *s = NULL;
    FAILS(expand(&s, BLOCK("searches = [\"umed\"];"), NULL, 0), UM_E_CONFIG, "unknown search 'umed'");
    FAILS(expand(&s, BLOCK("searches = [\"fre\"];"), NULL, 0), UM_E_CONFIG, "did you mean 'free'?");
    FAILS(expand(&s, BLOCK("targets = [\"resnet50\"];"), NULL, 0), UM_E_CONFIG, "'resnet50'");
    FAILS(expand(&s, BLOCK("targets = [\"resnet18+resnet18\"];"), NULL, 0), UM_E_CONFIG, "names a network twice");
    FAILS(expand(&s, BLOCK("targets = [\"resnet18+\"];"), NULL, 0), UM_E_CONFIG, "network of a target");
    FAILS(expand(&s, BLOCK("targets = [\"random\"]; searches = [\"bhe\"];"), NULL, 0), UM_E_CONFIG,
            "target random goes with search random");
    FAILS(expand(&s, BLOCK("retrain = [\"resnet8\"];"), NULL, 0), UM_E_CONFIG, "did you mean 'resnet18'?");
    FAILS(expand(&s, BLOCK("cam = \"vit_b16\";"), NULL, 0), UM_E_CONFIG, "network for Grad-CAM");
    FAILS(expand(&s, "{ kind = \"medlocker\"; backbones = [\"unet\"]; }", NULL, 0), UM_E_CONFIG, "unknown classifier 'unet'");
    FAILS(expand(&s, "{ kind = \"medlocker\"; backbones = [\"vit_b16\"]; cam = \"vit_b16\"; }", NULL, 0), UM_E_CONFIG,
            "no convolution at its end");
    assert_non_null(strstr(um_error_text(), "sweep.cfg:7"));
    OK(um_settings_set(settings, "medlocker.wsm.model", at("gone.h5"), "test"));
    FAILS(expand(&s, BLOCK("searches = [\"bhe\"];"), NULL, 0), UM_E_IO, "gone.h5; train it on lesion masks");
    assert_null(s);
}

/* What is written is what reports read, with means over seeds. */
static void results(void **state)
{
    (void)state;
    um_locker_line *lines = NULL;
    int n = 0;
    um_report *report = NULL;
    um_text text = {0};
    OK(um_dir_make(at("cells"), 0777));
    for (int64_t seed = 1; seed <= 2; seed++) {
        um_locker_verdict v[] = {{"resnet18", true, {100, 80, 80 - 10 * seed, 10 * seed, 0}},
                                 {"vgg16_bn", false, {100, 60, 58, 4, 2}}};
        um_locker_outcome o = {.verdicts = v,
                               .n_verdicts = 2,
                               .marks = {.n = 100, .strict = 90, .none = 10, .margin_before = 1, .margin_after = -1},
                               .psnr = 30,
                               .ssim = 0.9,
                               .logo_area = 0.05,
                               .seconds = 1};
        um_locker_meta meta = {.kind = "medlocker",
                               .key = seed == 1 ? "k1" : "k2",
                               .group = "g",
                               .dataset = "a",
                               .dataset_sha256 = "x",
                               .search = "bhe",
                               .target = "resnet18",
                               .seed = seed,
                               .settings = settings};
        OK(um_dir_make(at(seed == 1 ? "cells/k1" : "cells/k2"), 0777));
        OK(um_locker_write_cell(at(seed == 1 ? "cells/k1/result.h5" : "cells/k2/result.h5"), &meta, &o));
    }
    OK(um_locker_read_cell(&lines, &n, at("cells/k1/result.h5")));
    assert_int_equal(n, 2);
    assert_true(lines[0].white && !lines[1].white && !lines[0].retrained);
    assert_true(lines[0].asr == 10.0 / 80 && lines[0].accuracy_marked == 0.7 && lines[1].mended == 2 && lines[1].strict == 90);
    assert_true(lines[0].asr_low < 0.125 && lines[0].asr_high > 0.125);
    OK(um_report_read(&report, fixture_dir));
    OK(um_report_print(report, UM_REPORT_MEASURED, UM_REPORT_TEXT, &text));
    assert_non_null(strstr(um_text_get(&text), "18.8±8.8")); /* 12.5 and 25 */
    assert_non_null(strstr(um_text_get(&text), "65.0±7.1*"));
    um_text_free(&text);
    text = (um_text){0};
    OK(um_report_print(report, UM_REPORT_MEASURED, UM_REPORT_CSV, &text));
    assert_non_null(strstr(um_text_get(&text), ",a,medlocker:bhe,,vgg16_bn,none,resnet18,accuracy_marked,,0.580000,0.000000,2\n"));
    OK(um_report_write_merged(report, at("results.h5")));
    um_text_free(&text);
    um_report_free(report);
    um_free(lines);
}

static void marks_files(void **state)
{
    (void)state;
    um_dataset *d = NULL;
    um_rows rows = {0};
    um_mark marks[3] = {{{60, 3, 4}, 4, UM_WSM_STRICT, UM_LESIONS_CAM, 0.5, -0.25, 650, 0}, {.state = UM_WSM_NONE, .ratio = 8},
                        {{70, 1, 2}, 4.5, UM_WSM_RELAXED, UM_LESIONS_NET, NAN, NAN, 1, 7}}, back[3];
    um_locker_meta meta = {.kind = "marks", .key = "k", .dataset = "a", .settings = settings, .seed = 1};
    OK(um_import_retinas(&d, 3, 32, 2, 1, um_settings_get(settings, "data")));
    OK(um_rows_select(&rows, d, -1, 0, 1));
    OK(um_locker_write_marks(at("m.h5"), &meta, marks, d, &rows, 1));
    OK(um_locker_read_marks(back, 3, at("m.h5")));
    for (int i = 0; i < 3; i++) {
        double a[UM_MARK_COLUMNS], b[UM_MARK_COLUMNS];
        um_mark_pack(a, &marks[i]);
        um_mark_pack(b, &back[i]);
        for (int k = 0; k < UM_MARK_COLUMNS; k++)
            assert_true(a[k] == b[k] || (isnan(a[k]) && isnan(b[k])));
    }
    FAILS(um_locker_read_marks(back, 2, at("m.h5")), UM_E_DATA, "marks of 3 images, expected 2");
    um_locker_summary sum = um_locker_sum(marks, 3);
    assert_true(sum.strict == 1 && sum.relaxed == 1 && sum.none == 1 && sum.from_cam == 1 && sum.from_net == 1);
    assert_true(sum.alpha == 65 && sum.lesion_change == 0 && isnan(sum.margin_after)); /* relaxed marks may touch lesions */
    um_rows_free(&rows);
    um_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(counts), FIXTURE_TEST(needs), FIXTURE_TEST(keys),        FIXTURE_TEST(only),
        FIXTURE_TEST(refusals), FIXTURE_TEST(results), FIXTURE_TEST(marks_files),
    };
    return cmocka_run_group_tests_name("grid_locker", tests, open_backend, close_backend);
}
