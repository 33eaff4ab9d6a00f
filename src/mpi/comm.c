/* Communicators and the exchange of messages, over MPI. */
#include "mpi/comm_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "mpi/launcher.h"
#include "mpi/link.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

um_status um_mpi_failed(const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    return um_fail(UM_E_COMM, "%s failed: %s; start umed without a launcher to run on one rank", call, text);
}

/* ---- waiting ---- */

enum { SPINS = 400, NAP_US = 40, LONG_NAP_US = 1000, NOTICE_AFTER_MS = 20 };

/* Yields first, since the answer mostly is on its way; naps when it is not, since others may need the core. */
static void pause_between_tests(int64_t tests, double waited)
{
    struct timespec nap = {.tv_nsec = (waited > 0.1 ? LONG_NAP_US : NAP_US) * 1000L};
    if (tests < SPINS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

static um_status too_late(um_comm *c, const MPI_Request *r, const int *peer, const char *what)
{
    char who[2 * UM_PEER_TEXT] = "";
    for (int k = 0; k < 2; k++)
        if (r[k] != MPI_REQUEST_NULL && !strstr(who, c->peers[peer[k]]))
            snprintf(who + strlen(who), sizeof who - strlen(who), "%s%s", who[0] ? ", " : "", c->peers[peer[k]]);
    c->broken = true;
    return um_fail(UM_E_COMM, "%s: no word from %s for %g s; it is stopped, overloaded or cut off (run.deadline_s)", what, who,
                   c->deadline_s);
}

/* r[0] receives from peer[0], r[1] sends to peer[1]. */
static um_status finish(um_comm *c, int tag, MPI_Request r[2], const int peer[2], const char *what)
{
    um_status rc = UM_OK;
    double start = um_now(), listened = start, deadline = tag == UM_TAG_AGREE && um_comm_watched() ? 0 : c->deadline_s;
    for (int64_t tests = 0;; tests++) {
        int done = 0, code = MPI_Testall(2, r, &done, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS)
            return um_mpi_failed(what, code);
        if (done) {
            c->waited_s += um_now() - start;
            return UM_OK;
        }
        double now = tests < SPINS ? start : um_now();
        if (tag != UM_TAG_AGREE && now - listened > 1e-3 * NOTICE_AFTER_MS) {
            listened = now;
            UM_TRY(um_comm_listen(c, what));
            if (atomic_load(&c->interrupted))
                UM_TRY(um_fail(UM_E_COMM, "%s: given up by this rank", what));
        }
        if (deadline > 0 && now - start > deadline)
            UM_TRY(too_late(c, r, peer, what));
        pause_between_tests(tests, now - start);
    }
done:
    if (r[0] != MPI_REQUEST_NULL) /* the buffer of a receive will be freed; a send that nobody takes touches nothing */
        MPI_Cancel(&r[0]);
    return rc;
}

um_status um_comm_link_exchange(um_comm *c, int tag, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                                const char *what)
{
    um_status rc = UM_OK;
    const size_t most = (size_t)1 << 28;
    for (size_t at = 0; at == 0 || at < n_send || at < n_recv; at += most) {
        MPI_Request r[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        const int peer[2] = {from < 0 ? to : from, to < 0 ? from : to};
        size_t s = n_send - at < most ? n_send - at : most, g = n_recv - at < most ? n_recv - at : most;
        int code = MPI_SUCCESS;
        if (from >= 0 && (at == 0 || at < n_recv))
            code = MPI_Irecv((char *)recv + at, (int)g, MPI_BYTE, from, tag, c->link->comm, &r[0]);
        if (code == MPI_SUCCESS && to >= 0 && (at == 0 || at < n_send))
            code = MPI_Isend((const char *)send + at, (int)s, MPI_BYTE, to, tag, c->link->comm, &r[1]);
        if (code != MPI_SUCCESS)
            UM_TRY(um_mpi_failed(what, code));
        UM_TRY(finish(c, tag, r, peer, what));
    }
done:
    return rc;
}

void um_comm_link_notify(um_comm *c, const um_notice *n)
{
    c->link->notice = *n;
    for (int r = 0; r < c->size; r++) {
        MPI_Request request;
        if (r != c->rank &&
            MPI_Isend(&c->link->notice, (int)sizeof *n, MPI_BYTE, r, UM_TAG_NOTICE, c->link->comm, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
    }
}

bool um_comm_link_noticed(um_comm *c, um_notice *out)
{
    int there = 0;
    MPI_Status s;
    return MPI_Iprobe(MPI_ANY_SOURCE, UM_TAG_NOTICE, c->link->comm, &there, &s) == MPI_SUCCESS && there &&
           MPI_Recv(out, (int)sizeof *out, MPI_BYTE, s.MPI_SOURCE, UM_TAG_NOTICE, c->link->comm, &s) == MPI_SUCCESS;
}

bool um_comm_link_threads(const um_comm *c)
{
    return c->link->threads;
}

/* ---- communicators ---- */

typedef struct card { /* what ranks tell each other at the start */
    char host[64], cores[64];
    int64_t pid, cores_hash;
} card;

/* "0-3,8", as far as there is room. */
static void print_cores(const cpu_set_t *mask, char *out, size_t room)
{
    size_t at = 0;
    for (int first = 0; first < CPU_SETSIZE; first++) {
        if (!CPU_ISSET(first, mask))
            continue;
        int last = first;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, mask))
            last++;
        int n = snprintf(out + at, room - at, last > first ? "%s%d-%d" : "%s%d", at ? "," : "", first, last);
        if (n < 0 || (size_t)n >= room - at) {
            snprintf(out + (at < room - 4 ? at : room - 4), 4, "...");
            return;
        }
        at += (size_t)n;
        first = last;
    }
}

static card own_card(void)
{
    card own = {.pid = getpid()};
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (gethostname(own.host, sizeof own.host - 1) != 0)
        snprintf(own.host, sizeof own.host, "unknown");
    sched_getaffinity(0, sizeof mask, &mask);
    print_cores(&mask, own.cores, sizeof own.cores);
    for (size_t i = 0; i < sizeof mask; i++)
        own.cores_hash = (int64_t)((uint64_t)own.cores_hash * 1099511628211u + ((const unsigned char *)&mask)[i]);
    return own;
}

/* A new object over an MPI communicator, which it takes. */
static um_status wrap(um_comm **out, MPI_Comm comm, double deadline_s)
{
    um_status rc = UM_OK;
    um_comm *c = NULL;
    UM_TRY(UM_NEW(c));
    UM_TRY(UM_NEW(c->link));
    c->link->comm = comm;
    c->deadline_s = deadline_s;
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm, &c->rank);
    MPI_Comm_size(comm, &c->size);
    UM_TRY(UM_NEW_ARRAY(c->peers, c->size));
    *out = c;
    return UM_OK;
done:
    if (c)
        um_free(c->link);
    um_free(c);
    return rc;
}

/* Ranks get names, and learn who shares their cores. */
static um_status introduce(um_comm *c)
{
    um_status rc = UM_OK;
    card *cards = NULL;
    int64_t *count = NULL;
    UM_TRY(UM_NEW_ARRAY(cards, c->size));
    UM_TRY(UM_NEW_ARRAY(count, c->size));
    UM_TRY(UM_NEW_ARRAY(c->places, c->size));
    for (int r = 0; r < c->size; r++)
        count[r] = 1, snprintf(c->peers[r], UM_PEER_TEXT, "rank %d", r);
    cards[c->rank] = own_card();
    UM_TRY(um_comm_gather(c, cards, count, sizeof *cards, "start of the ranks"));
    for (int r = 0; r < c->size; r++) {
        const card *own = &cards[c->rank], *other = &cards[r];
        bool here = strcmp(own->host, other->host) == 0, seen = false;
        c->ranks_on_cores += here && own->cores_hash == other->cores_hash;
        c->rank_on_host += here && r < c->rank;
        for (int k = 0; k < r; k++)
            seen = seen || strcmp(cards[k].host, other->host) == 0;
        c->hosts += !seen;
        snprintf(c->peers[r], UM_PEER_TEXT, "rank %d (%.60s, pid %lld)", r, other->host, (long long)other->pid);
        snprintf(c->places[r], UM_PLACE_TEXT, "%s, cores %s", other->host, other->cores);
    }
done:
    um_free(count);
    um_free(cards);
    return rc;
}

static um_status check_size(int size)
{
    int started = um_launcher_size();
    if (started == size)
        return UM_OK;
    return um_fail(
        UM_E_USAGE,
        "the launcher started %d tasks, but MPI sees %d rank%s; with srun use --mpi=pmix, and the mpirun of the MPI that "
        "umed was built with (%s)",
        started, size, size == 1 ? "" : "s", um_comm_library());
}

um_status um_comm_open(um_comm **out, int *argc, char ***argv)
{
    um_status rc = UM_OK;
    um_comm *c = NULL;
    MPI_Comm own = MPI_COMM_NULL;
    int code, threads = MPI_THREAD_SINGLE;
    if (!um_launcher_present()) {
        *out = NULL;
        return check_size(1);
    }
    if ((code = MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &threads)) != MPI_SUCCESS)
        return um_mpi_failed("MPI_Init_thread", code);
    if ((code = MPI_Comm_dup(MPI_COMM_WORLD, &own)) != MPI_SUCCESS)
        return um_mpi_failed("MPI_Comm_dup", code);
    UM_TRY(wrap(&c, own, 0));
    c->link->threads = threads == MPI_THREAD_MULTIPLE;
    UM_TRY(check_size(c->size));
    UM_TRY(introduce(c));
    *out = c;
    c = NULL;
done:
    um_comm_close(c);
    return rc;
}

um_status um_comm_split(um_comm **out, um_comm *c, int color)
{
    um_status rc = UM_OK;
    um_comm *group = NULL;
    MPI_Comm part = MPI_COMM_NULL;
    unsigned all_here = 0;
    *out = NULL;
    if (um_comm_size(c) == 1)
        return UM_OK;
    UM_TRY(um_comm_any(c, &all_here)); /* MPI's own call has no deadline */
    int code = MPI_Comm_split(c->link->comm, color < 0 ? MPI_UNDEFINED : color, c->rank, &part);
    if (code != MPI_SUCCESS)
        UM_TRY(um_mpi_failed("MPI_Comm_split", code));
    if (part == MPI_COMM_NULL)
        return UM_OK;
    UM_TRY(wrap(&group, part, c->deadline_s));
    group->parent = c;
    group->link->threads = c->link->threads;
    MPI_Group from, to;
    MPI_Comm_group(part, &from);
    MPI_Comm_group(c->link->comm, &to);
    for (int r = 0, at; r < group->size; r++) {
        MPI_Group_translate_ranks(from, 1, &r, to, &at);
        memcpy(group->peers[r], c->peers[at], UM_PEER_TEXT);
    }
    MPI_Group_free(&from);
    MPI_Group_free(&to);
    *out = group;
done:
    return rc;
}

static void drop(um_comm *c)
{
    um_free(c->scratch);
    um_free(c->places);
    um_free(c->peers);
    um_free(c->link);
    um_free(c);
}

void um_comm_free(um_comm *c)
{
    if (!c)
        return;
    if (!c->broken)
        MPI_Comm_free(&c->link->comm);
    drop(c);
}

void um_comm_close(um_comm *world)
{
    if (!world)
        return;
    um_comm_unwatch(world);
    if (!world->broken)
        MPI_Comm_free(&world->link->comm);
    MPI_Finalize();
    drop(world);
}

void um_comm_abort(um_comm *world, int exit_code)
{
    if (world && world->size > 1)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
}

const char *um_comm_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    MPI_Get_library_version(text, &n);
    text[strcspn(text, ",\n")] = 0;
    return text;
}
