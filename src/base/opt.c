#include "base/opt_entry.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- setting ---- */

static um_status wrong_type(const um_opt_entry *e, const char *value, const char *where, const char *expected)
{
    return um_fail(UM_E_CONFIG, "%s = \"%s\" at %s: expected %s", e->key, value, where, expected);
}

static um_status check_range(const um_opt_entry *e, double x, const char *value, const char *where)
{
    char lo[UM_OPT_REAL_BYTES], hi[UM_OPT_REAL_BYTES];
    if (x >= e->row->min && x <= e->row->max)
        return UM_OK;
    um_opt_real_text(e->row->min, lo);
    um_opt_real_text(e->row->max, hi);
    return um_fail(UM_E_CONFIG, "%s = %s at %s: must be in [%s, %s]", e->key, value, where, lo, hi);
}

static um_status set_bool(const um_opt_entry *e, const char *value, const char *where)
{
    if (!um_text_parse_bool(value, e->member))
        return wrong_type(e, value, where, "true or false");
    return UM_OK;
}

static um_status set_int(const um_opt_entry *e, const char *value, const char *where)
{
    um_status rc = UM_OK;
    int64_t x = 0;
    if (!um_text_parse_int(value, &x))
        return wrong_type(e, value, where, "an integer");
    UM_TRY(check_range(e, (double)x, value, where));
    *(int64_t *)e->member = x;
done:
    return rc;
}

static um_status set_real(const um_opt_entry *e, const char *value, const char *where)
{
    um_status rc = UM_OK;
    double x = 0;
    if (!um_text_parse_real(value, &x))
        return wrong_type(e, value, where, "a number or a fraction such as \"4/255\"");
    UM_TRY(check_range(e, x, value, where));
    *(double *)e->member = x;
done:
    return rc;
}

/* Control characters are refused: the lines of um_settings_changes must not depend on how one could quote them. */
static um_status set_text(const um_opt_entry *e, const char *value, const char *where)
{
    size_t n = strlen(value);
    if (n >= UM_OPT_TEXT)
        return um_fail(UM_E_CONFIG, "%s at %s: text of %zu bytes; at most %d are allowed", e->key, where, n, UM_OPT_TEXT - 1);
    for (size_t i = 0; i < n; i++) {
        if (iscntrl((unsigned char)value[i]))
            return um_fail(UM_E_CONFIG, "%s at %s: text with a control character; write it on one line", e->key, where);
    }
    memset(e->member, 0, UM_OPT_TEXT);
    memcpy(e->member, value, n);
    return UM_OK;
}

static um_status unknown_choice(const um_opt_entry *e, const char *value, const char *where)
{
    enum { MAX_CHOICES = 64, CHOICE_BYTES = 48 };
    char words[MAX_CHOICES][CHOICE_BYTES];
    const char *names[MAX_CHOICES], *word = NULL;
    size_t n = 0, length = 0;
    for (; n < MAX_CHOICES && (word = um_opt_choice_at(e->row->choices, (int)n, &length)) != NULL; n++) {
        snprintf(words[n], CHOICE_BYTES, "%.*s", (int)length, word);
        names[n] = words[n];
    }
    const char *nearest = um_text_nearest(value, names, n);
    return um_fail(UM_E_CONFIG, "%s = \"%s\" at %s: unknown choice; %s%s%sone of: %s", e->key, value, where,
                   nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "", e->row->choices);
}

static um_status set_enum(const um_opt_entry *e, const char *value, const char *where)
{
    size_t n = 0, length = strlen(value);
    const char *word = NULL;
    for (int i = 0; (word = um_opt_choice_at(e->row->choices, i, &n)) != NULL; i++) {
        if (n == length && strncmp(word, value, n) == 0) {
            *(int *)e->member = i;
            return UM_OK;
        }
    }
    return unknown_choice(e, value, where);
}

static um_status set_entry(const um_opt_entry *e, const char *value, const char *where)
{
    switch (e->row->type) {
    case UM_OPT_T_BOOL: return set_bool(e, value, where);
    case UM_OPT_T_INT: return set_int(e, value, where);
    case UM_OPT_T_REAL: return set_real(e, value, where);
    case UM_OPT_T_TEXT: return set_text(e, value, where);
    case UM_OPT_T_ENUM: return set_enum(e, value, where);
    }
    return um_fail(UM_E_BUG, "%s has no type", e->key);
}

/* ---- lookup ---- */

static const um_opt_entry *find(const um_settings *s, const char *key)
{
    for (size_t i = 0; i < s->n_entries; i++) {
        if (strcmp(s->entries[i].key, key) == 0)
            return &s->entries[i];
    }
    return NULL;
}

/* The first key below a group, for messages; NULL when `key` names no group. */
static const char *first_below(const um_settings *s, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; n > 0 && i < s->n_entries; i++) {
        if (strncmp(s->entries[i].key, key, n) == 0 && s->entries[i].key[n] == '.')
            return s->entries[i].key;
    }
    return NULL;
}

