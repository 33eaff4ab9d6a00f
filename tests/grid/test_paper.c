/* The sweeps behind the paper's tables (configs/paper*.cfg): every number has exactly one cell, and no cell is there for nothing.
 * */
#include "grid_fixture.h"

#include "grid/report_internal.h"

#include <math.h>

enum { MAX_ROWS = 512 };

typedef struct plan {
    um_grid_config *config;
    um_result_row rows[MAX_ROWS];
    bool in_table[MAX_ROWS]; /* wanted for a table of the paper */
    int n;
} plan;

static um_method find_method(const um_grid_config *c, const char *name)
{
    um_method m = {0};
    const um_protector_def *def = NULL;
    for (size_t i = 0; i < c->n_variants; i++)
        if (strcmp(c->variants[i].name, name) == 0) {
            OK(um_protector_find(&def, c->variants[i].base));
            OK(um_method_create(&m, name, def, settings, c->variants[i].set.items, c->variants[i].set.n, "test"));
            return m;
        }
    OK(um_protector_find(&def, name));
    OK(um_method_create(&m, name, def, settings, NULL, 0, "test"));
    return m;
}

/* One result at these coordinates; the same coordinates again are the same cell. */
static void add(plan *p, const char *dataset, const um_method *m, const char *exploiter, const char *defense, bool in_table)
{
    um_result_row r = {.plain = m->plain, .seed = 1, .psnr = 40, .ssim = 0.9};
    snprintf(r.dataset, sizeof r.dataset, "%s", dataset);
    snprintf(r.protector, sizeof r.protector, "%s", m->name);
    snprintf(r.base, sizeof r.base, "%s", m->def->name);
    snprintf(r.bound, sizeof r.bound, "%s", m->bound);
    snprintf(r.label, sizeof r.label, "%s", m->label);
    snprintf(r.exploiter, sizeof r.exploiter, "%s", exploiter);
    snprintf(r.defense, sizeof r.defense, "%s", defense);
    for (int i = 0; i < p->n; i++) {
        const um_result_row *q = &p->rows[i];
        if (!strcmp(q->dataset, dataset) && !strcmp(q->protector, m->name) && !strcmp(q->exploiter, exploiter) &&
            !strcmp(q->defense, defense)) {
            p->in_table[i] = p->in_table[i] || in_table;
            return;
        }
    }
    assert_true(p->n < MAX_ROWS);
    p->in_table[p->n] = in_table;
    p->rows[p->n++] = r;
}

static void expand_block(plan *p, const um_grid_block *b)
{
    size_t n_data = b->datasets.n ? b->datasets.n : p->config->n_datasets;
    assert_true(b->protectors.n > 0 && b->exploiters.n > 0 && b->defenses.n > 0);
    for (size_t d = 0; d < n_data; d++) {
        const char *dataset = b->datasets.n ? b->datasets.items[d] : p->config->datasets[d].name;
        for (size_t k = 0; k < b->protectors.n; k++) {
            um_method m = find_method(p->config, b->protectors.items[k]);
            for (size_t x = 0; x < b->exploiters.n; x++)
                for (size_t f = 0; f < b->defenses.n; f++)
                    add(p, dataset, &m, b->exploiters.items[x], b->defenses.items[f], b->tables.n > 0);
            if (!um_method_is_none(&m))
                add(p, dataset, &m, "", "", true);
            um_method_clear(&m);
        }
    }
}

static void load(plan *p, const char *name)
{
    char path[512];
    const char *root = getenv("UMED_SOURCE_DIR");
    *p = (plan){0};
    snprintf(path, sizeof path, "%s/configs/%s", root ? root : ".", name);
    OK(um_config_load(path, settings, &p->config));
    assert_int_equal(p->config->n_datasets, 3);
    for (size_t i = 0; i < p->config->n_blocks; i++)
        expand_block(p, &p->config->blocks[i]);
}

