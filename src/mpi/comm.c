#include "mpi/comm.h"

#include "mpi/launcher.h"

#include <mpi.h>
#include <string.h>

static um_status mpi_failed(const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    return um_fail(UM_E_COMM, "%s failed: %s; start umed without a launcher to run on one rank", call, text);
}

um_status um_comm_init(um_comm *out, int *argc, char ***argv)
{
    um_comm c = {.rank = 0, .size = 1};
    int code;
    if (um_launcher_present()) {
        if ((code = MPI_Init(argc, argv)) != MPI_SUCCESS)
            return mpi_failed("MPI_Init", code);
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        c.started = true;
        MPI_Comm_rank(MPI_COMM_WORLD, &c.rank);
        MPI_Comm_size(MPI_COMM_WORLD, &c.size);
    }
    *out = c;
    return UM_OK;
}

void um_comm_finalize(um_comm *c)
{
    if (c->started)
        MPI_Finalize();
    c->started = false;
}

const char *um_comm_banner(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    MPI_Get_library_version(text, &n);
    text[strcspn(text, ",\n")] = 0;
    return text;
}
