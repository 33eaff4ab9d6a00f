/* kernels/queue.h on a device: a queue is a stream (um_dev_branch). */
#include "kernels/queue.h"

#include "kernels/cuda/table.h"

static um_dev *dev_of(const um_backend *b, um_queue *q)
{
    return q ? (um_dev *)q : um_cuda_dev(b);
}

static um_status queue_open(um_backend *b, um_queue **out)
{
    return um_dev_branch((um_dev **)out, um_cuda_dev(b));
}

static void queue_close(um_backend *b, um_queue *q)
{
    (void)b;
    um_dev_close((um_dev *)q);
}

static um_status queue_enter(um_backend *b)
{
    return um_dev_enter(um_cuda_dev(b));
}

static void *queue_stream(um_backend *b, um_queue *q)
{
    return um_dev_stream(dev_of(b, q));
}

static um_status queue_pin(um_backend *b, void **out, size_t bytes)
{
    return um_dev_pin(um_cuda_dev(b), out, bytes);
}

static void queue_unpin(um_backend *b, void *p)
{
    um_dev_unpin(um_cuda_dev(b), p);
}

static um_status queue_alloc(um_backend *b, um_queue *q, void **out, size_t bytes)
{
    return um_dev_alloc(dev_of(b, q), out, bytes);
}

static um_status queue_fetch(um_backend *b, um_queue *q, void *pinned, const void *from, size_t bytes)
{
    return um_dev_fetch(dev_of(b, q), pinned, from, bytes);
}

static um_status queue_send(um_backend *b, um_queue *q, void *to, const void *pinned, size_t bytes)
{
    return um_dev_send(dev_of(b, q), to, pinned, bytes);
}

static um_status queue_copy(um_backend *b, um_queue *q, void *to, const void *from, size_t bytes)
{
    return um_dev_copy(dev_of(b, q), to, from, bytes);
}

static um_status queue_add(um_backend *b, um_queue *q, void *to, const void *from, um_dtype type, int64_t n)
{
    return um_cuda_add_into(dev_of(b, q), to, from, type, n);
}

static um_status queue_follow(um_backend *b, um_queue *q, um_queue *other)
{
    return um_dev_follow(dev_of(b, q), dev_of(b, other));
}

static um_status queue_mark(um_backend *b, um_queue *q, int i)
{
    return um_dev_mark(dev_of(b, q), i);
}

static um_status queue_wait(um_backend *b, um_queue *q, int i)
{
    return um_dev_wait(dev_of(b, q), i);
}

static um_status queue_reached(um_backend *b, um_queue *q, int i, bool *yes)
{
    return um_dev_reached(dev_of(b, q), i, yes);
}

_Static_assert((int)UM_QUEUE_MARKS == (int)UM_DEV_MARKS, "a queue has the marks of a stream");

const um_queue_iface um_cuda_queues = {
    .open = queue_open,
    .close = queue_close,
    .enter = queue_enter,
    .stream = queue_stream,
    .pin = queue_pin,
    .unpin = queue_unpin,
    .alloc = queue_alloc,
    .fetch = queue_fetch,
    .send = queue_send,
    .copy = queue_copy,
    .add = queue_add,
    .follow = queue_follow,
    .mark = queue_mark,
    .wait = queue_wait,
    .reached = queue_reached,
};
