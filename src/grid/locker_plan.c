/* Cells of kind medlocker: networks, marks and cells from blocks, their keys and costs. */
#include "grid/locker.h"

#include "base/mem.h"
#include "grid/kind.h"
#include "grid/locker_choice.h"
#include "grid/plan_internal.h"
#include "io/import.h"
#include "medlocker/logo.h"
#include "train/classify.h"

#include <stdio.h>
#include <string.h>

static const char *const searches[] = {"bhe", "grad", "random", "centre", "grid"}; /* UM_SEARCHES */

bool um_locker_is_search(const char *name)
{
    for (size_t i = 0; i < UM_COUNT(searches); i++)
        if (strcmp(searches[i], name) == 0)
            return true;
    return false;
}

/* ---- searches ---- */

static um_status add_search(um_locker_plan *p, const char *name, const char *base, const um_settings *settings,
                            const um_config_names *set, const char *where)
{
    um_status rc = UM_OK;
    um_locker_search *s = &p->searches[p->n_searches++];
    for (int i = 0; i < p->n_searches - 1; i++)
        if (strcmp(p->searches[i].name, name) == 0)
            UM_TRY(um_fail(UM_E_CONFIG, "%s: variant '%s': the name is taken; choose another", where, name));
    UM_TRY(um_strdup(&s->name, name));
    UM_TRY(um_settings_clone(&s->settings, settings));
    UM_TRY(um_settings_set(s->settings, "medlocker.search", base, where));
    for (size_t i = 0; set && i < set->n; i++)
        UM_TRY(um_settings_assign(s->settings, set->items[i], where));
    const um_medlocker_options *o = um_settings_get(s->settings, "medlocker");
    if (o->search == UM_SEARCH_RANDOM) {
        UM_TRY(um_settings_clone(&s->once, s->settings));
        UM_TRY(um_settings_set(s->once, "medlocker.budget", "1", where));
    }
done:
    return rc;
}

static um_status prepare(um_sweep *s, const um_grid_config *config, const um_settings *base, const char *where)
{
    um_status rc = UM_OK;
    UM_TRY(UM_NEW(s->locker));
    UM_TRY(UM_NEW_ARRAY(s->locker->searches, UM_COUNT(searches) + config->n_variants));
    for (size_t i = 0; i < UM_COUNT(searches); i++)
        UM_TRY(add_search(s->locker, searches[i], searches[i], base, NULL, where));
    for (size_t i = 0; i < config->n_variants; i++) {
        const um_grid_variant *v = &config->variants[i];
        if (um_locker_is_search(v->base))
            UM_TRY(add_search(s->locker, v->name, v->base, base, &v->set, where));
    }
done:
    return rc;
}

static void release(um_sweep *s)
{
    um_locker_plan *p = s->locker;
    if (!p)
        return;
    for (int i = 0; i < p->n_searches; i++) {
        um_free(p->searches[i].name);
        um_settings_free(p->searches[i].settings);
        um_settings_free(p->searches[i].once);
    }
    um_free(p->searches);
    um_free(p->nets);
    um_free(p->marks);
    um_free(p->cells);
    um_free(p);
    s->locker = NULL;
}

/* ---- keys: a SHA-256 over what can change the result, as cell.h has it ---- */

static void key_of_text(char out[UM_KEY_BYTES], const um_text *text)
{
    char hex[UM_SHA256_HEX];
    um_sha256_of(um_text_get(text), text->n, hex);
    memcpy(out, hex, UM_KEY_BYTES - 1);
    out[UM_KEY_BYTES - 1] = 0;
}

static um_status begin_key(um_text *text, const char *kind, const um_sweep *s, int data, const um_settings *settings, int64_t seed,
                           bool with_seed)
{
    um_status rc = UM_OK;
    const um_data_options *o = um_settings_get(settings, "data");
    UM_TRY(um_text_add(text, "schema=%d\nkind=%s\ndataset=%s\n", UM_CELL_SCHEMA, kind, s->data[data].sha256));
    if (with_seed)
        UM_TRY(um_text_add(text, "seed=%lld\n", (long long)seed));
    if (o->limit)
        UM_TRY(um_text_add(text, "data.limit=%lld\ndata.split_seed=%lld\n", (long long)o->limit, (long long)o->split_seed));
done:
    return rc;
}

static um_status key_of_net(char out[UM_KEY_BYTES], const um_sweep *s, const um_locker_net *n, bool with_seed)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(begin_key(&text, "network", s, n->data, n->settings, n->seed, with_seed));
    UM_TRY(um_text_add(&text, "model=%s\n", n->model->name));
    UM_TRY(um_settings_changes(n->settings, "classifier model run conv", &text));
    if (n->model->table)
        UM_TRY(um_settings_changes(n->settings, n->model->table->group, &text));
    key_of_text(out, &text);
