/* What the environment says about a launcher, for builds with MPI and without. */
#ifndef UM_MPI_LAUNCHER_H
#define UM_MPI_LAUNCHER_H

#include <stdbool.h>

bool um_launcher_present(void); /* mpirun or srun started this process as a rank */
int um_launcher_size(void);     /* ranks it started; 1 when unknown */

#endif
