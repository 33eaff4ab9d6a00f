#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/config_internal.h"

static const char *const lists[] = {"datasets", "variants", "blocks", "seeds"};

bool um_config_is_grid_list(const char *name)
{
    for (size_t i = 0; i < UM_COUNT(lists); i++)
        if (strcmp(lists[i], name) == 0)
            return true;
    return false;
}

/* Lists of names of a block, and the kinds that have them (bits). */
#define EXPLOIT (1u << UM_GRID_EXPLOIT)
#define MEDLOCKER (1u << UM_GRID_MEDLOCKER)
static const struct {
    const char *key;
    size_t offset;
    unsigned kinds;
} block_lists[] = {
    {"datasets", offsetof(um_grid_block, datasets), EXPLOIT | MEDLOCKER},
    {"protectors", offsetof(um_grid_block, protectors), EXPLOIT},
    {"exploiters", offsetof(um_grid_block, exploiters), EXPLOIT},
    {"defenses", offsetof(um_grid_block, defenses), EXPLOIT},
    {"backbones", offsetof(um_grid_block, backbones), MEDLOCKER},
    {"targets", offsetof(um_grid_block, targets), MEDLOCKER},
    {"searches", offsetof(um_grid_block, searches), MEDLOCKER},
    {"retrain", offsetof(um_grid_block, retrain), MEDLOCKER},
};
static const char *const block_kinds[UM_GRID_KINDS] = {"exploit", "medlocker"};
static const struct {
    const char *key;
    unsigned kinds;
} block_values[] = {{"kind", EXPLOIT | MEDLOCKER}, {"tables", EXPLOIT}, {"cam", MEDLOCKER}};

static void free_names(um_config_names *names)
{
    if (names->items)
        um_names_free(names->items, names->n);
}

void um_grid_config_free(um_grid_config *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_datasets; i++) {
        um_free(g->datasets[i].name);
        um_free(g->datasets[i].path);
        um_free(g->datasets[i].resolved);
    }
    for (size_t i = 0; i < g->n_variants; i++) {
        um_free(g->variants[i].name);
        um_free(g->variants[i].base);
        free_names(&g->variants[i].set);
    }
    for (size_t i = 0; i < g->n_blocks; i++) {
        um_grid_block *b = &g->blocks[i];
        um_free(b->tables.items);
        for (size_t k = 0; k < UM_COUNT(block_lists); k++)
            free_names((um_config_names *)((char *)b + block_lists[k].offset));
        um_free(b->cam);
        um_free(b->where);
    }
    um_free(g->datasets);
    um_free(g->variants);
    um_free(g->blocks);
    um_free(g->seeds.items);
    um_free(g);
}

/* Refuses keys of a group that are not in the list, with the nearest one that is. */
static um_status check_keys(const um_config_source *c, const config_setting_t *group, const char *what, const char *const *known,
                            size_t n_known)
{
    um_status rc = UM_OK;
    um_text problem = {0};
    if (!config_setting_is_group(group)) {
        UM_TRY(um_text_add(&problem, "%s must be a group { ... }", what));
        UM_TRY(um_config_fail(c, group, um_text_get(&problem)));
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(s), *near = um_text_nearest(name, known, n_known);
        if (near && strcmp(near, name) == 0)
            continue;
        UM_TRY(um_text_add(&problem, "unknown key '%s' in %s", name, what));
        if (near)
            UM_TRY(um_text_add(&problem, ", did you mean '%s'?", near));
        for (size_t k = 0; !near && k < n_known; k++)
            UM_TRY(um_text_add(&problem, "%s%s", k ? " " : "; known: ", known[k]));
        UM_TRY(um_config_fail(c, s, um_text_get(&problem)));
    }
done:
    um_text_free(&problem);
    return rc;
}

static bool is_sequence(const config_setting_t *s)
{
    return config_setting_is_array(s) || config_setting_is_list(s);
}

static um_status read_text(const um_config_source *c, const config_setting_t *group, const char *key, char **out)
{
    um_status rc = UM_OK;
    um_text problem = {0};
    const config_setting_t *s = config_setting_get_member(group, key);
    if (!s || config_setting_type(s) != CONFIG_TYPE_STRING || config_setting_get_string(s)[0] == 0) {
        UM_TRY(um_text_add(&problem, "'%s' is needed here, a quoted text", key));
        UM_TRY(um_config_fail(c, s ? s : group, um_text_get(&problem)));
    }
    UM_TRY(um_strdup(out, config_setting_get_string(s)));
done:
    um_text_free(&problem);
    return rc;
}

