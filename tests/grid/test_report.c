/* Tables from hand-made results. */
#include "grid_fixture.h"

#include "grid/paper.h"
#include "grid/report.h"
#include "io/h5.h"

#include <math.h>

static um_result_row cell(const char *dataset, const char *protector, const char *bound, const char *exploiter, int64_t seed,
                          double dsc)
{
    um_result_row r = {.plain = true, .seed = seed, .psnr = NAN, .ssim = NAN, .psnr_roi = NAN, .ssim_roi = NAN};
    snprintf(r.dataset, sizeof r.dataset, "%s", dataset);
    snprintf(r.protector, sizeof r.protector, "%s", protector);
    snprintf(r.base, sizeof r.base, "%s", strncmp(protector, "umed", 4) == 0 ? "umed" : protector);
    snprintf(r.bound, sizeof r.bound, "%s", bound);
    snprintf(r.exploiter, sizeof r.exploiter, "%s", exploiter);
    snprintf(r.defense, sizeof r.defense, "%s", exploiter[0] ? "none" : "");
    snprintf(r.group, sizeof r.group, "g-%.30s", protector);
    for (int a = 0; a < 3; a++) {
        r.test[a] = (um_overlap){.dsc = dsc + 0.01 * a, .jaccard = dsc / (2 - dsc)};
        r.train[a] = (um_overlap){.dsc = 0.9, .jaccard = 0.8};
    }
    return r;
}

static char *print(const um_result_row *rows, int n, int table, um_report_format format)
{
    um_report *r = NULL;
    um_text text = {0};
    char *copy = NULL;
    OK(um_report_from_rows(&r, rows, n));
    OK(um_report_print(r, table, format, &text));
    OK(um_strdup(&copy, um_text_get(&text)));
    um_text_free(&text);
    um_report_free(r);
    return copy;
}

static void check_holds(const char *text, const char *wanted, const char *file, int line)
{
    if (!strstr(text, wanted))
        print_error("%s:%d: no \"%s\" in:\n%s\n", file, line, wanted, text);
    _assert_true(strstr(text, wanted) != NULL, wanted, file, line);
}
#define HOLDS(text, wanted) check_holds((text), (wanted), __FILE__, __LINE__)

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

static void paper_numbers(void **state)
{
    (void)state;
    um_paper_value *v = NULL;
    int n = 0, per_table[6] = {0};
    OK(um_paper_load(&v, &n));
    assert_int_equal(n, 354);
    for (int i = 0; i < n; i++)
        per_table[v[i].table]++;
    assert_int_equal(per_table[1], 56);
    assert_int_equal(per_table[2], 168);
    assert_int_equal(per_table[3], 80);
    assert_int_equal(per_table[4], 36);
    assert_int_equal(per_table[5], 14);
    assert_string_equal(v[0].dataset, "busi");
    assert_string_equal(v[0].protector, "none");
    assert_true(fabs(v[0].value - 58.15) <= 1e-9);
    assert_string_equal(v[n - 1].label, "G");
    um_free(v);
}

static void csv_rows(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("busi", "umed", "4/255", "unet", 1, 0.10), cell("busi", "umed", "4/255", "unet", 2, 0.20),
                            cell("phantom", "none", "none", "unet", 1, 0.75)};
    char *csv = print(rows, 3, UM_REPORT_MEASURED, UM_REPORT_CSV);
    HOLDS(csv, "table,dataset,protector,bound,exploiter,defense,case,metric,paper,mean,sd,n\n");
    HOLDS(csv, "\n1,busi,umed,4/255,unet,none,,DSC,0.92,15.0000,7.0711,2\n");
    HOLDS(csv, "\n3,busi,umed,4/255,unet,none,,DSC,0.92,15.0000,7.0711,2\n");
    HOLDS(csv, "\n1,chest_xray,umed,4/255,unet,none,,DSC,19.24,,,\n");
    HOLDS(csv, "\n1,average,umed,4/255,unet,none,,DSC,6.80,,,\n");
    HOLDS(csv, "\n,phantom,none,none,unet,none,,DSC,,75.0000,,1\n");
    HOLDS(csv, "\n,phantom,none,none,unet,none,,DSC_pooled,,76.0000,,1\n");
    HOLDS(csv, "\n,busi,umed,4/255,unet,none,,DSC_image,,17.0000,7.0711,2\n");
    assert_null(strstr(csv, "\n,busi,umed,4/255,unet,none,,DSC,"));
    assert_int_equal(count(csv, "\n"), 1 + 354 + 8 + 6);
    um_free(csv);
}

