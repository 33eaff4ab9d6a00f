/* kernels/cuda/runtime.h over host memory: what the backend does above it runs as on a device, and what a device would refuse is
 * refused. While a capture is on, launches are kept with a copy of their arguments, and a replay does them. Copies of a branch are put
 * off until somebody waits for them: who reads or overwrites too early finds the wrong numbers. */
#include "kernels/cuda_host/cuda_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/runtime.h"

typedef struct launch {
    void (*run)(const void *job);
    void *job;
} launch;

typedef struct recorded {
    launch *list;
    int n, cap;
} recorded;

typedef struct move {
    void *to;
    const void *from; /* NULL: fill with byte */
    size_t bytes;
    int byte;
} move;

struct um_dev {
    um_dev_info info;
    bool capturing, branch;
    pthread_mutex_t lock; /* of what a branch holds */
    move *held;
    int n_held, n_done, cap, marks[UM_DEV_MARKS];
    bool asked; /* um_dev_reached says no first */
};

static recorded *current; /* the capture that is on */
um_host_counts um_host_count;

/* Threads of their own sum over ranks, and carry images. */
#define COUNT(what, n) ((void)__atomic_fetch_add(&um_host_count.what, (n), __ATOMIC_RELAXED))
um_host_trace um_host_traced;
bool um_host_one_device;

void um_host_note(char event)
{
    um_host_trace *t = &um_host_traced;
    if (t->on && t->n + 1 < (int)sizeof t->text)
        t->text[t->n++] = event;
}

int um_cuda_devices(void)
{
    return 1;
}

um_status um_dev_open(um_dev **out, int rank_on_host)
{
    um_status rc = UM_OK;
    um_dev *d = NULL;
    UM_TRY(UM_NEW(d));
    d->info = (um_dev_info){.name = "host memory", .index = rank_on_host, .n_devices = 1, .cc_major = 9, .bytes_total = (size_t)1 << 34};
    snprintf(d->info.uuid, sizeof d->info.uuid, "HOST-%d", um_host_one_device ? 0 : (int)getpid());
    pthread_mutex_init(&d->lock, NULL);
    *out = d;
done:
    return rc;
}

um_status um_dev_branch(um_dev **out, const um_dev *d)
{
    um_status rc = um_dev_open(out, d->info.index);
    if (rc == UM_OK)
        (*out)->branch = true;
    return rc;
}

um_status um_dev_enter(const um_dev *d)
{
    (void)d;
    return UM_OK;
}

static void do_move(const void *job);

/* What a branch holds, up to its n-th move. */
static void do_held(um_dev *d, int n)
{
    pthread_mutex_lock(&d->lock);
    while (d->n_done < n)
        do_move(&d->held[d->n_done++]);
    pthread_mutex_unlock(&d->lock);
}

void um_dev_close(um_dev *d)
{
    if (!d)
        return;
    do_held(d, d->n_held);
    free(d->held);
    pthread_mutex_destroy(&d->lock);
    um_free(d);
}

/* Put off on a branch, else done at once. */
static um_status hold(um_dev *d, move m)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing);
    if (!d->branch) {
        do_move(&m);
        return UM_OK;
    }
    pthread_mutex_lock(&d->lock);
    if (d->n_held == d->cap)
        d->held = realloc(d->held, (size_t)(d->cap = 2 * d->cap + 64) * sizeof *d->held);
    if (!d->held)
        abort();
    d->held[d->n_held++] = m;
    pthread_mutex_unlock(&d->lock);
done:
    return rc;
}

um_status um_dev_pin(um_dev *d, void **out, size_t bytes)
{
    (void)d;
    COUNT(pinned, 1);
    return um_alloc(out, bytes, 1);
}

void um_dev_unpin(um_dev *d, void *p)
{
    (void)d;
    COUNT(pinned, -(p != NULL));
    um_free(p);
}

um_status um_dev_fetch(um_dev *d, void *pinned, const void *from, size_t bytes)
{
    COUNT(fetches, 1);
    um_host_note('f');
    return hold(d, (move){pinned, from, bytes, 0});
}

um_status um_dev_send(um_dev *d, void *to, const void *pinned, size_t bytes)
{
    COUNT(sends, 1);
    COUNT(uploaded, bytes);
    um_host_note('s');
    return hold(d, (move){to, pinned, bytes, 0});
}

um_status um_dev_follow(um_dev *d, um_dev *other)
{
    (void)d;
    do_held(other, other->n_held);
    return UM_OK;
}

um_status um_dev_mark(um_dev *d, int i)
{
    pthread_mutex_lock(&d->lock);
    d->marks[i] = d->n_held;
    pthread_mutex_unlock(&d->lock);
    return UM_OK;
}

