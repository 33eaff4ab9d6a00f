/* NCCL by MPI (src/mpi/nccl_library.h): what is asked of the library is done at once, on the ranks of MPI_COMM_WORLD, after it has said
 * twice that it is under way. Sums add up in MPI's own order. */
#include <mpi.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cuda_host/cuda_host.h"
#include "mpi/nccl_library.h"

enum { MOST = 16 };

struct ncclComm {
    MPI_Comm comm;
    int unready; /* times that it says so */
    char name;   /* in the trace */
};

um_nccl_library um_nccl_call;
static MPI_Request pending[MOST];
static int n_pending, in_group;
int um_host_nccl_version = 22809;

static ncclResult_t get_version(int *v)
{
    *v = um_host_nccl_version;
    return ncclSuccess;
}

static ncclResult_t get_id(ncclUniqueId *id)
{
    memset(id, 0x5A, sizeof *id);
    return ncclSuccess;
}

static ncclResult_t init(ncclComm_t *out, int n_ranks, ncclUniqueId id, int rank, ncclConfig_t *config)
{
    int world = 1, own = 0;
    if (config->blocking || id.internal[0] != 0x5A || id.internal[sizeof id - 1] != 0x5A)
        return ncclInvalidArgument;
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    MPI_Comm_rank(MPI_COMM_WORLD, &own);
    if (n_ranks != world || rank != own || UM_NEW(*out) != UM_OK)
        return ncclInvalidArgument;
    (*out)->unready = 2;
    (*out)->name = (char)('0' + um_host_count.nccl_comms++);
    MPI_Comm_dup(MPI_COMM_WORLD, &(*out)->comm);
    return ncclInProgress;
}

static ncclResult_t destroy(ncclComm_t c)
{
    MPI_Comm_free(&c->comm);
    um_free(c);
    return ncclSuccess;
}

static ncclResult_t finalize(ncclComm_t c)
{
    (void)c;
    return ncclSuccess;
}

static ncclResult_t async_error(ncclComm_t c, ncclResult_t *out)
{
    *out = c->unready-- > 0 ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

static const char *text_of(ncclResult_t r)
{
    return r == ncclSuccess ? "no error" : "an error";
}

static const char *last_error(ncclComm_t c)
{
    (void)c;
    return "";
}

static ncclResult_t all_reduce(const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t c, cudaStream_t s)
{
    (void)s;
    if (from != to || op != ncclSum || (type != ncclFloat64 && type != ncclFloat32))
        return ncclInvalidArgument;
    um_host_count.nccl_sums++;
    um_host_note(c->name);
    return MPI_Allreduce(MPI_IN_PLACE, to, (int)n, type == ncclFloat64 ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, c->comm) == MPI_SUCCESS
               ? ncclSuccess
               : ncclSystemError;
}

static ncclResult_t send(const void *from, size_t n, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t s)
{
    (void)s;
    if (!in_group || type != ncclInt8 || n_pending == MOST)
        return ncclInvalidUsage;
    um_host_count.nccl_messages++;
    um_host_note(c->name);
    return MPI_Isend(from, (int)n, MPI_BYTE, peer, 0, c->comm, &pending[n_pending++]) == MPI_SUCCESS ? ncclSuccess : ncclSystemError;
}

static ncclResult_t receive(void *to, size_t n, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t s)
{
    (void)s;
    if (!in_group || type != ncclInt8 || n_pending == MOST)
        return ncclInvalidUsage;
    return MPI_Irecv(to, (int)n, MPI_BYTE, peer, 0, c->comm, &pending[n_pending++]) == MPI_SUCCESS ? ncclSuccess : ncclSystemError;
}

static ncclResult_t group_start(void)
{
    in_group++;
    return ncclSuccess;
}

static ncclResult_t group_end(void)
{
    in_group--;
    int code = MPI_Waitall(n_pending, pending, MPI_STATUSES_IGNORE);
    n_pending = 0;
    return code == MPI_SUCCESS ? ncclSuccess : ncclSystemError;
}

um_status um_nccl_load(void)
{
    um_nccl_call = (um_nccl_library){.ncclGetVersion = get_version, .ncclGetUniqueId = get_id, .ncclCommInitRankConfig = init,
                                     .ncclCommAbort = destroy, .ncclCommFinalize = finalize, .ncclCommDestroy = destroy,
                                     .ncclCommGetAsyncError = async_error, .ncclGetErrorString = text_of,
                                     .ncclGetLastError = last_error, .ncclAllReduce = all_reduce, .ncclSend = send,
                                     .ncclRecv = receive, .ncclGroupStart = group_start, .ncclGroupEnd = group_end};
    return UM_OK;
}