done:
    um_text_free(&text);
    return rc;
}

static const char *net_key(const um_locker_plan *p, int net, bool with_seed)
{
    return with_seed ? p->nets[net].key : p->nets[net].group;
}

static um_status key_of_mark(char out[UM_KEY_BYTES], const um_sweep *s, const um_locker_mark *m, bool with_seed)
{
    um_status rc = UM_OK;
    const um_medlocker_options *o = um_settings_get(m->settings, "medlocker");
    um_text text = {0};
    UM_TRY(begin_key(&text, "marks", s, m->data, m->settings, m->seed, with_seed));
    UM_TRY(um_text_add(&text, "split=%d\n", m->split));
    for (int i = 0; i < m->n_nets; i++)
        UM_TRY(um_text_add(&text, "target=%s\n", net_key(s->locker, m->net[i], with_seed)));
    if (m->cam >= 0)
        UM_TRY(um_text_add(&text, "cam=%s\n", net_key(s->locker, m->cam, with_seed)));
    if (o->wsm)
        UM_TRY(um_lesion_net_describe(o, &text));
    UM_TRY(um_settings_changes(m->settings, "medlocker run conv", &text));
    key_of_text(out, &text);
done:
    um_text_free(&text);
    return rc;
}

static um_status key_of_cell(char out[UM_KEY_BYTES], const um_sweep *s, const um_locker_cell *c, bool with_seed)
{
    um_status rc = UM_OK;
    const um_locker_plan *p = s->locker;
    const um_locker_mark *m = &p->marks[c->mark];
    um_text text = {0};
    UM_TRY(begin_key(&text, c->train_mark < 0 ? "medlocker" : "retrain", s, m->data, m->settings, c->seed, with_seed));
    UM_TRY(um_text_add(&text, "marks=%s\n", with_seed ? m->key : m->group));
    if (c->train_mark >= 0)
        UM_TRY(um_text_add(&text, "train=%s\n", with_seed ? p->marks[c->train_mark].key : p->marks[c->train_mark].group));
    for (int i = 0; i < c->n_nets; i++)
        UM_TRY(um_text_add(&text, "network=%s\n", net_key(p, c->net[i], with_seed)));
    UM_TRY(um_settings_changes(m->settings, "metrics", &text));
    key_of_text(out, &text);
done:
    um_text_free(&text);
    return rc;
}

/* ---- lists, equal entries once ---- */

static um_status add_net(um_sweep *s, um_locker_net n, int *out)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    UM_TRY(key_of_net(n.key, s, &n, true));
    UM_TRY(key_of_net(n.group, s, &n, false));
    for (*out = 0; *out < p->n_nets; ++*out)
        if (strcmp(p->nets[*out].key, n.key) == 0)
            goto done;
    if (p->n_nets == p->cap_nets) {
        int cap = 2 * p->cap_nets + 16;
        UM_TRY(UM_GROW(p->nets, p->cap_nets, cap));
        p->cap_nets = cap;
    }
    p->nets[p->n_nets++] = n;
done:
    return rc;
}

static um_status add_mark(um_sweep *s, um_locker_mark m, int *out)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    UM_TRY(key_of_mark(m.key, s, &m, true));
    UM_TRY(key_of_mark(m.group, s, &m, false));
    for (*out = 0; *out < p->n_marks; ++*out)
        if (strcmp(p->marks[*out].key, m.key) == 0)
            goto done;
    if (p->n_marks == p->cap_marks) {
        int cap = 2 * p->cap_marks + 16;
        UM_TRY(UM_GROW(p->marks, p->cap_marks, cap));
        p->cap_marks = cap;
    }
    p->marks[p->n_marks++] = m;
done:
    return rc;
}

static um_status add_cell(um_sweep *s, um_locker_cell c)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    UM_TRY(key_of_cell(c.key, s, &c, true));
    UM_TRY(key_of_cell(c.group, s, &c, false));
    for (int i = 0; i < p->n_cells; i++)
        if (strcmp(p->cells[i].key, c.key) == 0)
            goto done;
    if (p->n_cells == p->cap_cells) {
        int cap = 2 * p->cap_cells + 16;
        UM_TRY(UM_GROW(p->cells, p->cap_cells, cap));
        p->cap_cells = cap;
    }
    p->cells[p->n_cells++] = c;
done:
    return rc;
}

/* ---- blocks ---- */

typedef struct place {
    int data, search;
    const um_locker_target *target;
    int64_t seed;
} place;