um_status um_dev_wait(um_dev *d, int i)
{
    um_host_note(d->branch ? 'W' : 'w');
    do_held(d, d->marks[i]);
    return UM_OK;
}

um_status um_dev_reached(um_dev *d, int i, bool *yes)
{
    d->asked = !d->asked;
    *yes = !d->asked;
    return *yes ? um_dev_wait(d, i) : UM_OK;
}

const um_dev_info *um_dev_about(const um_dev *d)
{
    return &d->info;
}

um_status um_dev_alloc(um_dev *d, void **out, size_t bytes)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing);
    COUNT(allocs, 1);
    if (um_host_count.room && bytes > um_host_count.room)
        return um_fail(UM_E_MEMORY, "no room for %zu bytes", bytes);
    UM_TRY(um_alloc(out, bytes + 256, 1));
done:
    return rc;
}

void um_dev_free(um_dev *d, void *p)
{
    (void)d;
    COUNT(frees, p != NULL);
    um_free(p);
}

void um_host_launch(void (*run)(const void *job), const void *job, size_t bytes)
{
    if (!current) {
        run(job);
        return;
    }
    if (current->n == current->cap) {
        current->cap = 2 * current->cap + 64;
        current->list = realloc(current->list, (size_t)current->cap * sizeof *current->list);
    }
    void *kept = malloc(bytes);
    if (!current->list || !kept)
        abort();
    memcpy(kept, job, bytes);
    current->list[current->n++] = (launch){run, kept};
}

static um_status copy_by_host(um_dev *d, void *to, const void *from, size_t bytes)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing);
    if (bytes)
        memcpy(to, from, bytes);
done:
    return rc;
}

um_status um_dev_upload(um_dev *d, void *to, const void *host, size_t bytes)
{
    COUNT(uploads, 1);
    um_host_note('u');
    COUNT(uploaded, bytes);
    return copy_by_host(d, to, host, bytes);
}

um_status um_dev_download(um_dev *d, void *host, const void *from, size_t bytes)
{
    COUNT(downloads, 1);
    um_host_note('d');
    return copy_by_host(d, host, from, bytes);
}

static void do_move(const void *job)
{
    const move *m = job;
    if (m->from)
        memcpy(m->to, m->from, m->bytes);
    else
        memset(m->to, m->byte, m->bytes);
}

um_status um_dev_copy(um_dev *d, void *to, const void *from, size_t bytes)
{
    if (d->branch)
        return hold(d, (move){to, from, bytes, 0});
    um_host_launch(do_move, &(move){to, from, bytes, 0}, sizeof(move));
    return UM_OK;
}

um_status um_dev_fill(um_dev *d, void *to, int byte, size_t bytes)
{
    (void)d;
    um_host_launch(do_move, &(move){to, NULL, bytes, byte}, sizeof(move));
    return UM_OK;
}

um_status um_dev_sync(um_dev *d)
{
    um_status rc = UM_OK;
    COUNT(syncs, 1);
    UM_REQUIRE(!d->capturing);
done:
    return rc;
}

um_status um_dev_capture_begin(um_dev *d)
{
    um_status rc = UM_OK;
    UM_REQUIRE(!d->capturing && !current);
    UM_TRY(UM_NEW(current));
    d->capturing = true;
done:
    return rc;
}

static void drop(recorded *r)
{
    for (int i = 0; r && i < r->n; i++)
        free(r->list[i].job);
    if (r)
        free(r->list);
    um_free(r);
}

um_status um_dev_capture_end(um_dev *d, void **out)
{
    *out = current;
    current = NULL;
    d->capturing = false;
    COUNT(captures, 1);
    return UM_OK;
}

void um_dev_capture_abandon(um_dev *d)
{
    drop(current);
    current = NULL;
    d->capturing = false;
}

um_status um_dev_graph_launch(um_dev *d, void *graph)
{
    const recorded *r = graph;
    (void)d;
    COUNT(replays, 1);
    um_host_note('r');
    for (int i = 0; i < r->n; i++)
        r->list[i].run(r->list[i].job);
    return UM_OK;
}

void um_dev_graph_free(um_dev *d, void *graph)
{
    (void)d;
    COUNT(forgotten, graph != NULL);
    drop(graph);
}

um_status um_dev_time(um_dev *d, um_status (*fn)(void *payload), void *payload, int repeats, double *seconds)
{
    double start = um_now();
    um_status rc = fn(payload);
    (void)d;
    (void)repeats;
    *seconds = um_now() - start;
    return rc;
}

void *um_dev_stream(const um_dev *d)
{
    (void)d;
    return NULL;
}

um_status um_dev_launched(const char *op)
{
    (void)op;
    COUNT(launches, 1);
    return UM_OK;
}
