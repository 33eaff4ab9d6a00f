/* The ranks of this run. The only place that knows mpi.h; a build with UMED_MPI=OFF has the same functions and one rank.
 *
 * MPI is started only when a launcher (mpirun, srun) started this process: a plain `umed` never touches it. */
#ifndef UM_MPI_COMM_H
#define UM_MPI_COMM_H

#include <stdbool.h>

#include "base/status.h"

typedef struct um_comm {
    int rank, size;
    bool started; /* MPI_Init was called by um_comm_init */
} um_comm;

/* Collective over the world. Errors: UM_E_COMM when MPI does not start; UM_E_UNSUPPORTED when a launcher started several processes
 * of a build without MPI. */
um_status um_comm_init(um_comm *out, int *argc, char ***argv);
void um_comm_finalize(um_comm *c); /* collective; harmless without a successful um_comm_init */

const char *um_comm_banner(void); /* "Open MPI v4.1.4", or "none (...)"; needs no um_comm_init. Borrowed. */

#endif
