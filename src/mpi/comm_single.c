/* The transport of a build without MPI: one rank, so nothing is ever sent. */
#include "mpi/comm_internal.h"
#include "mpi/launcher.h"

um_status um_comm_open(um_comm **out, int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    int n = um_launcher_size();
    if (n > 1)
        return um_fail(UM_E_UNSUPPORTED, "started as %d ranks, but this umed was built without MPI; start one process", n);
    *out = NULL;
    return UM_OK;
}

void um_comm_close(um_comm *world)
{
    (void)world;
}

void um_comm_abort(um_comm *world, int exit_code)
{
    (void)world;
    (void)exit_code;
}

um_status um_comm_split(um_comm **out, um_comm *c, int color)
{
    (void)c;
    (void)color;
    *out = NULL;
    return UM_OK;
}

void um_comm_free(um_comm *c)
{
    (void)c;
}

um_status um_comm_link_exchange(um_comm *c, int tag, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                                const char *what)
{
    (void)c, (void)tag, (void)to, (void)send, (void)n_send, (void)from, (void)recv, (void)n_recv;
    return um_fail(UM_E_BUG, "%s: a message in a build without MPI", what);
}

void um_comm_link_notify(um_comm *c, const um_notice *n)
{
    (void)c;
    (void)n;
}

bool um_comm_link_noticed(um_comm *c, um_notice *out)
{
    (void)c;
    (void)out;
    return false;
}

bool um_comm_link_threads(const um_comm *c)
{
    (void)c;
    return false;
}

bool um_comm_link_takes_device(void)
{
    return false;
}

um_status um_comm_watch(um_comm *world, double deadline_s, void (*lost)(void *payload, const char *text), void *payload)
{
    (void)world, (void)deadline_s, (void)lost, (void)payload;
    return UM_OK;
}

const char *um_comm_library(void)
{
    return "none (built with UMED_MPI=OFF, one rank)";
}
