#include "base/opt_entry.h"

#include <string.h>

static const um_opt_table *find_group(const um_settings *s, const char *group, size_t n)
{
    for (size_t i = 0; i < s->n_tables; i++) {
        if (strlen(s->tables[i]->group) == n && strncmp(s->tables[i]->group, group, n) == 0)
            return s->tables[i];
    }
    return NULL;
}

static um_status add_quoted(um_text *out, const char *s)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "\""));
    for (; *s; s++)
        UM_TRY(um_text_add(out, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s));
    UM_TRY(um_text_add(out, "\""));
done:
    return rc;
}

/* A value in libconfig's syntax: words and fractions quoted, reals told from integers, integers beyond 32 bits marked. */
static um_status add_literal(const um_opt_entry *e, um_text *out)
{
    um_status rc = UM_OK;
    um_text value = {0};
    UM_TRY(um_opt_entry_text(e, &value));
    const char *text = um_text_get(&value);
    um_opt_type type = e->row->type;
    if (type == UM_OPT_T_TEXT || type == UM_OPT_T_ENUM || (type == UM_OPT_T_REAL && strchr(text, '/'))) {
        UM_TRY(add_quoted(out, text));
        goto done;
    }
    bool whole = type == UM_OPT_T_REAL && !strpbrk(text, ".e");
    bool wide = type == UM_OPT_T_INT && *(const int64_t *)e->member != (int32_t)*(const int64_t *)e->member;
    UM_TRY(um_text_add(out, "%s%s", text, whole ? ".0" : wide ? "L" : ""));
done:
    um_text_free(&value);
    return rc;
}

/* True when an earlier entry lies in the same group, the first n bytes of entry i's key. */
static bool group_printed(const um_settings *s, size_t i, size_t n)
{
    for (size_t j = 0; j < i; j++) {
        if (strncmp(s->entries[j].key, s->entries[i].key, n) == 0)
            return true;
    }
    return false;
}

/* Prints all options whose key starts with prefix[0..n), each subgroup once, wherever its rows stand. */
static um_status print_level(const um_settings *s, um_text *out, const char *prefix, size_t n, int indent)
{
    um_status rc = UM_OK;
    for (size_t i = 0; i < s->n_entries; i++) {
        const um_opt_entry *e = &s->entries[i];
        if (strncmp(e->key, prefix, n) != 0)
            continue;
        const char *name = e->key + n, *dot = strchr(name, '.');
        if (!dot) {
            UM_TRY(um_text_add(out, "%*s%s = ", indent, "", name));
            UM_TRY(add_literal(e, out));
            UM_TRY(um_text_add(out, ";\n"));
            continue;
        }
        size_t below = (size_t)(dot + 1 - e->key);
        if (group_printed(s, i, below))
            continue;
        UM_TRY(um_text_add(out, "%*s%.*s: {\n", indent, "", (int)(dot - name), name));
        UM_TRY(print_level(s, out, e->key, below, indent + 4));
        UM_TRY(um_text_add(out, "%*s};\n", indent, ""));
    }
done:
    return rc;
}

um_status um_settings_print(const um_settings *s, um_text *out)
{
    return print_level(s, out, "", 0, 0);
}

static um_status add_kind(const um_opt *row, um_text *out)
{
    char lo[UM_OPT_REAL_BYTES], hi[UM_OPT_REAL_BYTES];
    um_opt_real_text(row->min, lo);
    um_opt_real_text(row->max, hi);
    switch (row->type) {
    case UM_OPT_T_BOOL: return um_text_add(out, "true or false");
    case UM_OPT_T_INT: return um_text_add(out, "integer in [%s, %s]", lo, hi);
    case UM_OPT_T_REAL: return um_text_add(out, "real in [%s, %s]", lo, hi);
    case UM_OPT_T_TEXT: return um_text_add(out, "text");
    case UM_OPT_T_ENUM: return um_text_add(out, "one of: %s", row->choices);
    }
    return UM_OK;
}

static um_status add_help_line(const um_opt_entry *e, int width, um_text *out)
{
    um_status rc = UM_OK;
    const um_opt *row = e->row;
    UM_TRY(um_text_add(out, "  %-*s  ", width, e->key));
    UM_TRY(add_kind(row, out));
    UM_TRY(um_text_add(out, "; default %s", e->canonical[0] ? e->canonical : "empty"));
    UM_TRY(um_text_add(out, "%s%s; %s\n", row->unit[0] ? " " : "", row->unit, row->help));
done:
    return rc;
}

um_status um_settings_help(const um_settings *s, const char *group, um_text *out)
{
    um_status rc = UM_OK;
    const um_opt_table *only = group ? find_group(s, group, strlen(group)) : NULL;
    int width = 0;
    if (group && !only) {
        rc = um_fail(UM_E_CONFIG, "no options are called \"%s\"; --print-config shows all groups", group);
        goto done;
    }
    for (size_t i = 0; i < s->n_entries; i++) {
        int n = (int)strlen(s->entries[i].key);
        if ((!only || s->entries[i].table == only) && n > width)
            width = n;
    }
    for (size_t i = 0; i < s->n_entries; i++) {
        if (!only || s->entries[i].table == only)
            UM_TRY(add_help_line(&s->entries[i], width, out));
    }
done:
    return rc;
}

static bool group_listed(const char *groups, const char *group)
{
    size_t n = 0;
    const char *word = NULL;
    for (int i = 0; (word = um_opt_choice_at(groups, i, &n)) != NULL; i++) {
        if (strlen(group) == n && strncmp(group, word, n) == 0)
            return true;
    }
    return groups[0] == 0;
}

static um_status check_groups(const um_settings *s, const char *groups)
{
    size_t n = 0;
    const char *word = NULL;
    for (int i = 0; (word = um_opt_choice_at(groups, i, &n)) != NULL; i++) {
        if (!find_group(s, word, n))
            return um_fail(UM_E_BUG, "no option group is called \"%.*s\"", (int)n, word);
    }
    return UM_OK;
}

um_status um_settings_changes(const um_settings *s, const char *groups, um_text *out)
{
    um_status rc = UM_OK;
    um_text value = {0};
    UM_TRY(check_groups(s, groups));
    for (size_t i = 0; i < s->n_entries; i++) {
        const um_opt_entry *e = &s->entries[i];
        if (e->row->run_only || !group_listed(groups, e->table->group))
            continue;
        um_text_free(&value);
        UM_TRY(um_opt_entry_text(e, &value));
        if (strcmp(um_text_get(&value), e->canonical) != 0)
            UM_TRY(um_text_add(out, "%s=%s\n", e->key, um_text_get(&value)));
    }
done:
    um_text_free(&value);
    return rc;
}
