#include "io/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libconfig.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "io/config_internal.h"

enum { MAX_CONFIG_BYTES = 4 << 20, MAX_INCLUDE_DEPTH = 9 };

um_status um_config_where(const um_config_source *c, const config_setting_t *s, um_text *out)
{
    const char *file = config_setting_source_file(s);
    um_text_free(out);
    return um_text_add(out, "%s:%u", file ? file : c->path, config_setting_source_line(s));
}

um_status um_config_fail(const um_config_source *c, const config_setting_t *s, const char *problem)
{
    um_status rc = UM_OK;
    um_text where = {0};
    UM_TRY(um_config_where(c, s, &where));
    rc = um_fail(UM_E_CONFIG, "%s: %s", um_text_get(&where), problem);
done:
    um_text_free(&where);
    return rc;
}

/* The shortest decimal text that reads back to the same double. */
static um_status add_real(um_text *out, double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return um_text_add(out, "%s", text);
}

static um_status add_value(const um_config_source *c, const config_setting_t *s, um_text *out)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT: return um_text_add(out, "%d", config_setting_get_int(s));
    case CONFIG_TYPE_INT64: return um_text_add(out, "%lld", config_setting_get_int64(s));
    case CONFIG_TYPE_FLOAT: return add_real(out, config_setting_get_float(s));
    case CONFIG_TYPE_BOOL: return um_text_add(out, "%s", config_setting_get_bool(s) ? "true" : "false");
    case CONFIG_TYPE_STRING: return um_text_add(out, "%s", config_setting_get_string(s));
    default: return um_config_fail(c, s, "expected a number, true, false or a quoted text here");
    }
}

static um_status add_values(const um_config_source *c, const config_setting_t *s, um_text *out)
{
    um_status rc = UM_OK;
    if (!config_setting_is_array(s) && !config_setting_is_list(s))
        return add_value(c, s, out);
    for (int i = 0; i < config_setting_length(s); i++) {
        UM_TRY(um_text_add(out, "%s", i ? "," : ""));
        UM_TRY(add_value(c, config_setting_get_elem(s, (unsigned)i), out));
    }
done:
    return rc;
}

static um_status walk(const um_config_source *c, const config_setting_t *s, const char *key, um_settings *settings);

static um_status walk_group(const um_config_source *c, const config_setting_t *group, const char *prefix, um_settings *settings)
{
    um_status rc = UM_OK;
    um_text key = {0};
    bool is_grid = strcmp(prefix, "grid") == 0;
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(s);
        if (is_grid && um_config_is_grid_list(name))
            continue;
        um_text_free(&key);
        UM_TRY(um_text_add(&key, "%s%s%s", prefix, prefix[0] ? "." : "", name));
        UM_TRY(walk(c, s, um_text_get(&key), settings));
    }
done:
    um_text_free(&key);
    return rc;
}

static um_status walk(const um_config_source *c, const config_setting_t *s, const char *key, um_settings *settings)
{
    um_status rc = UM_OK;
    um_text value = {0}, where = {0};
    if (config_setting_is_group(s))
        return walk_group(c, s, key, settings);
    UM_TRY(add_values(c, s, &value));
    UM_TRY(um_config_where(c, s, &where));
    UM_TRY(um_settings_set(settings, key, um_text_get(&value), um_text_get(&where)));
done:
    um_text_free(&value);
    um_text_free(&where);
    return rc;
}

static um_status check_includes(const um_config_source *c, const char *file, const char *text, int depth);

static um_status check_include(const um_config_source *c, const char *file, int line, const char *name, int depth)
{
    um_status rc = UM_OK;
    char *path = NULL;
    um_text text = {0};
    UM_TRY(name[0] == '/' ? um_strdup(&path, name) : um_path_join(&path, c->dir, name));
    if (!um_file_exists(path)) {
        rc = um_fail(UM_E_CONFIG, "%s:%d: included file %s is not there", file, line, path);
        goto done;
    }
    UM_TRY(um_file_read(&text, path, MAX_CONFIG_BYTES));
    UM_TRY(check_includes(c, path, um_text_get(&text), depth + 1));
done:
    um_text_free(&text);
    um_free(path);
    return rc;
}

/* libconfig leaves the process when what it includes is a folder, so look first. */
static um_status check_includes(const um_config_source *c, const char *file, const char *text, int depth)
{
    um_status rc = UM_OK;
    char name[512];
    int line = 1;
    if (depth > MAX_INCLUDE_DEPTH)
        return um_fail(UM_E_CONFIG, "%s: files include each other more than %d deep", file, MAX_INCLUDE_DEPTH);
    for (const char *p = text; p && *p; line++) {
        p += strspn(p, " \t");
        if (sscanf(p, "@include \"%511[^\"\n]\"", name) == 1)
            UM_TRY(check_include(c, file, line, name, depth));
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
done:
    return rc;
}

static um_status parse(const um_config_source *c, config_t *config)
{
    um_status rc = UM_OK;
    um_text text = {0};
    UM_TRY(um_file_read(&text, c->path, MAX_CONFIG_BYTES));
    if (strlen(um_text_get(&text)) != text.n) {
        rc = um_fail(UM_E_CONFIG, "%s: holds zero bytes: not a text file", c->path);
        goto done;
    }
    UM_TRY(check_includes(c, c->path, um_text_get(&text), 0));
    config_set_include_dir(config, c->dir);
    config_set_auto_convert(config, CONFIG_TRUE);
    if (config_read_string(config, um_text_get(&text)) != CONFIG_TRUE) {
        const char *file = config_error_file(config);
        rc = um_fail(UM_E_CONFIG, "%s:%d: %s", file ? file : c->path, config_error_line(config), config_error_text(config));
    }
done:
    um_text_free(&text);
    return rc;
}

static um_status folder_of(char **out, const char *path)
{
    const char *slash = strrchr(path, '/');
    um_status rc = um_strdup(out, slash ? path : ".");
    if (rc == UM_OK && slash)
        (*out)[slash == path ? 1 : slash - path] = 0;
    return rc;
}

um_status um_config_load(const char *path, um_settings *settings, um_grid_config **grid)
{
    um_status rc = UM_OK;
    config_t config;
    um_config_source c = {.path = path};
    um_grid_config *g = NULL;
    config_init(&config);
    UM_TRY(folder_of(&c.dir, path));
    UM_TRY(parse(&c, &config));
    UM_TRY(walk_group(&c, config_root_setting(&config), "", settings));
    UM_TRY(um_config_read_grid(&c, config_lookup(&config, "grid"), &g));
    if (grid) {
        *grid = g;
        g = NULL;
    }
done:
    um_grid_config_free(g);
    um_free(c.dir);
    config_destroy(&config);
    return rc;
}
