#include "base/opt_entry.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { SHORT_REAL = 12 }; /* a decimal of at most this many characters is printed as it is */

static bool reads_back(const char *text, double value)
{
    double back = 0;
    return um_text_parse_real(text, &back) && back == value;
}

/* "4/255", "0.4/255": perturbation bounds are written this way. */
static bool real_fraction(double value, char out[UM_OPT_REAL_BYTES])
{
    static const double parts[] = {1, 10};
    for (size_t p = 0; p < UM_COUNT(parts); p++) {
        for (int n = 1; n <= 255; n++) {
            if (n / parts[p] / 255 == value) {
                snprintf(out, UM_OPT_REAL_BYTES, "%g/255", n / parts[p]);
                return true;
            }
        }
    }
    return false;
}

void um_opt_real_text(double value, char out[UM_OPT_REAL_BYTES])
{
    if (value == 0) {
        snprintf(out, UM_OPT_REAL_BYTES, "0");
        return;
    }
    snprintf(out, UM_OPT_REAL_BYTES, "%.15g", value);
    if (strlen(out) <= SHORT_REAL && reads_back(out, value))
        return;
    if (real_fraction(value, out))
        return;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, UM_OPT_REAL_BYTES, "%.*g", digits, value);
        if (reads_back(out, value))
            return;
    }
}

const char *um_opt_choice_at(const char *choices, int index, size_t *n)
{
    for (const char *p = choices + strspn(choices, " "); *p; p += *n, p += strspn(p, " ")) {
        *n = strcspn(p, " ");
        if (index-- == 0)
            return p;
    }
    return NULL;
}

um_status um_opt_entry_text(const um_opt_entry *e, um_text *out)
{
    char real[UM_OPT_REAL_BYTES];
    size_t n = 0;
    const char *choice = NULL;
    switch (e->row->type) {
    case UM_OPT_T_BOOL: return um_text_add(out, "%s", *(const bool *)e->member ? "true" : "false");
    case UM_OPT_T_INT: return um_text_add(out, "%lld", (long long)*(const int64_t *)e->member);
    case UM_OPT_T_REAL: um_opt_real_text(*(const double *)e->member, real); return um_text_add(out, "%s", real);
    case UM_OPT_T_TEXT: return um_text_add(out, "%s", (const char *)e->member);
    case UM_OPT_T_ENUM: choice = um_opt_choice_at(e->row->choices, *(const int *)e->member, &n); break;
    }
    if (!choice)
        return um_fail(UM_E_BUG, "%s holds no valid choice", e->key);
    return um_text_add(out, "%.*s", (int)n, choice);
}
