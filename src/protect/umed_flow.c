#include "protect/umed_flow.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/queue.h"

enum { ALIGN = 256, MARK = 1, MOST_BATCH = 32 };

struct um_umed_cargo {
    um_umed_cargo *next; /* idle ones */
    int64_t n, h, w;
    size_t at[UM_UMED_INPUTS], room_in, room_out; /* at: of an input within `in`, bytes */
    bool has[UM_UMED_INPUTS];
    char *in, *out, *there_in, *there_out; /* pinned; on the device */
};

struct um_umed_flow {
    um_queue *in, *out;
    pthread_mutex_t lock;
    um_umed_cargo *idle;
};

/* Enough pixels to fill a device, and not many more: a run of few images costs as much as a whole batch. */
int64_t um_umed_flow_batch(int64_t h, int64_t w)
{
    int64_t n = 4 * 224 * 224 / (h * w);
    return n < 1 ? 1 : n > MOST_BATCH ? MOST_BATCH : n;
}

void um_umed_cargo_size(const um_umed_cargo *cargo, int64_t *h, int64_t *w)
{
    *h = cargo->h, *w = cargo->w;
}

static void cargo_free(um_umed *u, um_umed_cargo *c)
{
    um_backend *b = u->backend;
    b->queues->unpin(b, c->in);
    b->queues->unpin(b, c->out);
    b->iface->free(b, c->there_in);
    b->iface->free(b, c->there_out);
    um_free(c);
}

static void flow_free(um_umed *u, struct um_umed_flow *f)
{
    um_backend *b = u->backend;
    if (!f)
        return;
    b->queues->close(b, f->in);
    b->queues->close(b, f->out);
    while (f->idle) {
        um_umed_cargo *c = f->idle;
        f->idle = c->next;
        cargo_free(u, c);
    }
    pthread_mutex_destroy(&f->lock);
    um_free(f);
}

void um_umed_flow_free(um_umed *u)
{
    flow_free(u, u->flow);
    u->flow = NULL;
}

/* The first call makes it: only um_umed_flow_in comes here before anybody else has a cargo. */
static um_status ready(um_umed *u)
{
    um_status rc = UM_OK;
    struct um_umed_flow *f = NULL;
    um_backend *b = u->backend;
    UM_TRY(b->queues->enter(b));
    if (u->flow)
        return UM_OK;
    UM_TRY(UM_NEW(f));
    pthread_mutex_init(&f->lock, NULL);
    UM_TRY(b->queues->open(b, &f->in));
    UM_TRY(b->queues->open(b, &f->out));
    u->flow = f;
    f = NULL;
done:
    flow_free(u, f);
    return rc;
}

/* Which inputs the generators have, and where they lie in the block of n images; returns its bytes. */
static size_t lay_out(const um_umed *u, um_umed_cargo *c, int64_t n, int64_t h, int64_t w)
{
    const bool has[UM_UMED_INPUTS] = {true, u->o.gen_input == 1, u->o.gen_input == 1, u->o.parts != UM_UMED_TEXTURE,
                                      u->o.parts != UM_UMED_CONTOUR};
    const int64_t channels[UM_UMED_INPUTS] = {u->c, u->c + 1, 1, 1, 1};
    size_t bytes = 0;
    c->n = n, c->h = h, c->w = w;
    for (int k = 0; k < UM_UMED_INPUTS; k++) {
        c->has[k] = has[k];
        c->at[k] = bytes;
        if (has[k])
            bytes += ((size_t)(n * h * w * channels[k]) * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    }
    return bytes;
}

static um_status make_room(um_umed *u, um_umed_cargo *c, size_t in, size_t out)
{
    um_status rc = UM_OK;
    um_backend *b = u->backend;
    UM_TRY(b->queues->pin(b, (void **)&c->in, in));
    UM_TRY(b->queues->pin(b, (void **)&c->out, out));
    UM_TRY(b->queues->alloc(b, u->flow->in, (void **)&c->there_in, in));
    UM_TRY(b->queues->alloc(b, u->flow->in, (void **)&c->there_out, out));
    c->room_in = in, c->room_out = out;
done:
    return rc;
}

/* An idle cargo that is large enough, else a new one: soon there are as many as are on the way at once. */
static um_status take_cargo(um_umed *u, int64_t n, int64_t h, int64_t w, um_umed_cargo **out)
{
    um_status rc = UM_OK;
    struct um_umed_flow *f = u->flow;
    um_umed_cargo like = {0}, *c = NULL, **p;
    size_t in = lay_out(u, &like, n, h, w), back = (size_t)(n * h * w * u->c) * sizeof(float);
    pthread_mutex_lock(&f->lock);
    for (p = &f->idle; *p && ((*p)->room_in < in || (*p)->room_out < back);)
        p = &(*p)->next;
    c = *p ? *p : f->idle;
    if (*p)
        *p = c->next;
    else if (c) /* grows: sizes rise and then stay */
        f->idle = c->next;
    pthread_mutex_unlock(&f->lock);
    if (c && (c->room_in < in || c->room_out < back)) {
        cargo_free(u, c);
        c = NULL;
    }
    if (!c) {
        UM_TRY(UM_NEW(c));
        UM_TRY(make_room(u, c, in, back));
    }
    lay_out(u, c, n, h, w);
    *out = c;
    c = NULL;
done:
    if (c)
        cargo_free(u, c);
    return rc;
}

void um_umed_flow_drop(um_umed *u, um_umed_cargo *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&u->flow->lock);
    c->next = u->flow->idle;
    u->flow->idle = c;
    pthread_mutex_unlock(&u->flow->lock);
}