static um_status unknown_key(const um_settings *s, const char *key, const char *where)
{
    um_status rc = UM_OK;
    const char **names = NULL, *nearest = first_below(s, key);
    if (nearest) {
        rc = um_fail(UM_E_CONFIG, "\"%s\" at %s is a group; set one of its keys, such as \"%s\"", key, where, nearest);
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(names, s->n_entries));
    for (size_t i = 0; i < s->n_entries; i++)
        names[i] = s->entries[i].key;
    nearest = um_text_nearest(key, names, s->n_entries);
    if (nearest)
        rc = um_fail(UM_E_CONFIG, "unknown key \"%s\" at %s; did you mean \"%s\"?", key, where, nearest);
    else
        rc = um_fail(UM_E_CONFIG, "unknown key \"%s\" at %s; --print-config shows all keys", key, where);
done:
    um_free(names);
    return rc;
}

/* ---- life ---- */

static um_status add_entry(um_settings *s, size_t table, const um_opt *row)
{
    um_status rc = UM_OK;
    um_text key = {0}, canonical = {0};
    um_opt_entry *e = &s->entries[s->n_entries];
    UM_TRY(um_text_add(&key, "%s.%s", s->tables[table]->group, row->key));
    if (find(s, key.data)) {
        rc = um_fail(UM_E_BUG, "option %s is declared twice", key.data);
        goto done;
    }
    *e = (um_opt_entry){key.data, NULL, row, s->tables[table], (char *)s->blocks[table] + row->offset};
    key = (um_text){0};
    s->n_entries++;
    if (set_entry(e, row->fallback, "its option table") != UM_OK) {
        rc = um_fail(UM_E_BUG, "wrong default: %s", um_error_text());
        goto done;
    }
    UM_TRY(um_opt_entry_text(e, &canonical));
    UM_TRY(um_strdup(&e->canonical, um_text_get(&canonical)));
done:
    um_text_free(&canonical);
    um_text_free(&key);
    return rc;
}

um_status um_settings_create(um_settings **out, const um_opt_table *const *tables)
{
    um_status rc = UM_OK;
    um_settings *s = NULL;
    size_t n_rows = 0;
    UM_TRY(UM_NEW(s));
    s->tables = tables;
    for (; tables[s->n_tables]; s->n_tables++)
        n_rows += tables[s->n_tables]->n_rows;
    UM_TRY(UM_NEW_ARRAY(s->blocks, s->n_tables));
    UM_TRY(UM_NEW_ARRAY(s->entries, n_rows));
    for (size_t t = 0; t < s->n_tables; t++) {
        UM_TRY(um_alloc(&s->blocks[t], 1, tables[t]->struct_bytes));
        for (size_t r = 0; r < tables[t]->n_rows; r++)
            UM_TRY(add_entry(s, t, &tables[t]->rows[r]));
    }
    *out = s;
    s = NULL;
done:
    um_settings_free(s);
    return rc;
}

um_status um_settings_clone(um_settings **out, const um_settings *from)
{
    um_status rc = UM_OK;
    um_settings *s = NULL;
    UM_TRY(um_settings_create(&s, from->tables));
    for (size_t t = 0; t < s->n_tables; t++)
        memcpy(s->blocks[t], from->blocks[t], s->tables[t]->struct_bytes);
    *out = s;
done:
    return rc;
}

void um_settings_free(um_settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_entries; i++) {
        um_free(s->entries[i].key);
        um_free(s->entries[i].canonical);
    }
    for (size_t t = 0; s->blocks && t < s->n_tables; t++)
        um_free(s->blocks[t]);
    um_free(s->entries);
    um_free(s->blocks);
    um_free(s);
}

const void *um_settings_get(const um_settings *s, const char *group)
{
    for (size_t t = 0; t < s->n_tables; t++) {
        if (strcmp(s->tables[t]->group, group) == 0)
            return s->blocks[t];
    }
    return NULL;
}

um_status um_settings_set(um_settings *s, const char *key, const char *value, const char *where)
{
    const um_opt_entry *e = find(s, key);
    return e ? set_entry(e, value, where) : unknown_key(s, key, where);
}

/* Cuts blanks at both ends, in place. */
static char *trim(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
        s[--n] = 0;
    return s;
}

um_status um_settings_assign(um_settings *s, const char *assignment, const char *where)
{
    um_status rc = UM_OK;
    char *copy = NULL, *equals = NULL;
    UM_TRY(um_strdup(&copy, assignment));
    equals = strchr(copy, '=');
    if (!equals) {
        rc = um_fail(UM_E_CONFIG, "\"%s\" at %s: expected key=value, such as umed.eps=8/255", assignment, where);
        goto done;
    }
    *equals = 0;
    UM_TRY(um_settings_set(s, trim(copy), trim(equals + 1), where));
done:
    um_free(copy);
    return rc;
}

um_status um_settings_value(const um_settings *s, const char *key, um_text *out)
{
    const um_opt_entry *e = find(s, key);
    return e ? um_opt_entry_text(e, out) : unknown_key(s, key, "a look-up");
}
