/* Option tables: one row per setting drives parsing, checking, --help, --print-config and hashing. No default lives elsewhere.
 *
 * A module declares a plain struct and a table over it:
 *
 *     typedef struct um_loss_options { double w_ce; bool dice_squared; char dice_reduction[UM_OPT_TEXT]; } um_loss_options;
 *     const um_opt_table um_loss_table = UM_OPT_TABLE("loss", um_loss_options,
 *         UM_OPT_REAL_ROW(um_loss_options, w_ce, "w_ce", "1", 0, 1e6, "", "weight of the cross entropy"), ...);
 *
 * An um_settings object holds one struct per table and is addressed by dotted keys ("umed.contour.radius"). */
#ifndef UM_BASE_OPT_H
#define UM_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"
#include "base/text.h"

enum { UM_OPT_TEXT = 256 }; /* bytes of a text member, terminator included */

typedef enum um_opt_type {
    UM_OPT_T_BOOL, /* bool */
    UM_OPT_T_INT,  /* int64_t, range [min, max] */
    UM_OPT_T_REAL, /* double, range [min, max]; accepts "4/255" */
    UM_OPT_T_TEXT, /* char[UM_OPT_TEXT] */
    UM_OPT_T_ENUM, /* int: index into choices */
} um_opt_type;

typedef struct um_opt {
    const char *key; /* dotted below the group: "contour.radius" */
    um_opt_type type;
    size_t offset;
    const char *fallback; /* the default, as text */
    double min, max;
    const char *choices; /* UM_OPT_T_ENUM: "straddle inner outer canny", index order = enum order */
    const char *unit;    /* "" when none */
    const char *help;
    bool run_only; /* does not influence results: stays out of hashes */
} um_opt;

typedef struct um_opt_table {
    const char *group;
    size_t struct_bytes;
    const um_opt *rows;
    size_t n_rows;
} um_opt_table;

#define UM_OPT_BOOL_ROW(S, member, key, dflt, help) {key, UM_OPT_T_BOOL, offsetof(S, member), dflt, 0, 1, NULL, "", help, false}
#define UM_OPT_INT_ROW(S, member, key, dflt, lo, hi, unit, help)                                                               \
    {key, UM_OPT_T_INT, offsetof(S, member), dflt, lo, hi, NULL, unit, help, false}
#define UM_OPT_REAL_ROW(S, member, key, dflt, lo, hi, unit, help)                                                              \
    {key, UM_OPT_T_REAL, offsetof(S, member), dflt, lo, hi, NULL, unit, help, false}
#define UM_OPT_ENUM_ROW(S, member, key, dflt, choices, help)                                                                   \
    {key, UM_OPT_T_ENUM, offsetof(S, member), dflt, 0, 0, choices, "", help, false}
#define UM_OPT_TEXT_ROW(S, member, key, dflt, help) {key, UM_OPT_T_TEXT, offsetof(S, member), dflt, 0, 0, NULL, "", help, false}
#define UM_OPT_TABLE(group, S, rows) {group, sizeof(S), rows, sizeof(rows) / sizeof((rows)[0])}

typedef struct um_settings um_settings;

/* tables: NULL-terminated list, borrowed for the life of the object. All options start at their defaults. */
um_status um_settings_create(um_settings **out, const um_opt_table *const *tables);
um_status um_settings_clone(um_settings **out, const um_settings *from);
void um_settings_free(um_settings *s);

/* The struct of a group, borrowed; NULL when the group is unknown (a bug of the caller). */
const void *um_settings_get(const um_settings *s, const char *group);

/* Sets "group.key" from text. where: place for messages ("busi.cfg:12", "--set"). Errors: UM_E_CONFIG for an unknown key (with
 * the nearest match), a wrong type, a value out of range or an unknown choice (with the nearest match). */
um_status um_settings_set(um_settings *s, const char *key, const char *value, const char *where);
/* Sets from one "key=value" text. */
um_status um_settings_assign(um_settings *s, const char *assignment, const char *where);
/* The effective value as text; UM_E_CONFIG for an unknown key. */
um_status um_settings_value(const um_settings *s, const char *key, um_text *out);

/* Effective settings as a libconfig text that parses back to the same object (strings quoted, fractions as written). */
um_status um_settings_print(const um_settings *s, um_text *out);
/* Help: one line per option of a group (all groups when NULL): key, type and range, default, unit, text. */
um_status um_settings_help(const um_settings *s, const char *group, um_text *out);

/* Lines "key=value" of what differs from the defaults, in table order, for the given space-separated groups ("" = all), without
 * run_only rows. Two settings with equal canonical values give equal text: this is what cell keys are made of. */
um_status um_settings_changes(const um_settings *s, const char *groups, um_text *out);

#endif
