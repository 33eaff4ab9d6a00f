/* Inside mpi/, MPI builds only: what a communicator holds of MPI. */
#ifndef UM_MPI_LINK_H
#define UM_MPI_LINK_H

#include <mpi.h>

#include "mpi/comm_internal.h"

struct um_comm_link {
    MPI_Comm comm;
    um_notice notice;    /* on its way */
    bool threads;        /* MPI may be called from several */
};

um_status um_mpi_failed(const char *call, int code);
void um_comm_unwatch(um_comm *world); /* ends um_comm_watch */
bool um_comm_watched(void);            /* life signs are on: who is silent ends the run, so a wait for slow work may last */

#endif
