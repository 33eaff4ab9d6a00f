#include "mpi/stage.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

enum { SLOTS = 4, LISTEN_MS = 20, DRAINED = 0 };

typedef struct slot { /* bucket k is in slot k % SLOTS, and has its mark */
    void *pinned, *data;
    um_dtype type;
    int64_t n;
    const char *what;
} slot;

struct um_stage {
    um_comm *comm;      /* borrowed: where other ranks' failures are heard of */
    um_comm *talk;      /* own: exchanges beside those of `comm` */
    um_backend *backend;
    um_queue *out, *in; /* from the device; to it, and additions */
    slot slots[SLOTS];
    void *scratch;      /* direct: device memory, a bucket */
    size_t bytes;
    bool direct, runs;  /* runs: there is a thread */
    int64_t started, done;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool stop;
    um_status failed;
    um_text why;
};

/* ---- one bucket ---- */

static um_status exchange_direct(void *self, int to, const void *give, size_t n_give, int from, void *take, size_t n_take, const char *what)
{
    um_status rc = UM_OK;
    um_stage *s = self;
    UM_TRY(s->backend->queues->mark(s->backend, s->in, DRAINED)); /* additions so far: MPI knows nothing of queues */
    UM_TRY(s->backend->queues->wait(s->backend, s->in, DRAINED));
    UM_TRY(um_comm_exchange(s->talk, to, give, n_give, from, take, n_take, what));
done:
    return rc;
}

static um_status add_direct(void *self, void *to, const void *from, um_dtype type, int64_t n)
{
    um_stage *s = self;
    return s->backend->queues->add(s->backend, s->in, to, from, type, n);
}

static um_status sum_bucket(um_stage *s, int64_t k)
{
    um_status rc = UM_OK;
    const um_queue_iface *q = s->backend->queues;
    const slot *x = &s->slots[k % SLOTS];
    UM_TRY(q->wait(s->backend, s->out, (int)(k % SLOTS)));
    if (s->direct) {
        um_sum_way way = {exchange_direct, add_direct, s, s->scratch, s->bytes};
        UM_TRY(um_comm_sum_by(s->talk, &way, x->data, x->type, x->n, x->what));
    } else {
        UM_TRY(um_comm_sum(s->talk, x->pinned, x->type, x->n, x->what));
        UM_TRY(q->send(s->backend, s->in, x->data, x->pinned, (size_t)x->n * um_dtype_bytes(x->type)));
    }
done:
    return rc;
}

/* ---- the thread ---- */

static void fail(um_stage *s, um_status rc)
{
    s->failed = rc;
    um_text_add(&s->why, "%s", um_error_text());
}

static void *work(void *payload)
{
    um_stage *s = payload;
    um_status rc = s->backend->queues->enter(s->backend);
    pthread_mutex_lock(&s->lock);
    if (rc != UM_OK)
        fail(s, rc);
    while (!s->stop && s->failed == UM_OK) {
        if (s->done == s->started) {
            pthread_cond_wait(&s->moved, &s->lock);
            continue;
        }
        int64_t k = s->done;
        pthread_mutex_unlock(&s->lock);
        rc = sum_bucket(s, k);
        pthread_mutex_lock(&s->lock);
        if (rc == UM_OK)
            s->done = k + 1;
        else
            fail(s, rc);
        pthread_cond_broadcast(&s->moved);
    }
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Until `done` buckets are; without a thread, by making them so. */
static um_status wait_for(um_stage *s, int64_t done, const char *what)
{
    um_status rc = UM_OK;
    double start = um_now();
    while (!s->runs && s->done < done) {
        UM_TRY(sum_bucket(s, s->done));
        s->done++;
    }
    pthread_mutex_lock(&s->lock);
    while (s->failed == UM_OK && s->done < done && rc == UM_OK) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LISTEN_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&s->moved, &s->lock, &until);
        pthread_mutex_unlock(&s->lock);
        rc = um_comm_listen(s->comm, what);
        pthread_mutex_lock(&s->lock);
    }
    if (s->failed != UM_OK && rc == UM_OK) {
        s->comm->broken = s->comm->broken || s->failed == UM_E_COMM;
        rc = um_fail(s->failed, "%s", um_text_get(&s->why));
    }
    pthread_mutex_unlock(&s->lock);
    if (s->comm && s->runs)
        s->comm->waited_s += um_now() - start;
done:
    return rc;
}

/* ---- life ---- */

um_status um_stage_open(um_stage **out, um_comm *comm, um_backend *b, size_t bucket_bytes, bool direct, bool threads)
{
    um_status rc = UM_OK;
    um_stage *s = NULL;
    UM_TRY(UM_NEW(s));
    *s = (um_stage){.comm = comm, .backend = b, .bytes = bucket_bytes, .direct = direct, .lock = PTHREAD_MUTEX_INITIALIZER,
                    .moved = PTHREAD_COND_INITIALIZER};
    UM_TRY(um_comm_split(&s->talk, comm, 0));
    UM_TRY(b->queues->open(b, &s->out));
    UM_TRY(b->queues->open(b, &s->in));
    for (int i = 0; i < SLOTS && !direct; i++)
        UM_TRY(b->queues->pin(b, &s->slots[i].pinned, bucket_bytes));
    if (direct)
        UM_TRY(b->iface->alloc(b, &s->scratch, bucket_bytes));
    if (threads && pthread_create(&s->thread, NULL, work, s) != 0)
        UM_TRY(um_fail(UM_E_MEMORY, "no thread for sums over the ranks"));
    s->runs = threads;
    *out = s;
    s = NULL;
done:
    um_stage_close(s);
    return rc;
}

static void end_thread(um_stage *s)
{
    if (!s->runs)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->runs = false;
}

void um_stage_abandon(um_stage *s)
{
    if (s->talk)
        atomic_store(&s->talk->interrupted, true);
    end_thread(s);
    if (s->talk)
        s->talk->broken = true;
}

void um_stage_close(um_stage *s)
{
    if (!s)
        return;
    um_backend *b = s->backend;
    end_thread(s);
    b->queues->close(b, s->out);
    b->queues->close(b, s->in);
    for (int i = 0; i < SLOTS; i++)
        b->queues->unpin(b, s->slots[i].pinned);
    b->iface->free(b, s->scratch);
    um_comm_free(s->talk);
    um_text_free(&s->why);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    um_free(s);
}

/* ---- buckets ---- */

um_status um_stage_start(um_stage *s, void *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    um_backend *b = s->backend;
    const um_queue_iface *q = b->queues;
    int i = (int)(s->started % SLOTS);
    UM_TRY(wait_for(s, s->started - SLOTS + 1, what));
    s->slots[i].data = data, s->slots[i].type = type, s->slots[i].n = n, s->slots[i].what = what;
    UM_TRY(q->follow(b, s->out, NULL));
    if (!s->direct) {
        UM_TRY(q->follow(b, s->out, s->in)); /* the slot's last bucket has left it */
        UM_TRY(q->fetch(b, s->out, s->slots[i].pinned, data, (size_t)n * um_dtype_bytes(type)));
    }
    UM_TRY(q->mark(b, s->out, i));
    pthread_mutex_lock(&s->lock);
    s->started++;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
done:
    return rc;
}

um_status um_stage_join(um_stage *s)
{
    um_status rc = UM_OK;
    UM_TRY(wait_for(s, s->started, "sums over the ranks"));
    UM_TRY(s->backend->queues->follow(s->backend, NULL, s->in));
done:
    return rc;
}