static um_status need_marks(um_sweep *s, const um_locker_choice *c, const place *at, const int nets[UM_LOCKER_NETS], int split,
                            int *out)
{
    const um_locker_search *search = &s->locker->searches[at->search];
    um_locker_mark m = {.data = at->data,
                        .search = at->search,
                        .split = split,
                        .n_nets = at->target->n,
                        .cam = -1,
                        .seed = at->seed,
                        .settings = at->target->n ? search->settings : search->once};
    const um_medlocker_options *o = um_settings_get(m.settings, "medlocker");
    snprintf(m.target, sizeof m.target, "%s", at->target->name);
    for (int i = 0; i < m.n_nets; i++)
        m.net[i] = nets[at->target->backbone[i]];
    if (o->wsm && !o->lesion_model[0] && c->cam >= 0)
        m.cam = nets[c->cam];
    return add_mark(s, m, out);
}

/* The cells of one place: one that asks all networks, and one for every network that is trained anew. */
static um_status add_place(um_sweep *s, const um_locker_choice *c, const place *at)
{
    um_status rc = UM_OK;
    int nets[UM_LOCKER_NETS];
    um_locker_cell cell = {.train_mark = -1, .n_nets = c->n_backbones, .seed = at->seed};
    for (int i = 0; i < c->n_backbones; i++)
        UM_TRY(add_net(
            s,
            (um_locker_net){
                .data = at->data, .model = c->backbone[i], .settings = s->locker->searches[at->search].settings, .seed = at->seed},
            &nets[i]));
    UM_TRY(need_marks(s, c, at, nets, UM_SPLIT_TEST, &cell.mark));
    memcpy(cell.net, nets, sizeof nets);
    UM_TRY(add_cell(s, cell));
    for (int i = 0; i < c->n_retrain; i++) {
        cell.n_nets = 1;
        cell.net[0] = nets[c->retrain[i]];
        UM_TRY(need_marks(s, c, at, nets, UM_SPLIT_TRAIN, &cell.train_mark));
        UM_TRY(add_cell(s, cell));
    }
done:
    return rc;
}

static um_status add_targets(um_sweep *s, const um_locker_choice *c, const um_sweep_filter *filter, int data, int search,
                             int64_t seed)
{
    um_status rc = UM_OK;
    um_number_text text;
    for (int t = 0; t < c->n_targets; t++) {
        const place at = {data, search, &c->targets[t], seed};
        const um_coordinate list[] = {{"dataset", s->data[data].name},
                                      {"target", at.target->name},
                                      {"search", s->locker->searches[search].name},
                                      {"seed", um_seed_text(&text, seed)}};
        bool possible = at.target->n || s->locker->searches[search].once;
        if (possible && um_sweep_filter_passes(filter, list, UM_COUNT(list)))
            UM_TRY(add_place(s, c, &at));
    }
done:
    return rc;
}

static um_status expand(um_sweep *s, const um_grid_config *config, const um_grid_block *block, const um_sweep_filter *filter)
{
    um_status rc = UM_OK;
    um_locker_choice c = {0};
    um_config_ints seeds = um_sweep_seeds(config);
    UM_TRY(um_locker_choice_resolve(&c, s, config, block));
    for (int d = 0; d < c.n_data; d++)
        for (int k = 0; k < c.n_searches; k++)
            for (size_t i = 0; i < seeds.n; i++)
                UM_TRY(add_targets(s, &c, filter, c.data[d], c.searches[k], seeds.items[i]));
done:
    um_locker_choice_clear(&c);
    return rc;
}

static um_status check(const um_sweep *s, const um_grid_config *config, const um_grid_block *block)
{
    um_status rc = UM_OK;
    um_locker_choice c = {0};
    UM_TRY(um_locker_choice_resolve(&c, s, config, block));
done:
    um_locker_choice_clear(&c);
    return rc;
}

/* ---- costs ---- */

static um_status cost_of_nets(um_sweep *s, int data, const um_dataset *d, const um_rows *train, const um_rows *test,
                              um_backend *backend)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    for (int i = 0; i < p->n_nets; i++) {
        um_locker_net *n = &p->nets[i];
        bool known = false;
        if (n->data != data)
            continue;
        for (int k = 0; k < i && !known; k++)
            if ((known = strcmp(p->nets[k].group, n->group) == 0))
                n->cost = p->nets[k].cost, n->predict = p->nets[k].predict;
        if (!known)
            UM_TRY(um_cost_or_nothing(um_classify_cost(&n->cost, &n->predict,
                                                       &(um_classify_job){.settings = n->settings,
                                                                          .backend = backend,
                                                                          .model = n->model,
                                                                          .data = d,
                                                                          .train_rows = train,
                                                                          .test_rows = test,
                                                                          .seed = (uint64_t)n->seed,
                                                                          .label = n->model->name})));
    }
