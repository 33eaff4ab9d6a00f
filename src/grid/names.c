#include "grid/names.h"

#include "base/mem.h"

#include <string.h>

enum { MAX_NAMES = 256 };

static const char *const kind_words[] = {"protector", "exploiter", "defense"};

/* The i-th registered name of a kind, NULL past the end; *summary goes with it. Models that are no exploiters give "". */
static const char *registered(um_name_kind kind, int i, const char **summary)
{
    int n = 0;
    if (kind == UM_NAME_PROTECTOR) {
        const um_protector_def *const *all = um_protector_all(&n);
        *summary = i < n ? all[i]->summary : NULL;
        return i < n ? all[i]->name : NULL;
    }
    if (kind == UM_NAME_DEFENSE) {
        const um_defense_def *const *all = um_defense_all(&n);
        *summary = i < n ? all[i]->summary : NULL;
        return i < n ? all[i]->name : NULL;
    }
    const um_model_def *const *all = um_model_all(&n);
    *summary = i < n ? all[i]->summary : NULL;
    return i < n ? (all[i]->exploiter ? all[i]->name : "") : NULL;
}

static bool is_registered(um_name_kind kind, const char *name)
{
    const char *summary, *candidate;
    for (int i = 0; name[0] && (candidate = registered(kind, i, &summary)) != NULL; i++)
        if (strcmp(candidate, name) == 0)
            return true;
    return false;
}

um_status um_name_refuse(um_name_kind kind, const char *name, const char *const *more, size_t n_more, const char *where)
{
    um_status rc = UM_OK;
    const char *names[MAX_NAMES], *near, *summary, *candidate;
    size_t n = 0;
    um_text known = {0};
    for (int i = 0; n < MAX_NAMES && (candidate = registered(kind, i, &summary)) != NULL; i++)
        if (candidate[0])
            names[n++] = candidate;
    for (size_t i = 0; i < n_more && n < MAX_NAMES; i++)
        names[n++] = more[i];
    for (size_t i = 0; i < n; i++)
        UM_TRY(um_text_add(&known, "%s%s", i ? " " : "", names[i]));
    near = um_text_nearest(name, names, n);
    if (near)
        rc = um_fail(UM_E_CONFIG, "%s: unknown %s '%s', did you mean '%s'?", where, kind_words[kind], name, near);
    else
        rc = um_fail(UM_E_CONFIG, "%s: unknown %s '%s'; known: %s", where, kind_words[kind], name, um_text_get(&known));
done:
    um_text_free(&known);
    return rc;
}

um_status um_name_protector(const um_protector_def **out, const char *name, const char *where)
{
    if (!is_registered(UM_NAME_PROTECTOR, name))
        return um_name_refuse(UM_NAME_PROTECTOR, name, NULL, 0, where);
    return um_protector_find(out, name);
}

um_status um_name_exploiter(const um_model_def **out, const char *name, const char *where)
{
    if (!is_registered(UM_NAME_EXPLOITER, name))
        return um_name_refuse(UM_NAME_EXPLOITER, name, NULL, 0, where);
    return um_model_find(out, name);
}

um_status um_name_defense(const um_defense_def **out, const char *name, const char *where)
{
    if (!is_registered(UM_NAME_DEFENSE, name))
        return um_name_refuse(UM_NAME_DEFENSE, name, NULL, 0, where);
    return um_defense_find(out, name);
}

um_status um_name_list(um_name_kind kind, um_text *out)
{
    um_status rc = UM_OK;
    const char *summary, *name;
    for (int i = 0; (name = registered(kind, i, &summary)) != NULL; i++)
        if (name[0])
            UM_TRY(um_text_add(out, "  %-16s %s\n", name, summary));
done:
    return rc;
}
