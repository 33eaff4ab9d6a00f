#include "grid/cell.h"

#include "base/mem.h"
#include "io/import.h"
#include "train/pretrained.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- keys ---- */

static bool listed(const char *groups, const char *name, size_t n)
{
    for (const char *p = groups; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strcspn(p, " ") == n && strncmp(p, name, n) == 0)
            return true;
    return false;
}

/* Adds the groups that exist and are not there yet. Group data is left out: what its import keys did is in the dataset's hash, and
 * what training reads of it stands in the key by name. */
static um_status add_groups(const um_settings *s, um_text *groups, const char *more)
{
    um_status rc = UM_OK;
    char name[64];
    for (const char *p = more; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        if (strcmp(name, "data") == 0 || !um_settings_get(s, name) || listed(um_text_get(groups), p, n))
            continue;
        UM_TRY(um_text_add(groups, "%s%s", groups->n ? " " : "", name));
    }
done:
    return rc;
}

static um_status add_limit(const um_settings *s, um_text *text)
{
    const um_data_options *data = um_settings_get(s, "data");
    if (!data || data->limit == 0)
        return UM_OK;
    return um_text_add(text, "data.limit=%lld\ndata.split_seed=%lld\n", (long long)data->limit, (long long)data->split_seed);
}

static um_status describe(const um_cell_id *id, bool with_seed, um_text *text)
{
    um_status rc = UM_OK;
    const um_model_def *model = NULL;
    um_text groups = {0};
    if (id->protector->groups && id->protector->groups[0]) {
        UM_TRY(add_groups(id->settings, &groups, id->protector->groups));
        UM_TRY(add_groups(id->settings, &groups, "export run"));
    }
    if (id->exploiter) {
        const um_defense_def *defense = NULL;
        UM_TRY(add_groups(id->settings, &groups, UM_EXPLOIT_GROUPS));
        UM_TRY(um_defense_find(&defense, id->defense));
        if (defense->table)
            UM_TRY(add_groups(id->settings, &groups, defense->table->group));
        UM_TRY(um_model_find(&model, id->exploiter));
        if (model->table)
            UM_TRY(add_groups(id->settings, &groups, model->table->group));
    }
    UM_TRY(um_text_add(text, "schema=%d\nkind=%s\ndataset=%s\nprotector=%s\n", UM_CELL_SCHEMA,
                       id->exploiter ? "exploit" : "protect", id->dataset_sha256, id->protector->name));
    if (id->exploiter)
        UM_TRY(um_text_add(text, "exploiter=%s\ndefense=%s\n", id->exploiter, id->defense));
    if (with_seed)
        UM_TRY(um_text_add(text, "seed=%lld\n", (long long)id->seed));
    UM_TRY(add_limit(id->settings, text));
    if (groups.n)
        UM_TRY(um_settings_changes(id->settings, um_text_get(&groups), text));
    if (model)
        UM_TRY(um_pretrained_describe(model, id->settings, text));
done:
    um_text_free(&groups);
    return rc;
}

um_status um_cell_key(char out[UM_KEY_BYTES], const um_cell_id *id, bool with_seed)
{
    um_status rc = UM_OK;
    um_text text = {0};
    char hex[UM_SHA256_HEX];
    UM_TRY(describe(id, with_seed, &text));
    um_sha256_of(text.data, text.n, hex);
    memcpy(out, hex, UM_KEY_BYTES - 1);
    out[UM_KEY_BYTES - 1] = 0;
done:
    um_text_free(&text);
    return rc;
}

/* ---- methods ---- */

static bool has_value(const um_settings *s, const char *key, const char *value)
{
    um_text text = {0};
    bool equal = um_settings_value(s, key, &text) == UM_OK && strcmp(um_text_get(&text), value) == 0;
    um_text_free(&text);
    return equal;
}

/* The case of Table 5 by where EM acts, or by which of UMed's generators act; "-" for what the paper does not have, 0 for a
 * protector that is not in that table. */
static char table5_case(const char *protector, const um_settings *s)
{
    if (strcmp(protector, "em") == 0 && has_value(s, "em.mask", "all"))
        return 0;
    if (strcmp(protector, "em") == 0)
        return has_value(s, "em.mask", "contour") ? 'D' : has_value(s, "em.mask", "roi") ? 'G' : '-';
    if (strcmp(protector, "umed") != 0)
        return 0;
    bool plain_conv = has_value(s, "umed.cdc.mode", "none"), no_texture = has_value(s, "umed.lbp.map", "ones");
    if (has_value(s, "umed.parts", "contour"))
        return plain_conv ? 'C' : 'B';
    if (has_value(s, "umed.parts", "texture"))
        return no_texture ? 'F' : 'E';
    return plain_conv || no_texture ? '-' : 'A';
}

/* True when the assignment touches no more than what the paper's bounds and cases are made of. */
static bool paper_key(const char *assignment)
{
    static const char *const keys[] = {"umed.eps", "umed.parts", "umed.cdc.mode", "umed.lbp.map", "em.eps", "em.mask", "tap.eps",
                                       "sep.eps", "lsp.bound.psnr", "ar.bound.psnr"};
    size_t n = strcspn(assignment, "= ");
    for (size_t i = 0; i < UM_COUNT(keys); i++)
        if (strlen(keys[i]) == n && strncmp(keys[i], assignment, n) == 0)
            return true;
    return false;
}

static void classify(um_method *m, char *const *set, size_t n)
{
    bool known = true;
    char label = 0;
    for (size_t i = 0; i < n; i++)
        known = known && paper_key(set[i]);
    if (known)
        label = table5_case(m->def->name, m->settings);
    m->plain = known && (label == 0 || label == 'A');
    if (label && label != '-' && strcmp(m->bound, "4/255") == 0)
        m->label[0] = label;
}

static void print_bound(um_method *m)
{
    double bound = m->def->bound ? m->def->bound(m->settings) : 0, levels = bound * 255;
    if (bound <= 0)
        snprintf(m->bound, sizeof m->bound, "none");
    else if (!isfinite(bound))
        snprintf(m->bound, sizeof m->bound, "%s", m->def->bound_name(m->settings));
    else
        snprintf(m->bound, sizeof m->bound, "%.4g/255", fabs(levels - nearbyint(levels)) < 1e-6 ? nearbyint(levels) : levels);
}

um_status um_method_create(um_method *out, const char *name, const um_protector_def *def, const um_settings *base, char *const *set,
                           size_t n, const char *where)
{
    um_status rc = UM_OK;
    um_method m = {.def = def};
    UM_TRY(um_strdup(&m.name, name));
    UM_TRY(um_settings_clone(&m.settings, base));
    for (size_t i = 0; i < n; i++)
        UM_TRY(um_settings_assign(m.settings, set[i], where));
    print_bound(&m);
    classify(&m, set, n);
    *out = m;
    m = (um_method){0};
done:
    um_method_clear(&m);
    return rc;
}

void um_method_clear(um_method *m)
{
    um_free(m->name);
    um_settings_free(m->settings);
    *m = (um_method){0};
}

bool um_method_is_none(const um_method *m)
{
    return strcmp(m->def->name, "none") == 0;
}
