#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

um_status um_library_load(void *table, const char *const *names, size_t n_names, const um_library_member *members, size_t n_members,
                          const char *who, const char *advice)
{
    void *handle = NULL;
    for (size_t i = 0; i < n_names && !handle; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return um_fail(UM_E_UNSUPPORTED, "%s needs %s: %.160s; %s", who, names[0], dlerror(), advice);
    for (size_t i = 0; i < n_members; i++)
        if (!dlsym(handle, members[i].name))
            return um_fail(UM_E_UNSUPPORTED, "%s has no %s: it is too old for this build", names[0], members[i].name);
    for (size_t i = 0; i < n_members; i++) {
        void *function = dlsym(handle, members[i].name);
        memcpy((char *)table + members[i].at, &function, sizeof function);
    }
    return UM_OK;
}
