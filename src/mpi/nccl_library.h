/* NCCL, loaded when ranks on devices first want to add up. Inside mpi/. */
#ifndef UM_MPI_NCCL_LIBRARY_H
#define UM_MPI_NCCL_LIBRARY_H

#include <nccl.h>

#include "base/status.h"

#define UM_NCCL_FUNCTIONS(F)                                                                                                       \
    F(ncclGetVersion) F(ncclGetUniqueId) F(ncclCommInitRankConfig) F(ncclCommAbort) F(ncclCommFinalize) F(ncclCommDestroy)         \
    F(ncclCommGetAsyncError) F(ncclGetErrorString) F(ncclGetLastError) F(ncclAllReduce) F(ncclSend) F(ncclRecv) F(ncclGroupStart)  \
    F(ncclGroupEnd)

/* Members have the functions' own names. */
#define UM_LIBRARY_MEMBER(name) __typeof__(name) *name;
typedef struct um_nccl_library { UM_NCCL_FUNCTIONS(UM_LIBRARY_MEMBER) } um_nccl_library;
#undef UM_LIBRARY_MEMBER
extern um_nccl_library um_nccl_call;

/* Loads once. Errors: UM_E_UNSUPPORTED naming what the loader says. */
um_status um_nccl_load(void);

#endif
