#include "grid/plan_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "grid/kind.h"
#include "io/import.h"
#include "train/rows.h"

#include <stdio.h>
#include <string.h>

static const um_opt grid_rows[] = {
    {"ranks_per_cell", UM_OPT_T_INT, offsetof(um_grid_options, ranks_per_cell), "1", 1, UM_MAX_LANES, NULL, "ranks",
     "ranks that work together on one cell; at most run.lanes of them", true},
    {"utility", UM_OPT_T_BOOL, offsetof(um_grid_options, utility), "true", 0, 1, NULL, "",
     "keep the networks of clean cells and score them on the protected images", true},
    {"lease_s", UM_OPT_T_REAL, offsetof(um_grid_options, lease_s), "600", 1, 1e9, NULL, "s",
     "age from which a claim of another host counts as left behind", true},
};
const um_opt_table um_grid_table = UM_OPT_TABLE("grid", um_grid_options, grid_rows);

void um_sweep_free(um_sweep *s)
{
    if (!s)
        return;
    for (int k = 0; k < UM_GRID_KINDS; k++)
        um_cell_kind_of((um_grid_kind)k)->free(s);
    um_free(s->data);
    um_free(s->tasks);
    um_free(s->needs);
    um_free(s);
}

um_status um_sweep_tables_text(unsigned tables, um_text *out)
{
    um_status rc = UM_OK;
    for (unsigned t = 1; t <= 5; t++)
        if (tables & 1u << t)
            UM_TRY(um_text_add(out, "%s%u", out->n ? " " : "", t));
done:
    return rc;
}

/* ---- datasets ---- */

static um_status check_datasets(const um_grid_config *config, const char *where)
{
    if (config->n_datasets == 0)
        return um_fail(UM_E_CONFIG, "%s: no dataset; add grid: { datasets = ( { name = \"busi\"; path = \"busi.h5\"; } ); }",
                       where);
    for (size_t i = 0; i < config->n_datasets; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(config->datasets[i].name, config->datasets[k].name) == 0)
                return um_fail(UM_E_CONFIG, "%s: two datasets are called '%s'; rename one", where, config->datasets[i].name);
    return UM_OK;
}

static um_status select_rows(const um_dataset *d, const um_settings *base, um_rows *train, um_rows *test, const char *path)
{
    um_status rc = UM_OK;
    const um_data_options *o = um_settings_get(base, "data");
    UM_TRY(um_rows_select(train, d, UM_SPLIT_TRAIN, o->limit, (uint64_t)o->split_seed));
    UM_TRY(um_rows_select(test, d, UM_SPLIT_TEST, o->limit, (uint64_t)o->split_seed));
    if (train->n == 0 || test->n == 0)
        rc = um_fail(UM_E_DATA, "%s: %lld train and %lld test rows; both are needed, import with another data.split", path,
                     (long long)train->n, (long long)test->n);
done:
    return rc;
}

/* Hash and sizes of a dataset; a warning when the split leaks. */
static um_status measure_data(um_sweep_data *out, const um_settings *base)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_rows train = {0}, test = {0};
    UM_TRY(um_dataset_read(&d, out->path));
    um_dataset_sha256(d, out->sha256);
    out->h = d->h;
    out->w = d->w;
    out->c = d->c;
    UM_TRY(select_rows(d, base, &train, &test, out->path));
    out->n_train = train.n;
    out->n_test = test.n;
    if (um_exploit_check_leak(d, &train, d, &test) != UM_OK) {
        um_log(UM_LOG_WARN, "dataset %s: %s", out->name, um_error_text());
        um_error_clear();
    }
done:
    um_rows_free(&test);
    um_rows_free(&train);
    um_dataset_free(d);
    return rc;
}

static um_status cost_of_data(um_sweep *s, int data, const um_settings *base, um_backend *backend)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_rows train = {0}, test = {0};
    const um_sweep_data *info = &s->data[data];
    UM_TRY(um_dataset_read(&d, info->path));
    UM_TRY(select_rows(d, base, &train, &test, info->path));
    for (int k = 0; k < UM_GRID_KINDS; k++)
        UM_TRY(um_cell_kind_of((um_grid_kind)k)->cost(s, data, d, &train, &test, backend));
done:
    um_rows_free(&test);
    um_rows_free(&train);
    um_dataset_free(d);
    return rc;
}

