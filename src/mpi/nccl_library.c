#include "mpi/nccl_library.h"

#include <stddef.h>

#include "base/library.h"
#include "base/mem.h"

um_nccl_library um_nccl_call;

#define NCCL_MEMBER(name) {#name, offsetof(um_nccl_library, name)},
static const um_library_member members[] = {UM_NCCL_FUNCTIONS(NCCL_MEMBER)};

um_status um_nccl_load(void)
{
    static const char *const names[] = {"libnccl.so.2", UM_NCCL_LIBRARY};
    if (um_nccl_call.ncclGroupEnd)
        return UM_OK;
    return um_library_load(&um_nccl_call, names, UM_COUNT(names), members, UM_COUNT(members), "run.allreduce = nccl",
                           "set LD_LIBRARY_PATH to its folder");
}
