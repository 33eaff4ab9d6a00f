#include "base/opt.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { REAL_BYTES = 40, SHORT_REAL = 12 };

/* One option of one object: its full key, its row, and where its value lives. */
typedef struct entry {
    char *key;       /* "umed.contour.radius" */
    char *canonical; /* the default as canonical text */
    const um_opt *row;
    const um_opt_table *table;
    void *member;
} entry;

struct um_settings {
    const um_opt_table *const *tables; /* NULL-terminated, borrowed */
    size_t n_tables, n_entries;
    void **blocks; /* one struct per table */
    entry *entries;
};

/* ---- values as text ---- */

static bool reads_back(const char *text, double value)
{
    double back = 0;
    return um_text_parse_real(text, &back) && back == value;
}

/* "4/255", "0.4/255": perturbation bounds are written this way. */
static bool real_fraction(double value, char out[REAL_BYTES])
{
    static const double parts[] = {1, 10};
    for (size_t p = 0; p < UM_COUNT(parts); p++) {
        for (int n = 1; n <= 255; n++) {
            if (n / parts[p] / 255 == value) {
                snprintf(out, REAL_BYTES, "%g/255", n / parts[p]);
                return true;
            }
        }
    }
    return false;
}

/* The canonical text of a real: short decimal, else a fraction of 255, else the fewest digits that read back to the same bits. */
static void real_text(double value, char out[REAL_BYTES])
{
    if (value == 0) {
        snprintf(out, REAL_BYTES, "0");
        return;
    }
    snprintf(out, REAL_BYTES, "%.15g", value);
    if (strlen(out) <= SHORT_REAL && reads_back(out, value))
        return;
    if (real_fraction(value, out))
        return;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, REAL_BYTES, "%.*g", digits, value);
        if (reads_back(out, value))
            return;
    }
}

/* Word `index` of a space-separated list: its start, and its length in *n; NULL past the end. */
static const char *choice_at(const char *choices, int index, size_t *n)
{
    for (const char *p = choices + strspn(choices, " "); *p; p += *n, p += strspn(p, " ")) {
        *n = strcspn(p, " ");
        if (index-- == 0)
            return p;
    }
    return NULL;
}

static um_status value_text(const entry *e, um_text *out)
{
    char real[REAL_BYTES];
    size_t n = 0;
    const char *choice = NULL;
    switch (e->row->type) {
    case UM_OPT_T_BOOL: return um_text_add(out, "%s", *(const bool *)e->member ? "true" : "false");
    case UM_OPT_T_INT: return um_text_add(out, "%lld", (long long)*(const int64_t *)e->member);
    case UM_OPT_T_REAL: real_text(*(const double *)e->member, real); return um_text_add(out, "%s", real);
    case UM_OPT_T_TEXT: return um_text_add(out, "%s", (const char *)e->member);
    case UM_OPT_T_ENUM: choice = choice_at(e->row->choices, *(const int *)e->member, &n); break;
    }
    if (!choice)
        return um_fail(UM_E_BUG, "%s holds no valid choice", e->key);
    return um_text_add(out, "%.*s", (int)n, choice);
}

/* ---- setting ---- */

static um_status wrong_type(const entry *e, const char *value, const char *where, const char *expected)
{
    return um_fail(UM_E_CONFIG, "%s = \"%s\" at %s: expected %s", e->key, value, where, expected);
}

static um_status check_range(const entry *e, double x, const char *value, const char *where)
{
    char lo[REAL_BYTES], hi[REAL_BYTES];
    if (x >= e->row->min && x <= e->row->max)
        return UM_OK;
    real_text(e->row->min, lo);
    real_text(e->row->max, hi);
    return um_fail(UM_E_CONFIG, "%s = %s at %s: must be in [%s, %s]", e->key, value, where, lo, hi);
}

static um_status set_bool(const entry *e, const char *value, const char *where)
{
    if (!um_text_parse_bool(value, e->member))
        return wrong_type(e, value, where, "true or false");
    return UM_OK;
}

static um_status set_int(const entry *e, const char *value, const char *where)
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

static um_status set_real(const entry *e, const char *value, const char *where)
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
static um_status set_text(const entry *e, const char *value, const char *where)
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

