/* Memory: zeroed, 64-byte aligned, overflow-checked. Free with um_free (accepts NULL). */
#ifndef UM_BASE_MEM_H
#define UM_BASE_MEM_H

#include <stddef.h>

#include "base/status.h"

/* out: *out receives n * size zeroed bytes, owned by the caller. n = 0 gives a valid 1-byte block.
 * Errors: UM_E_MEMORY when n * size overflows or the system refuses. */
um_status um_alloc(void **out, size_t n, size_t size);
void um_free(void *p);

/* Grows *p (from n_old to n_new elements), keeping content and zeroing the rest. *p is untouched on failure. */
um_status um_realloc(void **p, size_t n_old, size_t n_new, size_t size);

#define UM_NEW(ptr) um_alloc((void **)&(ptr), 1, sizeof *(ptr))
#define UM_NEW_ARRAY(ptr, n) um_alloc((void **)&(ptr), (size_t)(n), sizeof *(ptr))
#define UM_GROW(ptr, n_old, n_new) um_realloc((void **)&(ptr), (size_t)(n_old), (size_t)(n_new), sizeof *(ptr))

#define UM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

um_status um_strdup(char **out, const char *s);

#endif
