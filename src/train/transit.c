#include "train/transit.h"

#include "base/log.h"
#include "base/mem.h"

enum { MARK_FED = 2 }; /* of the runs' queue, one for each slot: behind the use of its batch */

/* A block on the host: page-locked where a queue copies it. */
static um_status alloc_host(um_backend *b, const um_queue *q, char **out, size_t bytes)
{
    return q ? b->queues->pin(b, (void **)out, bytes) : um_alloc((void **)out, 1, bytes);
}

static void free_host(um_backend *b, const um_queue *q, char *p)
{
    if (q)
        b->queues->unpin(b, p);
    else
        um_free(p);
}

/* Without its queue, then, is what cannot have its memory on the device. */
static bool does_without(um_status rc, const char *what)
{
    if (rc != UM_E_MEMORY)
        return false;
    um_log(UM_LOG_INFO, "%s cross between the runs: %s", what, um_error_text());
    um_error_clear();
    return true;
}

/* ---- in ---- */

static um_status open_in(um_inlet *out, um_backend *b, const size_t *bytes, int n_parts, int64_t most, bool beside)
{
    um_status rc = UM_OK;
    um_inlet in = {.backend = b, .n_parts = n_parts};
    UM_REQUIRE(n_parts <= UM_INLET_PARTS);
    if (beside)
        UM_TRY(b->queues->open(b, &in.queue));
    for (int k = 0; k < n_parts; k++) {
        size_t all = (size_t)most * bytes[k];
        in.bytes[k] = bytes[k];
        for (int s = 0; s < (beside ? UM_TRANSIT_SLOTS : 1); s++) {
            UM_TRY(alloc_host(b, in.queue, &in.host[s][k], all));
            if (beside)
                UM_TRY(b->queues->alloc(b, in.queue, (void **)&in.there[s][k], all));
        }
    }
    *out = in;
    in = (um_inlet){0};
done:
    um_inlet_close(&in);
    return rc;
}

um_status um_inlet_open(um_inlet *out, um_backend *b, const size_t *bytes, int n_parts, int64_t most)
{
    um_status rc = b->queues ? open_in(out, b, bytes, n_parts, most, true) : UM_OK;
    return !b->queues || does_without(rc, "batches") ? open_in(out, b, bytes, n_parts, most, false) : rc;
}

void um_inlet_close(um_inlet *in)
{
    um_backend *b = in->backend;
    const um_queue *was = in->queue;
    if (!b)
        return;
    if (in->queue)
        b->queues->close(b, in->queue);
    for (int s = 0; s < UM_TRANSIT_SLOTS; s++)
        for (int k = 0; k < UM_INLET_PARTS; k++) {
            b->iface->free(b, in->there[s][k]); /* waits for the runs */
            free_host(b, was, in->host[s][k]);
        }
    *in = (um_inlet){0};
}

/* The slot's last batch was used before the step that is under way now, so this wait is short. */
um_status um_inlet_room(um_inlet *in, void *part[UM_INLET_PARTS])
{
    um_status rc = UM_OK;
    if (in->queue) {
        in->at = (in->at + 1) % UM_TRANSIT_SLOTS;
        UM_TRY(in->backend->queues->wait(in->backend, NULL, MARK_FED + in->at));
    }
    for (int k = 0; k < in->n_parts; k++)
        part[k] = in->host[in->at][k];
done:
    return rc;
}

um_status um_inlet_send(um_inlet *in, int64_t n)
{
    um_status rc = UM_OK;
    um_backend *b = in->backend;
    int s = in->at;
    for (int k = 0; in->queue && n > 0 && k < in->n_parts; k++)
        UM_TRY(b->queues->send(b, in->queue, in->there[s][k], in->host[s][k], (size_t)n * in->bytes[k]));
done:
    return rc;
}

um_status um_inlet_feed(um_inlet *in, um_exec *e, const um_tid *input, int64_t n)
{
    um_status rc = UM_OK;
    um_backend *b = in->backend;
    if (n == 0)
        return UM_OK;
    for (int k = 0; !in->queue && k < in->n_parts; k++)
        UM_TRY(um_exec_upload(e, input[k], in->host[in->at][k], n));
    if (!in->queue)
        return UM_OK;
    UM_TRY(b->queues->follow(b, NULL, in->queue));
    for (int k = 0; k < in->n_parts; k++)
        UM_TRY(um_exec_copy_in(e, input[k], in->there[in->at][k], n));
    UM_TRY(b->queues->mark(b, NULL, MARK_FED + in->at));
done:
    return rc;
}

/* ---- out ---- */

static um_status open_out(um_outlet *out, um_backend *b, size_t bytes, int64_t most, bool beside)
{
    um_status rc = UM_OK;
    um_outlet o = {.backend = b, .bytes = bytes};
    if (beside)
        UM_TRY(b->queues->open(b, &o.queue));
    for (int s = 0; s < UM_TRANSIT_SLOTS; s++) {
        UM_TRY(alloc_host(b, o.queue, &o.host[s], (size_t)most * bytes));
        if (beside)
            UM_TRY(b->iface->alloc(b, (void **)&o.there[s], (size_t)most * bytes));
    }
    *out = o;
    o = (um_outlet){0};
done:
    um_outlet_close(&o);
    return rc;
}

um_status um_outlet_open(um_outlet *out, um_backend *b, size_t bytes, int64_t most)
{
    um_status rc = b->queues ? open_out(out, b, bytes, most, true) : UM_OK;
    return !b->queues || does_without(rc, "results") ? open_out(out, b, bytes, most, false) : rc;
}

void um_outlet_close(um_outlet *o)
{
    um_backend *b = o->backend;
    const um_queue *was = o->queue;
    if (!b)
        return;
    if (o->queue)
        b->queues->close(b, o->queue);
    for (int s = 0; s < UM_TRANSIT_SLOTS; s++) {
        b->iface->free(b, o->there[s]);
        free_host(b, was, o->host[s]);
    }
    *o = (um_outlet){0};
}

um_status um_outlet_send(um_outlet *o, um_exec *e, um_tid t, int64_t n)
{
    um_status rc = UM_OK;
    um_backend *b = o->backend;
    int at = (o->first + o->n) % UM_TRANSIT_SLOTS;
    UM_REQUIRE(o->n < UM_TRANSIT_SLOTS);
    if (o->queue) {
        UM_TRY(um_exec_copy_out(e, t, o->there[at], n));
        UM_TRY(b->queues->follow(b, o->queue, NULL));
        UM_TRY(b->queues->fetch(b, o->queue, o->host[at], o->there[at], (size_t)n * o->bytes));
        UM_TRY(b->queues->mark(b, o->queue, at));
    } else {
        UM_TRY(um_exec_download(e, t, o->host[at], n));
    }
    o->n++;
done:
    return rc;
}

um_status um_outlet_take(um_outlet *o, um_reducer *r, const void **result)
{
    um_status rc = UM_OK;
    int at = o->first;
    UM_REQUIRE(o->n > 0);
    if (o->queue && r)
        UM_TRY(um_reducer_wait(r, o->queue, at));
    else if (o->queue)
        UM_TRY(o->backend->queues->wait(o->backend, o->queue, at));
    o->first = (at + 1) % UM_TRANSIT_SLOTS;
    o->n--;
    *result = o->host[at];
done:
    return rc;
}

/* Their slots may be used at once: the same queue fills them in order. */
void um_outlet_forget(um_outlet *o)
{
    o->n = 0;
}
