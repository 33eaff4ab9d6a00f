/* Text: a growing buffer, parsing with clear refusals, and the nearest name for "did you mean". */
#ifndef UM_BASE_TEXT_H
#define UM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct um_text {
    char *data; /* always terminated; NULL only while empty and fresh */
    size_t n, cap;
} um_text; /* initialise with {0}, release with um_text_free */

um_status um_text_add(um_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *um_text_get(const um_text *t); /* "" when empty; borrowed until the next add */
void um_text_free(um_text *t);

/* Nearest of names[0..n) to query by edit distance, or NULL when none is close enough to suggest. */
const char *um_text_nearest(const char *query, const char *const *names, size_t n);

/* Whole-string parses; false when anything is left over or out of range. Reals accept a fraction, "4/255". */
bool um_text_parse_int(const char *s, int64_t *out);
bool um_text_parse_real(const char *s, double *out);
bool um_text_parse_bool(const char *s, bool *out); /* true false yes no on off 1 0 */

bool um_text_ends_with(const char *s, const char *suffix);
uint64_t um_text_hash(const char *s); /* FNV-1a, 64 bit: keys for ids */

#endif
