#include "grid/plan_internal.h"

#include "base/mem.h"
#include "grid/locker.h"
#include "grid/names.h"

#include <stdio.h>
#include <string.h>

/* ---- one block ---- */

static int find_data(const um_grid_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_datasets; i++)
        if (strcmp(config->datasets[i].name, name) == 0)
            return (int)i;
    return -1;
}

static um_status unknown_data(const um_grid_config *config, const char *name, const char *where)
{
    um_status rc = UM_OK;
    const char **names = NULL, *near;
    UM_TRY(UM_NEW_ARRAY(names, config->n_datasets));
    for (size_t i = 0; i < config->n_datasets; i++)
        names[i] = config->datasets[i].name;
    near = um_text_nearest(name, names, config->n_datasets);
    rc = um_fail(UM_E_CONFIG, "%s: unknown dataset '%s'%s%s%s; list it in grid.datasets", where, name, near ? ", did you mean '"
                 : "",
                 near ? near : "", near ? "'?" : "");
done:
    um_free(names);
    return rc;
}

um_status um_sweep_choice_data(int **out, int *n, const um_sweep *s, const um_grid_config *config, const um_grid_block *block)
{
    um_status rc = UM_OK;
    int *list = NULL, n_list = block->datasets.n ? (int)block->datasets.n : s->n_data;
    UM_TRY(UM_NEW_ARRAY(list, n_list));
    for (int i = 0; i < n_list; i++) {
        list[i] = block->datasets.n ? find_data(config, block->datasets.items[i]) : i;
        if (list[i] < 0)
            UM_TRY(unknown_data(config, block->datasets.items[i], block->where));
    }
    *out = list;
    *n = n_list;
    list = NULL;
done:
    um_free(list);
    return rc;
}

static int find_method(const um_sweep *s, const char *name)
{
    for (int i = 0; i < s->n_methods; i++)
        if (strcmp(s->methods[i].name, name) == 0)
            return i;
    return -1;
}

static um_status unknown_method(const um_sweep *s, const char *name, const char *where)
{
    um_status rc = UM_OK;
    const char **variants = NULL;
    size_t n = 0;
    UM_TRY(UM_NEW_ARRAY(variants, s->n_methods));
    for (int i = 0; i < s->n_methods; i++)
        if (strcmp(s->methods[i].name, s->methods[i].def->name) != 0)
            variants[n++] = s->methods[i].name;
    UM_TRY(um_name_refuse(UM_NAME_PROTECTOR, name, variants, n, where));
done:
    um_free(variants);
    return rc;
}

static um_status resolve_methods(um_sweep_choice *c, const um_sweep *s, const um_grid_block *block)
{
    um_status rc = UM_OK;
    size_t n = block->protectors.n;
    c->n_methods = n ? (int)n : s->n_methods;
    UM_TRY(UM_NEW_ARRAY(c->methods, c->n_methods));
    for (int i = 0; i < c->n_methods; i++) {
        c->methods[i] = n ? find_method(s, block->protectors.items[i]) : i;
        if (c->methods[i] < 0)
            UM_TRY(unknown_method(s, block->protectors.items[i], block->where));
    }
done:
    return rc;
}

static um_status resolve_exploiters(um_sweep_choice *c, const um_grid_block *block)
{
    um_status rc = UM_OK;
    int n = 0;
    const um_model_def *const *all = um_model_all(&n);
    if (block->exploiters.n)
        n = (int)block->exploiters.n;
    UM_TRY(UM_NEW_ARRAY(c->exploiters, n));
    for (int i = 0; i < n; i++) {
        if (block->exploiters.n)
            UM_TRY(um_name_exploiter(&c->exploiters[c->n_exploiters++], block->exploiters.items[i], block->where));
        else if (all[i]->exploiter)
            c->exploiters[c->n_exploiters++] = all[i];
    }
done:
    return rc;
}

static um_status resolve_defenses(um_sweep_choice *c, const um_grid_block *block)
{
    um_status rc = UM_OK;
    int n = 0;
    const um_defense_def *const *all = um_defense_all(&n);
    if (block->defenses.n)
        n = (int)block->defenses.n;
    UM_TRY(UM_NEW_ARRAY(c->defenses, n));
    for (int i = 0; i < n; i++) {
        c->defenses[i] = all[0];
        if (block->defenses.n)
            UM_TRY(um_name_defense(&c->defenses[i], block->defenses.items[i], block->where));
        else
            c->defenses[i] = all[i];
        c->n_defenses++;
    }
done:
    return rc;
}