static um_status read_names(const um_config_source *c, const config_setting_t *group, const char *key, um_config_names *out)
{
    um_status rc = UM_OK;
    const config_setting_t *s = config_setting_get_member(group, key);
    if (!s)
        return UM_OK;
    if (!is_sequence(s))
        return um_config_fail(c, s, "expected a list of quoted texts, [\"a\", \"b\"]");
    UM_TRY(UM_NEW_ARRAY(out->items, config_setting_length(s)));
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
        if (config_setting_type(item) != CONFIG_TYPE_STRING)
            UM_TRY(um_config_fail(c, item, "expected quoted texts in this list"));
        UM_TRY(um_strdup(&out->items[out->n], config_setting_get_string(item)));
        out->n++;
    }
done:
    return rc;
}

static um_status read_ints(const um_config_source *c, const config_setting_t *group, const char *key, um_config_ints *out)
{
    um_status rc = UM_OK;
    const config_setting_t *s = config_setting_get_member(group, key);
    if (!s)
        return UM_OK;
    if (!is_sequence(s))
        return um_config_fail(c, s, "expected a list of integers, [1, 2]");
    UM_TRY(UM_NEW_ARRAY(out->items, config_setting_length(s)));
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
        int type = config_setting_type(item);
        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
            UM_TRY(um_config_fail(c, item, "expected integers in this list"));
        out->items[out->n++] = config_setting_get_int64(item);
    }
done:
    return rc;
}

/* The folder of the file in which s stands. libconfig names an included file as it is written in @include or with the folder that
 * it was looked up in, depending on its version. out: owned by the caller. */
static um_status folder_of_setting(const um_config_source *c, const config_setting_t *s, char **out)
{
    um_status rc = UM_OK;
    const char *file = config_setting_source_file(s);
    char *folder = NULL, *slash;
    size_t n = strlen(c->dir);
    bool whole = file && (file[0] == '/' || (strncmp(file, c->dir, n) == 0 && file[n] == '/'));
    if (!file)
        return um_strdup(out, c->dir);
    UM_TRY(whole ? um_strdup(&folder, file) : um_path_join(&folder, c->dir, file));
    slash = strrchr(folder, '/');
    UM_REQUIRE(slash != NULL);
    slash[slash == folder] = 0;
    *out = folder;
    folder = NULL;
done:
    um_free(folder);
    return rc;
}

static um_status resolve(const um_config_source *c, const config_setting_t *s, const char *path, char **out)
{
    um_status rc = UM_OK;
    char *dir = NULL;
    if (path[0] == '/')
        return um_strdup(out, path);
    UM_TRY(folder_of_setting(c, s, &dir));
    UM_TRY(strcmp(dir, ".") == 0 ? um_strdup(out, path) : um_path_join(out, dir, path));
done:
    um_free(dir);
    return rc;
}

static um_status read_dataset(const um_config_source *c, const config_setting_t *s, um_grid_dataset *d)
{
    static const char *const known[] = {"name", "path"};
    um_status rc = UM_OK;
    UM_TRY(check_keys(c, s, "an entry of grid.datasets", known, UM_COUNT(known)));
    UM_TRY(read_text(c, s, "name", &d->name));
    UM_TRY(read_text(c, s, "path", &d->path));
    UM_TRY(resolve(c, s, d->path, &d->resolved));
done:
    return rc;
}

static um_status read_variant(const um_config_source *c, const config_setting_t *s, um_grid_variant *v)
{
    static const char *const known[] = {"name", "base", "set"};
    um_status rc = UM_OK;
    UM_TRY(check_keys(c, s, "an entry of grid.variants", known, UM_COUNT(known)));
    UM_TRY(read_text(c, s, "name", &v->name));
    UM_TRY(read_text(c, s, "base", &v->base));
    UM_TRY(read_names(c, s, "set", &v->set));
done:
    return rc;
}

static um_status read_kind(const um_config_source *c, const config_setting_t *s, um_grid_kind *out)
{
    um_status rc = UM_OK;
    char *name = NULL;
    um_text problem = {0};
    *out = UM_GRID_EXPLOIT;
    if (!config_setting_is_group(s) || !config_setting_get_member(s, "kind"))
        return UM_OK;
    UM_TRY(read_text(c, s, "kind", &name));
    for (int k = 0; k < UM_GRID_KINDS; k++)
        if (strcmp(name, block_kinds[k]) == 0) {
            *out = (um_grid_kind)k;
            goto done;
        }
    const char *near = um_text_nearest(name, block_kinds, UM_GRID_KINDS);
    UM_TRY(um_text_add(&problem, "unknown kind of cells '%s'%s%s%s; there are exploit and medlocker", name,
                       near ? ", did you mean '" : "", near ? near : "", near ? "'?" : ""));
    UM_TRY(um_config_fail(c, config_setting_get_member(s, "kind"), um_text_get(&problem)));
done:
    um_text_free(&problem);
    um_free(name);
    return rc;
}