done:
    return rc;
}

/* Costs of other tasks follow from those of networks. */
static um_status cost(um_sweep *s, int data, const um_dataset *d, const um_rows *train, const um_rows *test, um_backend *backend)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    UM_TRY(cost_of_nets(s, data, d, train, test, backend));
    for (int i = 0; i < p->n_marks; i++) {
        um_locker_mark *m = &p->marks[i];
        const um_medlocker_options *o = um_settings_get(m->settings, "medlocker");
        double rows = (double)(m->split == UM_SPLIT_TRAIN ? train->n : test->n),
               passes = rows * (double)um_search_forwards(o, d->h, d->w);
        for (int k = 0; k < m->n_nets && m->data == data; k++) {
            m->cost.flops += passes * p->nets[m->net[k]].predict;
            m->cost.bytes += p->nets[m->net[k]].cost.bytes;
        }
    }
    for (int i = 0; i < p->n_cells; i++) {
        um_locker_cell *c = &p->cells[i];
        for (int k = 0; k < c->n_nets && p->marks[c->mark].data == data; k++) {
            const um_locker_net *n = &p->nets[c->net[k]];
            c->cost.flops += 2 * (double)test->n * n->predict + (c->train_mark >= 0 ? n->cost.flops : 0);
            c->cost.bytes = n->cost.bytes > c->cost.bytes ? n->cost.bytes : c->cost.bytes;
        }
    }
done:
    return rc;
}

/* ---- tasks ---- */

static um_status list_marks(um_sweep *s)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    for (int i = 0; i < p->n_marks; i++) {
        um_locker_mark *m = &p->marks[i];
        int needs[UM_TARGETS_MAX + 1], n = 0;
        for (int k = 0; k < m->n_nets; k++)
            needs[n++] = p->nets[m->net[k]].task;
        if (m->cam >= 0)
            needs[n++] = p->nets[m->cam].task;
        UM_TRY(um_sweep_add_task(s, &um_task_mark, i, m->key, m->cost, needs, n, &m->task));
    }
done:
    return rc;
}

static um_status list(um_sweep *s)
{
    um_status rc = UM_OK;
    um_locker_plan *p = s->locker;
    for (int i = 0; i < p->n_nets; i++)
        UM_TRY(um_sweep_add_task(s, &um_task_train, i, p->nets[i].key, p->nets[i].cost, NULL, 0, &p->nets[i].task));
    UM_TRY(list_marks(s));
    for (int i = 0; i < p->n_cells; i++) {
        const um_locker_cell *c = &p->cells[i];
        int needs[UM_LOCKER_NETS + 2], n = 0;
        needs[n++] = p->marks[c->mark].task;
        if (c->train_mark >= 0)
            needs[n++] = p->marks[c->train_mark].task;
        for (int k = 0; k < c->n_nets; k++)
            needs[n++] = p->nets[c->net[k]].task;
        UM_TRY(um_sweep_add_task(s, c->train_mark >= 0 ? &um_task_retrain : &um_task_judge, i, c->key, c->cost, needs, n, NULL));
    }
done:
    return rc;
}

/* ---- the kind ---- */

static const um_cell_column columns[] = {{"dataset", -12}, {"search", -12}, {"target", -24}, {"networks", 8}, {"retrained", -14},
                                         {"seed", 4}};

static um_status coordinate(const um_sweep *s, int index, int column, um_text *out)
{
    const um_locker_plan *p = s->locker;
    const um_locker_cell *c = &p->cells[index];
    const um_locker_mark *m = &p->marks[c->mark];
    switch (column) {
    case 0: return um_text_add(out, "%s", s->data[m->data].name);
    case 1: return um_text_add(out, "%s", p->searches[m->search].name);
    case 2: return um_text_add(out, "%s", m->target);
    case 3: return um_text_add(out, "%d", c->n_nets);
    case 4: return um_text_add(out, "%s", c->train_mark >= 0 ? p->nets[c->net[0]].model->name : "");
    default: return um_text_add(out, "%lld", (long long)c->seed);
    }
}

const um_cell_kind um_cells_medlocker = {
    .name = "medlocker",
    .columns = columns,
    .n_columns = UM_COUNT(columns),
    .needs_name = "needs",
    .prepare = prepare,
    .check = check,
    .expand = expand,
    .cost = cost,
    .list = list,
    .coordinate = coordinate,
    .free = release,
};
