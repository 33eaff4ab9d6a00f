/* A build without NCCL. */
#include "mpi/nccl.h"

um_status um_nccl_find(char version[24])
{
    version[0] = 0;
    return um_fail(UM_E_UNSUPPORTED, "NCCL is not in this build");
}

bool um_nccl_orders(void)
{
    return false;
}

um_status um_nccl_open(um_nccl **out, um_comm *c, um_backend *b)
{
    char version[24];
    (void)out, (void)c, (void)b;
    return um_nccl_find(version);
}

void um_nccl_close(um_nccl *n)
{
    (void)n;
}

um_status um_nccl_sum(um_nccl *n, um_queue *q, void *data, um_dtype type, int64_t count, bool ordered, void *scratch, size_t room)
{
    char version[24];
    (void)n, (void)q, (void)data, (void)type, (void)count, (void)ordered, (void)scratch, (void)room;
    return um_nccl_find(version);
}

um_status um_nccl_check(um_nccl *n)
{
    (void)n;
    return UM_OK;
}

void um_nccl_abort(um_nccl *n)
{
    (void)n;
}
