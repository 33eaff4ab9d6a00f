#include "archive/backlog.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"

struct um_backlog {
    void (*run)(void *task, void *payload);
    void *payload;
    void **tasks; /* [most], a ring */
    int first, n, most, n_threads;
    bool ends;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

static void *work(void *payload)
{
    um_backlog *b = payload;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (b->n == 0 && !b->ends)
            pthread_cond_wait(&b->moved, &b->lock);
        if (b->n == 0)
            break;
        void *task = b->tasks[b->first];
        b->first = (b->first + 1) % b->most;
        b->n--;
        pthread_cond_broadcast(&b->moved);
        pthread_mutex_unlock(&b->lock);
        b->run(task, b->payload);
        pthread_mutex_lock(&b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

um_status um_backlog_open(um_backlog **out, int threads, int most, void (*run)(void *task, void *payload), void *payload)
{
    um_status rc = UM_OK;
    um_backlog *b = NULL;
    UM_TRY(UM_NEW(b));
    *b = (um_backlog){.run = run, .payload = payload, .most = most, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    UM_TRY(UM_NEW_ARRAY(b->tasks, most));
    UM_TRY(UM_NEW_ARRAY(b->threads, threads));
    for (; b->n_threads < threads; b->n_threads++)
        if (pthread_create(&b->threads[b->n_threads], NULL, work, b) != 0)
            UM_TRY(um_fail(UM_E_MEMORY, "no thread for what waits for disks"));
    *out = b;
    b = NULL;
done:
    um_backlog_close(b);
    return rc;
}

void um_backlog_put(um_backlog *b, void *task)
{
    pthread_mutex_lock(&b->lock);
    while (b->n == b->most)
        pthread_cond_wait(&b->moved, &b->lock);
    b->tasks[(b->first + b->n++) % b->most] = task;
    pthread_cond_broadcast(&b->moved);
    pthread_mutex_unlock(&b->lock);
}

void um_backlog_close(um_backlog *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->ends = true;
    pthread_cond_broadcast(&b->moved);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; i < b->n_threads; i++)
        pthread_join(b->threads[i], NULL);
    pthread_cond_destroy(&b->moved);
    pthread_mutex_destroy(&b->lock);
    um_free(b->threads);
    um_free(b->tasks);
    um_free(b);
}
