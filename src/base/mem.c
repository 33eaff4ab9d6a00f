#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

um_status um_alloc(void **out, size_t n, size_t size)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX - ALIGN)
        return um_fail(UM_E_MEMORY, "cannot allocate %zu elements of %zu bytes: more than an address space holds", n, size);
    size_t rounded = bytes == 0 ? ALIGN : (bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *p = aligned_alloc(ALIGN, rounded);
    if (!p)
        return um_fail(UM_E_MEMORY, "cannot allocate %zu bytes; use a smaller batch or a machine with more memory", bytes);
    memset(p, 0, rounded);
    *out = p;
    return UM_OK;
}

void um_free(void *p)
{
    free(p);
}

um_status um_realloc(void **p, size_t n_old, size_t n_new, size_t size)
{
    um_status rc = UM_OK;
    void *grown = NULL;
    UM_TRY(um_alloc(&grown, n_new, size));
    if (*p)
        memcpy(grown, *p, (n_old < n_new ? n_old : n_new) * size);
    um_free(*p);
    *p = grown;
done:
    return rc;
}

um_status um_strdup(char **out, const char *s)
{
    um_status rc = UM_OK;
    char *copy = NULL;
    size_t bytes = strlen(s) + 1;
    UM_TRY(UM_NEW_ARRAY(copy, bytes));
    memcpy(copy, s, bytes);
    *out = copy;
done:
    return rc;
}