um_status um_umed_flow_in(um_umed *u, um_umed_feed *feed, um_umed_cargo **out)
{
    um_status rc = UM_OK;
    um_backend *b = u->backend;
    um_umed_cargo *c = NULL;
    char *to[UM_UMED_INPUTS];
    UM_TRY(ready(u));
    UM_TRY(take_cargo(u, feed->n_rows, feed->data->h, feed->data->w, &c));
    for (int k = 0; k < UM_UMED_INPUTS; k++)
        to[k] = c->has[k] ? c->in + c->at[k] : NULL;
    um_umed_feed_gather(feed, UM_F32, NULL, c->n, to);
    size_t bytes = lay_out(u, c, c->n, c->h, c->w);
    UM_TRY(b->queues->send(b, u->flow->in, c->there_in, c->in, bytes));
    UM_TRY(b->queues->mark(b, u->flow->in, MARK));
    UM_TRY(b->queues->wait(b, u->flow->in, MARK));
    *out = c;
    c = NULL;
done:
    um_umed_flow_drop(u, c);
    um_umed_feed_free(feed);
    return rc;
}

/* One run over images [first, first + n) of the cargo; what stands in the rest of the batch is of no account. */
static um_status run_batch(um_umed *u, const um_umed_cargo *c, int64_t first, int64_t n, const um_batch *batch)
{
    um_status rc = UM_OK;
    const um_umed_graph *g = &u->apply;
    const um_tid to[UM_UMED_INPUTS] = {g->x, g->xy, UM_NONE, g->contour, g->texture};
    const int64_t channels[UM_UMED_INPUTS] = {u->c, u->c + 1, 1, 1, 1};
    size_t plane = (size_t)(c->h * c->w) * sizeof(float);
    for (int k = 0; k < UM_UMED_INPUTS; k++)
        if (to[k] >= 0)
            UM_TRY(um_exec_copy_in(g->exec, to[k], c->there_in + c->at[k] + (size_t)(first * channels[k]) * plane, n));
    UM_TRY(um_exec_run(g->exec, batch, 0, -1));
    UM_TRY(um_exec_copy_out(g->exec, g->delta, c->there_out + (size_t)(first * u->c) * plane, n));
done:
    return rc;
}

um_status um_umed_flow_run(um_umed *u, um_umed_cargo *c)
{
    um_status rc = UM_OK;
    um_backend *b = u->backend;
    um_batch batch;
    int64_t most = um_umed_flow_batch(c->h, c->w);
    um_batch_set(&batch, most, 1);
    for (int64_t first = 0; first < c->n; first += most)
        UM_TRY(run_batch(u, c, first, c->n - first < most ? c->n - first : most, &batch));
    UM_TRY(b->queues->mark(b, NULL, MARK));
    UM_TRY(b->queues->wait(b, NULL, MARK));
done:
    return rc;
}

um_status um_umed_flow_out(um_umed *u, um_umed_cargo *c, float *delta)
{
    um_status rc = UM_OK;
    um_backend *b = u->backend;
    size_t bytes = (size_t)(c->n * c->h * c->w * u->c) * sizeof(float);
    UM_TRY(b->queues->enter(b));
    UM_TRY(b->queues->fetch(b, u->flow->out, c->out, c->there_out, bytes));
    UM_TRY(b->queues->mark(b, u->flow->out, MARK));
    UM_TRY(b->queues->wait(b, u->flow->out, MARK));
    memcpy(delta, c->out, bytes);
done:
    um_umed_flow_drop(u, c);
    return rc;
}
