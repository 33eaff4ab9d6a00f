/* Whether this MPI takes addresses of device memory. Only Open MPI and its kin can be asked. */
#include "mpi/comm_internal.h"

#include <mpi.h>
#ifdef OPEN_MPI
#include <mpi-ext.h>
#endif

bool um_comm_link_takes_device(void)
{
#if defined(MPIX_CUDA_AWARE_SUPPORT) && MPIX_CUDA_AWARE_SUPPORT
    return MPIX_Query_cuda_support() == 1;
#else
    return false;
#endif
}
