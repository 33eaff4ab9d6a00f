#include "archive/conveyor.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

typedef struct slot_state {
    void *slot;
    int64_t item;
    int stage; /* the next one for this item */
} slot_state;

typedef struct conveyor {
    const um_conveyor_stage *stages;
    int n_stages, n_slots;
    int64_t n_items, next[UM_CONVEYOR_STAGES]; /* next[k]: the item that stage k takes next */
    slot_state *slots;
    void *job;
    um_conveyor_times *times;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    um_status failed;
    um_text why;
} conveyor;

typedef struct worker {
    conveyor *c;
    int stage, number;
    pthread_t thread;
    bool runs;
} worker;

/* The next item of this stage, when its slot has come so far; false at the end. Called with the lock. */
static bool take(conveyor *c, int stage, int64_t *item, slot_state **slot)
{
    if (c->failed != UM_OK || c->next[stage] >= c->n_items)
        return false;
    *item = c->next[stage]++;
    *slot = &c->slots[*item % c->n_slots];
    while (c->failed == UM_OK && *item < c->n_items && ((*slot)->item != *item || (*slot)->stage != stage))
        pthread_cond_wait(&c->moved, &c->lock);
    return c->failed == UM_OK && *item < c->n_items;
}

static void pass_on(conveyor *c, slot_state *slot)
{
    if (++slot->stage == c->n_stages) {
        slot->stage = 0;
        slot->item += c->n_slots;
    }
}

static void fail(conveyor *c, um_status rc)
{
    if (c->failed != UM_OK)
        return;
    c->failed = rc;
    um_text_add(&c->why, "%s", um_error_text());
}

static void *work(void *payload)
{
    const worker *w = payload;
    conveyor *c = w->c;
    int64_t item = 0;
    slot_state *slot = NULL;
    pthread_mutex_lock(&c->lock);
    while (take(c, w->stage, &item, &slot)) {
        pthread_mutex_unlock(&c->lock);
        double begun = um_now();
        bool no_more = false;
        um_status rc = c->stages[w->stage].run(&(um_conveyor_turn){c->job, slot->slot, item, w->number, &no_more});
        double took = um_now() - begun;
        pthread_mutex_lock(&c->lock);
        took += c->times->busy_s[w->stage];
        __atomic_store(&c->times->busy_s[w->stage], &took, __ATOMIC_RELAXED); /* um_conveyor_look takes no lock */
        if (rc != UM_OK)
            fail(c, rc);
        else if (no_more)
            c->n_items = item;
        else
            pass_on(c, slot);
        pthread_cond_broadcast(&c->moved);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static um_status start(conveyor *c, worker *w)
{
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        return um_fail(UM_E_MEMORY, "no thread for the stage '%s'", c->stages[w->stage].name);
    w->runs = true;
    return UM_OK;
}

static um_status run_workers(conveyor *c, worker *workers, int n)
{
    um_status rc = UM_OK;
    worker *own = NULL;
    for (int i = 0; i < n && rc == UM_OK; i++) {
        if (c->stages[workers[i].stage].workers == 0)
            own = &workers[i];
        else
            rc = start(c, &workers[i]);
    }
    if (rc != UM_OK) {
        pthread_mutex_lock(&c->lock);
        fail(c, rc);
        pthread_cond_broadcast(&c->moved);
        pthread_mutex_unlock(&c->lock);
    } else if (own) {
        work(own);
    }
    for (int i = 0; i < n; i++)
        if (workers[i].runs)
            pthread_join(workers[i].thread, NULL);
    return c->failed == UM_OK ? UM_OK : um_fail(c->failed, "%s", um_text_get(&c->why));
}

um_status um_conveyor_run(const um_conveyor_stage *stages, int n_stages, int64_t n_items, void *const *slots, int n_slots, void *job,
                          um_conveyor_times *times)
{
    um_status rc = UM_OK;
    conveyor c = {.stages = stages, .n_stages = n_stages, .n_slots = n_slots, .n_items = n_items, .job = job, .times = times,
                  .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    worker *workers = NULL;
    int n = 0;
    double begun = um_now();
    UM_REQUIRE(n_stages <= UM_CONVEYOR_STAGES && n_slots > 0);
    for (int k = 0; k < n_stages; k++)
        n += stages[k].workers > 0 ? stages[k].workers : 1;
    UM_TRY(UM_NEW_ARRAY(workers, n));
    UM_TRY(UM_NEW_ARRAY(c.slots, n_slots));
    for (int i = 0; i < n_slots; i++)
        c.slots[i] = (slot_state){.slot = slots[i], .item = i};
    for (int k = 0, i = 0; k < n_stages; k++)
        for (int number = 0; number < (stages[k].workers > 0 ? stages[k].workers : 1); number++)
            workers[i++] = (worker){.c = &c, .stage = k, .number = number};
    UM_TRY(run_workers(&c, workers, n));
done:
    times->wall_s += um_now() - begun;
    um_text_free(&c.why);
    um_free(c.slots);
    um_free(workers);
    pthread_cond_destroy(&c.moved);
    pthread_mutex_destroy(&c.lock);
    return rc;
}

int um_conveyor_bounding(const um_conveyor_stage *stages, int n_stages, const um_conveyor_times *times)
{
    int most = 0;
    double largest = -1;
    for (int k = 0; k < n_stages; k++) {
        double each = times->busy_s[k] / (stages[k].workers > 0 ? stages[k].workers : 1);
        if (each > largest)
            largest = each, most = k;
    }
    return most;
}

um_conveyor_times um_conveyor_look(const um_conveyor_times *times)
{
    um_conveyor_times now = {.wall_s = times->wall_s};
    for (int k = 0; k < UM_CONVEYOR_STAGES; k++)
        __atomic_load(&times->busy_s[k], &now.busy_s[k], __ATOMIC_RELAXED);
    return now;
}
