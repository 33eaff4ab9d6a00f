#include "mpi/comm.h"

#include "mpi/launcher.h"

um_status um_comm_init(um_comm *out, int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    int n = um_launcher_size();
    if (n > 1)
        return um_fail(UM_E_UNSUPPORTED, "started as %d ranks, but this umed was built without MPI; start one process", n);
    *out = (um_comm){.rank = 0, .size = 1};
    return UM_OK;
}

void um_comm_finalize(um_comm *c)
{
    c->started = false;
}

const char *um_comm_banner(void)
{
    return "none (built with UMED_MPI=OFF, one rank)";
}
