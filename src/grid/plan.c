#include "grid/plan_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "grid/names.h"
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
    for (int i = 0; s->methods && i < s->n_methods; i++)
        um_method_clear(&s->methods[i]);
    um_free(s->methods);
    um_free(s->data);
    um_free(s->items);
    um_free(s->cells);
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

/* ---- datasets and methods ---- */

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

static um_status check_variant_name(const um_sweep *s, const char *name, const char *where)
{
    for (int k = 0; k < s->n_methods; k++)
        if (strcmp(s->methods[k].name, name) == 0)
            return um_fail(UM_E_CONFIG, "%s: variant '%s': the name is taken; choose another", where, name);
    return UM_OK;
}

/* The registered protectors, then the variants. */
static um_status create_methods(um_sweep *s, const um_grid_config *config, const um_settings *base, const char *where)
{
    um_status rc = UM_OK;
    int n = 0;
    const um_protector_def *const *all = um_protector_all(&n);
    UM_TRY(UM_NEW_ARRAY(s->methods, n + (int)config->n_variants));
    for (int i = 0; i < n; i++) {
        UM_TRY(um_method_create(&s->methods[i], all[i]->name, all[i], base, NULL, 0, where));
        s->n_methods++;
    }
    for (size_t i = 0; i < config->n_variants; i++) {
        const um_grid_variant *v = &config->variants[i];
        const um_protector_def *def = NULL;
        UM_TRY(check_variant_name(s, v->name, where));
        UM_TRY(um_name_protector(&def, v->base, where));
        UM_TRY(um_method_create(&s->methods[s->n_methods], v->name, def, base, v->set.items, v->set.n, where));
        s->n_methods++;
    }
done:
    return rc;
}

/* ---- cells ---- */

static int find_item(const um_sweep *s, const char *key)
{
    for (int i = 0; i < s->n_items; i++)
        if (strcmp(s->items[i].key, key) == 0)
            return i;
    return -1;
}

static um_cell_id cell_id(const um_sweep *s, int data, int method, int64_t seed)
{
    return (um_cell_id){.dataset_sha256 = s->data[data].sha256, .protector = s->methods[method].def,
                        .settings = s->methods[method].settings, .seed = seed};
}

/* The item a cell needs, added when it is new; -1 for a method without effect. */
static um_status need_item(um_sweep *s, int data, int method, int64_t seed, int *out)
{
    um_status rc = UM_OK;
    um_cell_id id = cell_id(s, data, method, seed);
    um_sweep_item item = {.data = data, .method = method, .seed = seed};
    *out = -1;
    if (um_method_is_none(&s->methods[method]))
        return UM_OK;
    UM_TRY(um_cell_key(item.key, &id, true));
    *out = find_item(s, item.key);
    if (*out >= 0)
        goto done;
    if (s->n_items == s->cap_items) {
        int cap = s->cap_items ? 2 * s->cap_items : 16;
        UM_TRY(UM_GROW(s->items, s->cap_items, cap));
        s->cap_items = cap;
    }
    *out = s->n_items;
    s->items[s->n_items++] = item;
done:
    return rc;
}

static um_status add_cell(um_sweep *s, um_sweep_cell cell)
{
    um_status rc = UM_OK;
    um_cell_id id = cell_id(s, cell.data, cell.method, cell.seed);
    id.exploiter = cell.exploiter->name;
    id.defense = cell.defense->name;
    UM_TRY(um_cell_key(cell.key, &id, true));
    UM_TRY(um_cell_key(cell.group, &id, false));
    for (int i = 0; i < s->n_cells; i++) {
        if (strcmp(s->cells[i].key, cell.key) == 0) {
            s->cells[i].tables |= cell.tables;
            goto done;
        }
    }
    UM_TRY(need_item(s, cell.data, cell.method, cell.seed, &cell.item));
    if (s->n_cells == s->cap_cells) {
        int cap = s->cap_cells ? 2 * s->cap_cells : 64;
        UM_TRY(UM_GROW(s->cells, s->cap_cells, cap));
        s->cap_cells = cap;
    }
    s->cells[s->n_cells++] = cell;
done:
    return rc;
}

typedef struct expansion {
    um_sweep *sweep;
    const um_sweep_choice *choice;
    const um_sweep_filter *filter;
} expansion;

static um_status add_trainings(const expansion *e, int data, int method, int64_t seed)
{
    um_status rc = UM_OK;
    um_sweep *s = e->sweep;
    for (int x = 0; x < e->choice->n_exploiters; x++) {
        for (int d = 0; d < e->choice->n_defenses; d++) {
            um_sweep_cell cell = {.data = data, .method = method, .exploiter = e->choice->exploiters[x],
                                  .defense = e->choice->defenses[d], .seed = seed, .tables = e->choice->tables};
            if (um_sweep_filter_passes(e->filter, s->data[data].name, s->methods[method].name, cell.exploiter->name,
                                       cell.defense->name,
                                       seed))
                UM_TRY(add_cell(s, cell));
        }
    }
done:
    return rc;
}