static void empty_folder(void **state)
{
    (void)state;
    char *csv = print(NULL, 0, UM_REPORT_ALL, UM_REPORT_CSV), *text = print(NULL, 0, UM_REPORT_MEASURED, UM_REPORT_TEXT);
    assert_int_equal(count(csv, "\n"), 355);
    assert_int_equal(count(csv, ",,,\n"), 354);
    assert_string_equal(text, "");
    um_free(csv);
    um_free(text);
}

static void averages(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("busi", "none", "none", "unet", 1, 0.60), cell("chest_xray", "none", "none", "unet", 1, 0.90),
                            cell("kvasir_seg", "none", "none", "unet", 1, 0.75)};
    char *two = print(rows, 2, 1, UM_REPORT_CSV), *three = print(rows, 3, 1, UM_REPORT_CSV);
    HOLDS(two, "\n1,average,none,none,unet,none,,DSC,82.18,,,\n");
    HOLDS(three, "\n1,average,none,none,unet,none,,DSC,82.18,75.0000,,1\n");
    assert_int_equal(count(three, "\n"), 57);
    um_free(two);
    um_free(three);
}

static void table5_average(void **state)
{
    (void)state;
    static const char *const networks[] = {"unet", "attention_unet", "unetpp", "transunet"};
    um_result_row rows[4];
    for (int i = 0; i < 4; i++) {
        rows[i] = cell("busi", "umed_contour", "4/255", networks[i], 1, 0.1 * (i + 1));
        rows[i].plain = false;
        rows[i].label[0] = 'B';
    }
    char *csv = print(rows, 4, UM_REPORT_ALL, UM_REPORT_CSV);
    HOLDS(csv, "\n5,busi,umed,4/255,average,none,B,DSC,15.13,25.0000,,1\n");
    HOLDS(csv, "\n5,busi,umed,4/255,average,none,A,DSC,6.34,,,\n");
    HOLDS(csv, "\n1,busi,umed,4/255,unet,none,,DSC,0.92,,,\n"); /* a case is not the method of Table 1 */
    um_free(csv);
}

static void variants_stay_out(void **state)
{
    (void)state;
    um_result_row row = cell("busi", "umed_wide", "4/255", "unet", 1, 0.33);
    row.plain = false;
    char *csv = print(&row, 1, UM_REPORT_ALL, UM_REPORT_CSV);
    HOLDS(csv, "\n1,busi,umed,4/255,unet,none,,DSC,0.92,,,\n");
    HOLDS(csv, "\n,busi,umed_wide,4/255,unet,none,,DSC,,33.0000,,1\n");
    um_free(csv);
}

static void text_tables(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("busi", "umed", "4/255", "unet", 1, 0.10), cell("busi", "umed", "4/255", "unet", 2, 0.20),
                            cell("busi", "umed", "4/255", "", 1, 0)};
    rows[2].psnr = 51.2;
    rows[2].ssim = 0.99512;
    char *text = print(rows, 3, UM_REPORT_MEASURED, UM_REPORT_TEXT);
    HOLDS(text, "Table 1.");
    HOLDS(text, "15.00±7.07 [0.92]");
    HOLDS(text, "[72.85]");
    HOLDS(text, "Table 4.");
    HOLDS(text, "51.20 [51.65]");
    HOLDS(text, "0.9951 [0.9964]");
    HOLDS(text, "pooled DSC");
    assert_null(strstr(text, "Table 2."));
    assert_null(strstr(text, "nan"));
    um_free(text);
    text = print(rows, 3, 2, UM_REPORT_TEXT);
    HOLDS(text, "Table 2.");
    assert_null(strstr(text, "Table 1."));
    um_free(text);
}

/* The paper's own inconsistencies are marked where they stand, and only there; completeness is counted. */
static void notes_and_completeness(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("chest_xray", "none", "none", "attention_unet", 1, 0.95),
                            cell("busi", "umed", "4/255", "unet", 1, 0.1)};
    char *two = print(rows, 2, 2, UM_REPORT_TEXT), *three = print(rows, 2, 3, UM_REPORT_MARKDOWN),
         *all = print(rows, 2, UM_REPORT_ALL, UM_REPORT_TEXT);
    char *latex = print(rows, 2, 5, UM_REPORT_LATEX);
    HOLDS(two, "[88.90 b]");
    HOLDS(two, "[95.95 a]");
    HOLDS(two, "\na: the printed average 92.21 | 95.95 is 90.95 | 95.25");
    HOLDS(two, "[90.66 e]");
    HOLDS(two, "2 of 168 numbers have a result");
    assert_int_equal(count(two, "\ne: "), 1);
    assert_null(strstr(two, "JPEG"));
    HOLDS(three, "h: JPEG quality");
    HOLDS(three, "[0.38 i]");
    HOLDS(three, "2 of 80 numbers have a result");
    HOLDS(latex, "\\footnotesize j: the text says");
    HOLDS(all, "Tables 1 to 5: 6 of 354 numbers have a result\n"); /* table 2: 2, tables 1 and 3: 2 each */
    um_free(two);
    um_free(three);
    um_free(all);
    um_free(latex);
}

