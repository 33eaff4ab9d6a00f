/* A shared library that is loaded when its functions are first needed: nobody else maps it, and one program serves machines with and
 * without it. */
#ifndef UM_BASE_LIBRARY_H
#define UM_BASE_LIBRARY_H

#include <stddef.h>

#include "base/status.h"

typedef struct um_library_member {
    const char *name; /* of the function */
    size_t at;        /* of the pointer to it in the table, bytes */
} um_library_member;

/* Loads the first of the names that the loader finds, and fills the table. It stays loaded for ever. who: "backend cuda"; advice: what
 * to do when it is not there. Errors: UM_E_UNSUPPORTED naming the library, with what the loader says. */
um_status um_library_load(void *table, const char *const *names, size_t n_names, const um_library_member *members, size_t n_members,
                          const char *who, const char *advice);

#endif
