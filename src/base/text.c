#include "base/text.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 128 }; /* longest name that gets a suggestion */

static um_status reserve(um_text *t, size_t bytes)
{
    um_status rc = UM_OK;
    size_t cap = t->cap ? t->cap : 64;
    while (cap < bytes)
        cap *= 2;
    if (cap > t->cap) {
        UM_TRY(UM_GROW(t->data, t->cap, cap));
        t->cap = cap;
    }
done:
    return rc;
}

um_status um_text_add(um_text *t, const char *fmt, ...)
{
    um_status rc = UM_OK;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    UM_REQUIRE(n >= 0);
    UM_TRY(reserve(t, t->n + (size_t)n + 1));
    vsnprintf(t->data + t->n, (size_t)n + 1, fmt, again);
    t->n += (size_t)n;
done:
    va_end(again);
    va_end(args);
    return rc;
}

const char *um_text_get(const um_text *t)
{
    return t->data ? t->data : "";
}

void um_text_free(um_text *t)
{
    um_free(t->data);
    *t = (um_text){0};
}

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance with swaps of neighbours as one step (optimal string alignment); both shorter than NAME_BYTES. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][NAME_BYTES], n = (int)strlen(b);
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[n];
}

const char *um_text_nearest(const char *query, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t length = strlen(query);
    if (length >= NAME_BYTES)
        return NULL;
    int best_distance = ((int)length + 2) / 3 + 1; /* a third of the letters wrong is still a typing error */
    for (size_t i = 0; i < n; i++) {
        if (strlen(names[i]) >= NAME_BYTES)
            continue;
        int distance = edit_distance(query, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

bool um_text_parse_int(const char *s, int64_t *out)
{
    if (!isdigit((unsigned char)s[0]) && s[0] != '-' && s[0] != '+')
        return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(s, &end, 10);
    if (errno != 0 || end == s || *end)
        return false;
    *out = value;
    return true;
}

/* A decimal number that fills s[0..n); no blanks, hex, inf or nan. */
static bool parse_decimal(const char *s, size_t n, double *out)
{
    if (n == 0 || strspn(s, "0123456789+-.eE") < n)
        return false;
    char *end = NULL;
    errno = 0;
    double value = strtod(s, &end);
    if (end != s + n || !isfinite(value) || (errno == ERANGE && value == 0))
        return false;
    *out = value;
    return true;
}

bool um_text_parse_real(const char *s, double *out)
{
    const char *slash = strchr(s, '/');
    double value = 0, divisor = 1;
    if (!parse_decimal(s, slash ? (size_t)(slash - s) : strlen(s), &value))
        return false;
    if (slash && (!parse_decimal(slash + 1, strlen(slash + 1), &divisor) || divisor == 0 || !isfinite(value / divisor)))
        return false;
    *out = value / divisor;
    return true;
}

bool um_text_parse_bool(const char *s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"}; /* odd index = true */
    for (size_t i = 0; i < UM_COUNT(words); i++) {
        if (strcmp(s, words[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

bool um_text_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

uint64_t um_text_hash(const char *s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
    return hash;
}