static void markdown_and_latex(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("busi", "umed", "4/255", "unet", 1, 0.10), cell("busi", "umed", "4/255", "unet", 2, 0.20)};
    char *markdown = print(rows, 2, 1, UM_REPORT_MARKDOWN), *latex = print(rows, 2, 1, UM_REPORT_LATEX);
    HOLDS(markdown, "| umed | 4/255 |");
    HOLDS(markdown, "| 15.00±7.07 [0.92] |");
    HOLDS(markdown, "|---|---|---:|");
    HOLDS(latex, "\\begin{tabular}{llrr");
    HOLDS(latex, "chest\\_xray DSC");
    HOLDS(latex, "15.00$\\pm$7.07 [0.92]");
    HOLDS(latex, "\\end{table}");
    um_free(markdown);
    um_free(latex);
}

/* Seeds of one method under other settings are another group, never averaged together. */
static void groups_keep_apart(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("phantom", "umed", "4/255", "unet", 1, 0.10), cell("phantom", "umed", "4/255", "unet", 2, 0.20)};
    snprintf(rows[1].group, sizeof rows[1].group, "other");
    char *csv = print(rows, 2, UM_REPORT_ALL, UM_REPORT_CSV);
    HOLDS(csv, ",phantom,umed,4/255,unet,none,,DSC,,10.0000,,1\n");
    HOLDS(csv, ",phantom,umed,4/255,unet,none,,DSC,,20.0000,,1\n");
    um_free(csv);
}

static void merged_file(void **state)
{
    (void)state;
    um_result_row rows[] = {cell("busi", "umed", "4/255", "unet", 1, 0.10), cell("busi", "umed", "4/255", "unet", 2, 0.20),
                            cell("busi", "umed", "4/255", "", 1, 0)};
    um_report *r = NULL;
    um_h5 *f = NULL;
    char **names = NULL;
    int64_t n = 0, two = 2;
    double dsc[2];
    OK(um_report_from_rows(&r, rows, 3));
    OK(um_report_write_merged(r, at("results.h5")));
    OK(um_report_write_merged(r, at("results.h5"))); /* again: replaced */
    OK(um_h5_open(&f, at("results.h5"), "umed-results", "1.0"));
    OK(um_h5_read_strings(f, "/cells/protector", 2, &names, &n));
    assert_string_equal(names[1], "umed");
    OK(um_h5_read_into(f, "/cells/test_dsc_batch", UM_H5_F64, 1, &two, dsc));
    assert_true(fabs(dsc[0] - 0.10) <= 1e-15);
    assert_true(fabs(dsc[1] - 0.20) <= 1e-15);
    assert_true(um_h5_exists(f, "/protections/psnr"));
    um_names_free(names, (size_t)n);
    um_h5_free(f);
    um_report_free(r);
}

static void no_sweep(void **state)
{
    (void)state;
    um_report *r = NULL;
    FAILS(um_report_read(&r, fixture_dir), UM_E_DATA, "no sweep folder");
    OK(um_dir_make(at("cells/0000000000000000"), 0777)); /* begun, nothing finished */
    OK(um_report_read(&r, fixture_dir));
    um_report_free(r);
    OK(um_file_write(at("cells/0000000000000000/result.h5"), "junk", 4));
    r = NULL;
    FAILS(um_report_read(&r, fixture_dir), UM_E_DATA, "result.h5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(paper_numbers),     FIXTURE_TEST(csv_rows),          FIXTURE_TEST(empty_folder),
        FIXTURE_TEST(averages),          FIXTURE_TEST(table5_average),    FIXTURE_TEST(variants_stay_out),
        FIXTURE_TEST(text_tables),       FIXTURE_TEST(markdown_and_latex), FIXTURE_TEST(groups_keep_apart),
        FIXTURE_TEST(merged_file),       FIXTURE_TEST(notes_and_completeness),       FIXTURE_TEST(no_sweep),
    };
    return cmocka_run_group_tests_name("grid_report", tests, NULL, NULL);
}