static void every_number_has_one_cell(void **state)
{
    (void)state;
    static const char *const configs[] = {"paper.cfg", "paper_half.cfg", "paper_small.cfg", "paper_micro.cfg"};
    for (size_t c = 0; c < UM_COUNT(configs); c++) {
        static plan p;
        static um_report *alone[MAX_ROWS]; /* one result each */
        um_report *r = NULL;
        int numbers = 0, averages = 0, cells = 0;
        load(&p, configs[c]);
        OK(um_report_from_rows(&r, p.rows, p.n));
        for (int i = 0; i < p.n; i++)
            OK(um_report_from_rows(&alone[i], &p.rows[i], 1));
        for (int i = 0; i < r->n_paper; i++) {
            const um_paper_value *v = &r->paper[i];
            bool average = !strcmp(v->dataset, "average") || !strcmp(v->exploiter, "average");
            averages += average;
            numbers += !average;
            if (um_report_lookup(r, v).n != 1)
                fail_msg("%s: %s %s %s %s %s %s of table %d: n = %d", configs[c], v->dataset, v->protector, v->bound, v->exploiter,
                         v->defense, v->metric, v->table, um_report_lookup(r, v).n);
            int hits = 0;
            for (int row = 0; !average && row < p.n; row++)
                hits += um_report_lookup(alone[row], v).n > 0;
            assert_int_equal(hits, !average);
        }
        assert_int_equal(numbers + averages, 354);
        for (int i = 0; i < p.n; i++) {
            bool of_table5 = p.rows[i].label[0] && strcmp(p.rows[i].defense, "jpeg30") != 0; /* shown in averages only */
            bool known = um_report_group_in_paper(alone[i], &alone[i]->groups[0]) || of_table5;
            if (known != p.in_table[i])
                fail_msg("%s: %s/%s/%s/%s is %s in the paper", configs[c], p.rows[i].dataset, p.rows[i].protector,
                         p.rows[i].exploiter, p.rows[i].defense, known ? "" : "not");
            cells += p.rows[i].exploiter[0] != 0;
            um_report_free(alone[i]);
        }
        print_message("%s: %d cells and %d protections per seed for %d numbers and %d averages\n", configs[c], cells, p.n - cells,
                      numbers, averages);
        assert_int_equal(cells - 8, 21 + 63 + 26 + 24); /* tables 1, 2, 3 and 5 without what they share; 8 of quality 30 */
        assert_int_equal(p.n - cells, 18 + 2 + 6);
        um_report_free(r);
        um_grid_config_free(p.config);
    }
}

/* The PSNRs that LSP and AR aim at are those of Table 4. */
static void noise_aims_at_table_4(void **state)
{
    (void)state;
    static plan p;
    um_report *r = NULL;
    int checked = 0;
    load(&p, "paper.cfg");
    OK(um_report_from_rows(&r, p.rows, p.n));
    for (size_t i = 0; i < p.config->n_variants; i++) {
        const um_grid_variant *v = &p.config->variants[i];
        const char *psnr = v->set.n ? strstr(v->set.items[0], "bound.psnr=") : NULL;
        for (int k = 0; psnr && k < r->n_paper; k++) {
            const um_paper_value *q = &r->paper[k];
            const char *data = strrchr(v->name, '_') + 1;
            if (q->table != 4 || strcmp(q->metric, "PSNR") || strcmp(q->protector, v->base) ||
                strncmp(q->dataset, data, strlen(data)))
                continue;
            assert_true(fabs(atof(psnr + strlen("bound.psnr=")) - q->value) <= 1e-9);
            checked++;
        }
    }
    assert_int_equal(checked, 6);
    um_report_free(r);
    um_grid_config_free(p.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_number_has_one_cell),
        FIXTURE_TEST(noise_aims_at_table_4),
    };
    return cmocka_run_group_tests_name("grid_paper", tests, NULL, NULL);
}