static um_status expand_block(um_sweep *s, const um_grid_config *config, const um_grid_block *block, const um_sweep_filter *filter)
{
    um_status rc = UM_OK;
    static const int64_t one = 1;
    um_sweep_choice choice = {0};
    size_t n_seeds = config->seeds.n ? config->seeds.n : 1;
    const int64_t *seeds = config->seeds.n ? config->seeds.items : &one;
    UM_TRY(um_sweep_choice_resolve(&choice, s, config, block));
    expansion e = {s, &choice, filter};
    for (int d = 0; d < choice.n_data; d++)
        for (int m = 0; m < choice.n_methods; m++)
            for (size_t k = 0; k < n_seeds; k++)
                UM_TRY(add_trainings(&e, choice.data[d], choice.methods[m], seeds[k]));
done:
    um_sweep_choice_clear(&choice);
    return rc;
}

/* ---- what only the data can tell ---- */

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

/* What differs in its seed only costs the same. */
static bool item_cost_known(um_sweep *s, int item)
{
    for (int i = 0; i < item; i++)
        if (s->items[i].data == s->items[item].data && s->items[i].method == s->items[item].method) {
            s->items[item].cost = s->items[i].cost;
            return true;
        }
    return false;
}

static bool cell_cost_known(um_sweep *s, int cell)
{
    for (int i = 0; i < cell; i++)
        if (strcmp(s->cells[i].group, s->cells[cell].group) == 0) {
            s->cells[cell].cost = s->cells[i].cost;
            return true;
        }
    return false;
}

/* A task that cannot work fails when it is its turn, with the others going on; its cost stays 0. */
static um_status known_or_nothing(um_status rc)
{
    if (rc != UM_E_DATA && rc != UM_E_UNSUPPORTED && rc != UM_E_CONFIG)
        return rc;
    um_error_clear();
    return UM_OK;
}

static um_status cost_of_data(um_sweep *s, int data, um_backend *backend)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    um_rows train = {0}, test = {0};
    const um_sweep_data *info = &s->data[data];
    UM_TRY(um_dataset_read(&d, info->path));
    UM_TRY(select_rows(d, s->methods[0].settings, &train, &test, info->path));
    for (int i = 0; i < s->n_items; i++) {
        const um_method *m = &s->methods[s->items[i].method];
        um_protect_job job = {.settings = m->settings, .backend = backend, .data = d, .rows = &train,
                              .seed = (uint64_t)s->items[i].seed, .label = m->name};
        if (s->items[i].data == data && m->def->cost && !item_cost_known(s, i))
            UM_TRY(known_or_nothing(m->def->cost(&job, &s->items[i].cost)));
    }
    for (int i = 0; i < s->n_cells; i++) {
        um_sweep_cell *cell = &s->cells[i];
        if (cell->data == data && !cell_cost_known(s, i))
            UM_TRY(known_or_nothing(um_exploit_cost(&cell->cost, backend, s->methods[cell->method].settings, cell->exploiter,
                                                    cell->defense, info->n_train, info->h, info->w, info->c)));
    }
done:
    um_rows_free(&test);
    um_rows_free(&train);
    um_dataset_free(d);
    return rc;
}

/* All names of all blocks, before anything large is read. */
static um_status check_blocks(const um_sweep *s, const um_grid_config *config)
{
    um_status rc = UM_OK;
    for (size_t i = 0; i < config->n_blocks; i++) {
        um_sweep_choice choice = {0};
        UM_TRY(um_sweep_choice_resolve(&choice, s, config, &config->blocks[i]));
        um_sweep_choice_clear(&choice);
    }
done:
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

um_status um_sweep_create(um_sweep **out, const um_grid_config *config, const um_settings *base, const um_sweep_filter *filter,
                          um_backend *backend, const char *where)
{
    um_status rc = UM_OK;
    um_sweep *s = NULL;
    char everything[UM_OPT_TEXT];
    um_grid_block whole = {.where = everything};
    snprintf(everything, sizeof everything, "%s", where);
    UM_TRY(UM_NEW(s));
    UM_TRY(check_datasets(config, where));
    UM_TRY(create_methods(s, config, base, where));
    s->n_data = (int)config->n_datasets;
    UM_TRY(um_sweep_filter_check(filter, s, config));
    UM_TRY(check_blocks(s, config));
    UM_TRY(describe_data(s, config, base));
    if (config->n_blocks == 0)
        UM_TRY(expand_block(s, config, &whole, filter));
    for (size_t i = 0; i < config->n_blocks; i++)
        UM_TRY(expand_block(s, config, &config->blocks[i], filter));
    if (s->n_cells == 0)
        UM_TRY(um_fail(UM_E_CONFIG, "%s: no cell is left; check the lists of the blocks%s", where,
                       filter && filter->n ? " and --only" : ""));
    for (int i = 0; i < s->n_data; i++)
        UM_TRY(cost_of_data(s, i, backend));
    *out = s;
    s = NULL;
done:
    um_sweep_free(s);
    return rc;
}
