/* Life signs: a thread per rank that tells rank 0 that this process runs, and hears the same from it. It sees what no wait can see:
 * a process that is stopped while nobody needs it. A rank that was asked to stop says so
 * with its sign, and rank 0 passes it on: ranks that wait for each other's work hear of it too. */
#include "mpi/link.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/signal.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SIGNS_PER_DEADLINE = 8, NAMED_AT_MOST = 8 };
enum { SIGN_ALIVE = 1, SIGN_STOP = 2 };
static const double LONGEST_TICK_S = 1;

struct um_comm_watch_state {
    um_comm *world;
    MPI_Comm comm;
    double deadline_s, tick_s;
    double *heard;       /* [size]: when a sign last came; rank 0 hears all, the others rank 0 */
    void (*lost)(void *payload, const char *text);
    void *payload;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

static const char signs[] = {0, SIGN_ALIVE, SIGN_STOP}; /* what is sent must stay where it is */
static bool watched;

bool um_comm_watched(void)
{
    return watched;
}

static void give_sign(struct um_comm_watch_state *w, int to)
{
    MPI_Request r;
    if (MPI_Isend(&signs[um_stop_requested() ? SIGN_STOP : SIGN_ALIVE], 1, MPI_BYTE, to, UM_TAG_LIFE, w->comm, &r) == MPI_SUCCESS)
        MPI_Request_free(&r);
}

static void take_signs(struct um_comm_watch_state *w, double now)
{
    for (int there = 1; there;) {
        MPI_Status s;
        char got;
        if (MPI_Iprobe(MPI_ANY_SOURCE, UM_TAG_LIFE, w->comm, &there, &s) != MPI_SUCCESS || !there)
            break;
        if (MPI_Recv(&got, 1, MPI_BYTE, s.MPI_SOURCE, UM_TAG_LIFE, w->comm, &s) != MPI_SUCCESS)
            continue;
        w->heard[s.MPI_SOURCE] = now;
        if (got == SIGN_STOP)
            um_stop_pass_on();
    }
}

/* True when somebody is silent for too long; text: who. */
static bool silent(const struct um_comm_watch_state *w, double now, char *text, size_t room)
{
    int first = w->world->rank == 0 ? 1 : 0, last = w->world->rank == 0 ? w->world->size : 1, n = 0;
    size_t at = 0;
    for (int r = first; r < last; r++) {
        if (now - w->heard[r] <= w->deadline_s || n++ >= NAMED_AT_MOST)
            continue;
        int wrote = snprintf(text + at, room - at, "%s%s", n > 1 ? ", " : "", um_comm_peer(w->world, r));
        at += wrote > 0 && (size_t)wrote < room - at ? (size_t)wrote : 0;
    }
    if (n > 0)
        snprintf(text + at, room - at, "%s: no sign of life for %g s; stopped, swapped out or cut off (run.deadline_s)",
                 n > NAMED_AT_MOST ? " and others" : "", w->deadline_s);
    return n > 0;
}

static void *watch(void *payload)
{
    struct um_comm_watch_state *w = payload;
    char text[NAMED_AT_MOST * UM_PEER_TEXT + 128];
    double before = um_now();
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        double at = (double)until.tv_sec + 1e-9 * (double)until.tv_nsec + w->tick_s;
        until.tv_sec = (time_t)at;
        until.tv_nsec = (long)(1e9 * (at - floor(at)));
        pthread_mutex_lock(&w->lock);
        if (!w->stop)
            pthread_cond_timedwait(&w->wake, &w->lock, &until);
        bool stop = w->stop;
        pthread_mutex_unlock(&w->lock);
        if (stop)
            break;
        double now = um_now();
        if (now - before > 3 * w->tick_s) /* it was we who slept: give the others time to be heard */
            for (int r = 0; r < w->world->size; r++)
                w->heard[r] = now;
        before = now;
        take_signs(w, now);
        for (int r = w->world->rank == 0 ? 1 : 0; r < (w->world->rank == 0 ? w->world->size : 1); r++)
            give_sign(w, r);
        if (silent(w, now, text, sizeof text)) {
            w->lost(w->payload, text);
            break;
        }
    }
    return NULL;
}

um_status um_comm_watch(um_comm *world, double deadline_s, void (*lost)(void *payload, const char *text), void *payload)
{
    um_status rc = UM_OK;
    struct um_comm_watch_state *w = NULL;
    pthread_condattr_t monotonic;
    if (um_comm_size(world) == 1 || deadline_s <= 0 || !world->link->threads)
        return UM_OK;
    UM_TRY(UM_NEW(w));
    UM_TRY(UM_NEW_ARRAY(w->heard, world->size));
    w->world = world, w->deadline_s = deadline_s, w->lost = lost, w->payload = payload;
    w->tick_s = fmin(deadline_s / SIGNS_PER_DEADLINE, LONGEST_TICK_S);
    for (int r = 0; r < world->size; r++)
        w->heard[r] = um_now();
    int code = MPI_Comm_dup(world->link->comm, &w->comm);
    if (code != MPI_SUCCESS)
        UM_TRY(um_mpi_failed("MPI_Comm_dup", code));
    MPI_Comm_set_errhandler(w->comm, MPI_ERRORS_RETURN);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->thread, NULL, watch, w) != 0)
        UM_TRY(um_fail(UM_E_MEMORY, "no thread for the ranks' life signs"));
    world->watch = w;
    watched = true;
    w = NULL;
done:
    if (w)
        um_free(w->heard);
    um_free(w);
    return rc;
}

void um_comm_unwatch(um_comm *world)
{
    struct um_comm_watch_state *w = world->watch;
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    um_free(w->heard);
    um_free(w);
    world->watch = NULL;
    watched = false;
}