static um_status resolve_tables(um_sweep_choice *c, const um_grid_block *block)
{
    for (size_t i = 0; i < block->tables.n; i++) {
        int64_t t = block->tables.items[i];
        if (t < 1 || t > 5)
            return um_fail(UM_E_CONFIG, "%s: tables = %lld: the paper has tables 1 to 5", block->where, (long long)t);
        c->tables |= 1u << t;
    }
    return UM_OK;
}

um_status um_sweep_choice_resolve(um_sweep_choice *out, const um_sweep *s, const um_grid_config *config, const um_grid_block *block)
{
    um_status rc = UM_OK;
    um_sweep_choice c = {0};
    UM_TRY(um_sweep_choice_data(&c.data, &c.n_data, s, config, block));
    UM_TRY(resolve_methods(&c, s, block));
    UM_TRY(resolve_exploiters(&c, block));
    UM_TRY(resolve_defenses(&c, block));
    UM_TRY(resolve_tables(&c, block));
    *out = c;
    c = (um_sweep_choice){0};
done:
    um_sweep_choice_clear(&c);
    return rc;
}

void um_sweep_choice_clear(um_sweep_choice *c)
{
    um_free(c->data);
    um_free(c->methods);
    um_free(c->exploiters);
    um_free(c->defenses);
    *c = (um_sweep_choice){0};
}

/* ---- --only ---- */

static const char *const filter_keys[] = {"dataset", "protector", "exploiter", "defense", "target", "search", "seed"};

static um_status check_value(const um_sweep *s, const um_grid_config *config, const char *key, const char *value)
{
    const um_model_def *exploiter;
    const um_defense_def *defense;
    if (strncmp(key, "dataset", 7) == 0)
        return find_data(config, value) < 0 ? unknown_data(config, value, "--only") : UM_OK;
    if (strncmp(key, "protector", 9) == 0)
        return find_method(s, value) < 0 ? unknown_method(s, value, "--only") : UM_OK;
    if (strncmp(key, "exploiter", 9) == 0)
        return um_name_exploiter(&exploiter, value, "--only");
    if (strncmp(key, "defense", 7) == 0)
        return um_name_defense(&defense, value, "--only");
    if (strncmp(key, "search", 6) == 0)
        return um_locker_check_search(s, value, "--only");
    return UM_OK;
}

um_status um_sweep_filter_check(const um_sweep_filter *f, const um_sweep *s, const um_grid_config *config)
{
    um_status rc = UM_OK;
    for (size_t i = 0; f && i < f->n; i++) {
        size_t n = strcspn(f->only[i], "=");
        bool known = false;
        for (size_t k = 0; k < UM_COUNT(filter_keys); k++)
            known = known || (strlen(filter_keys[k]) == n && strncmp(filter_keys[k], f->only[i], n) == 0);
        if (!known || f->only[i][n] != '=' || !f->only[i][n + 1])
            UM_TRY(um_fail(UM_E_USAGE,
                           "--only %s: expected dataset=, protector=, exploiter=, defense=, target=, search= or seed= and a value",
                           f->only[i]));
        UM_TRY(check_value(s, config, f->only[i], f->only[i] + n + 1));
    }
done:
    return rc;
}

const char *um_seed_text(um_number_text *text, int64_t seed)
{
    snprintf(text->text, sizeof text->text, "%lld", (long long)seed);
    return text->text;
}

static const char *value_of(const um_coordinate *list, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].key, key) == 0)
            return list[i].value;
    return NULL;
}

bool um_sweep_filter_passes(const um_sweep_filter *f, const um_coordinate *list, size_t n)
{
    for (size_t k = 0; f && k < UM_COUNT(filter_keys); k++) {
        size_t length = strlen(filter_keys[k]);
        const char *value = value_of(list, n, filter_keys[k]);
        bool asked = false, matched = false;
        for (size_t i = 0; i < f->n; i++) {
            if (strncmp(f->only[i], filter_keys[k], length) != 0 || f->only[i][length] != '=')
                continue;
            asked = true;
            matched = matched || (value && strcmp(f->only[i] + length + 1, value) == 0);
        }
        if (asked && !matched)
            return false;
    }
    return true;
}