static um_status unknown_choice(const entry *e, const char *value, const char *where)
{
    enum { MAX_CHOICES = 64, CHOICE_BYTES = 48 };
    char words[MAX_CHOICES][CHOICE_BYTES];
    const char *names[MAX_CHOICES], *word = NULL;
    size_t n = 0, length = 0;
    for (; n < MAX_CHOICES && (word = choice_at(e->row->choices, (int)n, &length)) != NULL; n++) {
        snprintf(words[n], CHOICE_BYTES, "%.*s", (int)length, word);
        names[n] = words[n];
    }
    const char *nearest = um_text_nearest(value, names, n);
    return um_fail(UM_E_CONFIG, "%s = \"%s\" at %s: unknown choice; %s%s%sone of: %s", e->key, value, where,
                   nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "", e->row->choices);
}

static um_status set_enum(const entry *e, const char *value, const char *where)
{
    size_t n = 0, length = strlen(value);
    const char *word = NULL;
    for (int i = 0; (word = choice_at(e->row->choices, i, &n)) != NULL; i++) {
        if (n == length && strncmp(word, value, n) == 0) {
            *(int *)e->member = i;
            return UM_OK;
        }
    }
    return unknown_choice(e, value, where);
}

static um_status set_entry(const entry *e, const char *value, const char *where)
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

static const entry *find(const um_settings *s, const char *key)
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

static const um_opt_table *find_group(const um_settings *s, const char *group, size_t n)
{
    for (size_t i = 0; i < s->n_tables; i++) {
        if (strlen(s->tables[i]->group) == n && strncmp(s->tables[i]->group, group, n) == 0)
            return s->tables[i];
    }
    return NULL;
}

/* ---- life ---- */

static um_status add_entry(um_settings *s, size_t table, const um_opt *row)
{
    um_status rc = UM_OK;
    um_text key = {0}, canonical = {0};
    entry *e = &s->entries[s->n_entries];
    UM_TRY(um_text_add(&key, "%s.%s", s->tables[table]->group, row->key));
    if (find(s, key.data)) {
        rc = um_fail(UM_E_BUG, "option %s is declared twice", key.data);
        goto done;
    }
    *e = (entry){key.data, NULL, row, s->tables[table], (char *)s->blocks[table] + row->offset};
    key = (um_text){0};
    s->n_entries++;
    if (set_entry(e, row->fallback, "its option table") != UM_OK) {
        rc = um_fail(UM_E_BUG, "wrong default: %s", um_error_text());
        goto done;
    }
    UM_TRY(value_text(e, &canonical));
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
    const entry *e = find(s, key);
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
    const entry *e = find(s, key);
    return e ? value_text(e, out) : unknown_key(s, key, "a look-up");
}

/* ---- print, help, changes ---- */

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
static um_status add_literal(const entry *e, um_text *out)
{
    um_status rc = UM_OK;
    um_text value = {0};
    UM_TRY(value_text(e, &value));
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
        const entry *e = &s->entries[i];
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
    char lo[REAL_BYTES], hi[REAL_BYTES];
    real_text(row->min, lo);
    real_text(row->max, hi);
    switch (row->type) {
    case UM_OPT_T_BOOL: return um_text_add(out, "true or false");
    case UM_OPT_T_INT: return um_text_add(out, "integer in [%s, %s]", lo, hi);
    case UM_OPT_T_REAL: return um_text_add(out, "real in [%s, %s]", lo, hi);
    case UM_OPT_T_TEXT: return um_text_add(out, "text");
    case UM_OPT_T_ENUM: return um_text_add(out, "one of: %s", row->choices);
    }
    return UM_OK;
}

static um_status add_help_line(const entry *e, int width, um_text *out)
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
    for (int i = 0; (word = choice_at(groups, i, &n)) != NULL; i++) {
        if (strlen(group) == n && strncmp(group, word, n) == 0)
            return true;
    }
    return groups[0] == 0;
}

static um_status check_groups(const um_settings *s, const char *groups)
{
    size_t n = 0;
    const char *word = NULL;
    for (int i = 0; (word = choice_at(groups, i, &n)) != NULL; i++) {
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
        const entry *e = &s->entries[i];
        if (e->row->run_only || !group_listed(groups, e->table->group))
            continue;
        um_text_free(&value);
        UM_TRY(value_text(e, &value));
        if (strcmp(um_text_get(&value), e->canonical) != 0)
            UM_TRY(um_text_add(out, "%s=%s\n", e->key, um_text_get(&value)));
    }
done:
    um_text_free(&value);
    return rc;
}