static um_status describe_data(um_sweep *s, const um_grid_config *config, const um_settings *base)
{
    um_status rc = UM_OK;
    UM_TRY(UM_NEW_ARRAY(s->data, s->n_data));
    for (int i = 0; i < s->n_data; i++) {
        s->data[i].name = config->datasets[i].name;
        s->data[i].path = config->datasets[i].resolved;
        UM_TRY(measure_data(&s->data[i], base));
    }
done:
    return rc;
}

/* ---- tasks ---- */

um_status um_sweep_add_task(um_sweep *s, const um_task_kind *kind, int index, const char *key, um_cost cost, const int *needs,
                            int n_needs, int *out)
{
    um_status rc = UM_OK;
    um_task t = {.kind = kind, .index = index, .cost = cost, .first_need = s->n_needs, .n_needs = n_needs};
    snprintf(t.key, sizeof t.key, "%s", key);
    if (s->n_tasks == s->cap_tasks) {
        int cap = s->cap_tasks ? 2 * s->cap_tasks : 64;
        UM_TRY(UM_GROW(s->tasks, s->cap_tasks, cap));
        s->cap_tasks = cap;
    }
    if (s->n_needs + n_needs > s->cap_needs) {
        int cap = 2 * s->cap_needs + n_needs + 64;
        UM_TRY(UM_GROW(s->needs, s->cap_needs, cap));
        s->cap_needs = cap;
    }
    for (int i = 0; i < n_needs; i++) {
        UM_REQUIRE(needs[i] < s->n_tasks);
        s->needs[s->n_needs++] = needs[i];
    }
    if (out)
        *out = s->n_tasks;
    s->tasks[s->n_tasks++] = t;
done:
    return rc;
}

static int n_cells(const um_sweep *s)
{
    int n = 0;
    for (int i = 0; i < s->n_tasks; i++)
        n += s->tasks[i].kind->cells != NULL;
    return n;
}

static um_status expand_all(um_sweep *s, const um_grid_config *config, const um_sweep_filter *filter, const char *where)
{
    um_status rc = UM_OK;
    char everything[UM_OPT_TEXT];
    um_grid_block whole = {.kind = UM_GRID_EXPLOIT, .where = everything};
    snprintf(everything, sizeof everything, "%s", where);
    if (config->n_blocks == 0)
        UM_TRY(um_cells_exploit.expand(s, config, &whole, filter));
    for (size_t i = 0; i < config->n_blocks; i++)
        UM_TRY(um_cell_kind_of(config->blocks[i].kind)->expand(s, config, &config->blocks[i], filter));
done:
    return rc;
}

um_config_ints um_sweep_seeds(const um_grid_config *config)
{
    static int64_t one = 1;
    return config->seeds.n ? config->seeds : (um_config_ints){&one, 1};
}

um_status um_sweep_create(um_sweep **out, const um_grid_config *config, const um_settings *base, const um_sweep_filter *filter,
                          um_backend *backend, const char *where)
{
    um_status rc = UM_OK;
    um_sweep *s = NULL;
    UM_TRY(UM_NEW(s));
    UM_TRY(check_datasets(config, where));
    for (int k = 0; k < UM_GRID_KINDS; k++)
        UM_TRY(um_cell_kind_of((um_grid_kind)k)->prepare(s, config, base, where));
    s->n_data = (int)config->n_datasets;
    UM_TRY(um_sweep_filter_check(filter, s, config));
    for (size_t i = 0; i < config->n_blocks; i++)
        UM_TRY(um_cell_kind_of(config->blocks[i].kind)->check(s, config, &config->blocks[i]));
    UM_TRY(describe_data(s, config, base));
    UM_TRY(expand_all(s, config, filter, where));
    for (int i = 0; i < s->n_data; i++)
        UM_TRY(cost_of_data(s, i, base, backend));
    for (int k = 0; k < UM_GRID_KINDS; k++)
        UM_TRY(um_cell_kind_of((um_grid_kind)k)->list(s));
    if (n_cells(s) == 0)
        UM_TRY(um_fail(UM_E_CONFIG, "%s: no cell is left; check the lists of the blocks%s", where,
                       filter && filter->n ? " and --only" : ""));
    *out = s;
    s = NULL;
done:
    um_sweep_free(s);
    return rc;
}
