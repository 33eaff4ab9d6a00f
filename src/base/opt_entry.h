/* Inside of um_settings, shared by opt.c (life and setting), opt_value.c (values as text) and opt_print.c (print, help,
 * changes). */
#ifndef UM_BASE_OPT_ENTRY_H
#define UM_BASE_OPT_ENTRY_H

#include "base/opt.h"

enum { UM_OPT_REAL_BYTES = 40 }; /* canonical text of a real, terminator included */

/* One option of one object: its full key, its row, and where its value lives. */
typedef struct um_opt_entry {
    char *key;       /* "umed.contour.radius" */
    char *canonical; /* the default as canonical text */
    const um_opt *row;
    const um_opt_table *table;
    void *member;
} um_opt_entry;

struct um_settings {
    const um_opt_table *const *tables; /* NULL-terminated, borrowed */
    size_t n_tables, n_entries;
    void **blocks; /* one struct per table */
    um_opt_entry *entries;
};

/* The canonical text of a real: short decimal, else a fraction of 255, else the fewest digits that read back to the same bits. */
void um_opt_real_text(double value, char out[UM_OPT_REAL_BYTES]);

/* Word `index` of a space-separated list: its start (borrowed), and its length in *n; NULL past the end. */
const char *um_opt_choice_at(const char *choices, int index, size_t *n);

/* Adds the canonical text of the value. UM_E_BUG when an enum member holds no choice. */
um_status um_opt_entry_text(const um_opt_entry *e, um_text *out);

#endif