/* Keys of a block of this kind: known[n]. */
static size_t keys_of_block(um_grid_kind kind, const char *known[UM_COUNT(block_lists) + UM_COUNT(block_values)])
{
    size_t n = 0;
    for (size_t i = 0; i < UM_COUNT(block_values); i++)
        if (block_values[i].kinds & 1u << kind)
            known[n++] = block_values[i].key;
    for (size_t i = 0; i < UM_COUNT(block_lists); i++)
        if (block_lists[i].kinds & 1u << kind)
            known[n++] = block_lists[i].key;
    return n;
}

static um_status read_block(const um_config_source *c, const config_setting_t *s, um_grid_block *b)
{
    um_status rc = UM_OK;
    const char *known[UM_COUNT(block_lists) + UM_COUNT(block_values)];
    char what[64];
    um_text where = {0};
    UM_TRY(um_config_where(c, s, &where));
    UM_TRY(um_strdup(&b->where, um_text_get(&where)));
    UM_TRY(read_kind(c, s, &b->kind));
    snprintf(what, sizeof what, "an entry of grid.blocks%s%s", b->kind == UM_GRID_EXPLOIT ? "" : " of kind ",
             b->kind == UM_GRID_EXPLOIT ? "" : block_kinds[b->kind]);
    UM_TRY(check_keys(c, s, what, known, keys_of_block(b->kind, known)));
    UM_TRY(read_ints(c, s, "tables", &b->tables));
    for (size_t i = 0; i < UM_COUNT(block_lists); i++)
        UM_TRY(read_names(c, s, block_lists[i].key, (um_config_names *)((char *)b + block_lists[i].offset)));
    if (config_setting_get_member(s, "cam"))
        UM_TRY(read_text(c, s, "cam", &b->cam));
done:
    um_text_free(&where);
    return rc;
}

/* The entries of a list of the group: their number, 0 when it is absent. */
static um_status count_entries(const um_config_source *c, const config_setting_t *group, const char *key,
                               const config_setting_t **list, int *n)
{
    *list = config_setting_get_member(group, key);
    *n = 0;
    if (!*list)
        return UM_OK;
    if (!config_setting_is_list(*list))
        return um_config_fail(c, *list, "expected a list of groups, ( { ... }, { ... } )");
    *n = config_setting_length(*list);
    return UM_OK;
}

static um_status read_lists(const um_config_source *c, const config_setting_t *group, um_grid_config *g)
{
    um_status rc = UM_OK;
    const config_setting_t *list;
    int n;
    UM_TRY(count_entries(c, group, "datasets", &list, &n));
    UM_TRY(UM_NEW_ARRAY(g->datasets, n));
    for (int i = 0; i < n; i++)
        UM_TRY(read_dataset(c, config_setting_get_elem(list, (unsigned)i), &g->datasets[g->n_datasets++]));
    UM_TRY(count_entries(c, group, "variants", &list, &n));
    UM_TRY(UM_NEW_ARRAY(g->variants, n));
    for (int i = 0; i < n; i++)
        UM_TRY(read_variant(c, config_setting_get_elem(list, (unsigned)i), &g->variants[g->n_variants++]));
    UM_TRY(count_entries(c, group, "blocks", &list, &n));
    UM_TRY(UM_NEW_ARRAY(g->blocks, n));
    for (int i = 0; i < n; i++)
        UM_TRY(read_block(c, config_setting_get_elem(list, (unsigned)i), &g->blocks[g->n_blocks++]));
    UM_TRY(read_ints(c, group, "seeds", &g->seeds));
done:
    return rc;
}

um_status um_config_read_grid(const um_config_source *c, const config_setting_t *group, um_grid_config **out)
{
    um_status rc = UM_OK;
    um_grid_config *g = NULL;
    UM_TRY(UM_NEW(g));
    if (group && !config_setting_is_group(group))
        UM_TRY(um_config_fail(c, group, "'grid' must be a group { ... }"));
    if (group)
        UM_TRY(read_lists(c, group, g));
    *out = g;
    g = NULL;
done:
    um_grid_config_free(g);
    return rc;
}
