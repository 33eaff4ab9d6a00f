/* Work of a device beside its runs (um_backend.queues). A queue does what it is given in order; different queues do so at the same time,
 * unless one was told to follow another. Wherever a queue is taken, NULL stands for that of the backend's runs.
 *
 * What a copy reads and writes must stay until it is done: until a wait for a mark behind it, or until a queue that follows comes to the
 * next use. Host memory of copies is page-locked (pin): the device reaches it by itself, so that a call returns before the copy is done.
 *
 * Any thread may use a queue, one at a time, after it called enter once. Errors: of the backend. */
#ifndef UM_KERNELS_QUEUE_H
#define UM_KERNELS_QUEUE_H

#include "kernels/backend.h"

typedef struct um_queue um_queue;
enum { UM_QUEUE_MARKS = 8 };

struct um_queue_iface {
    um_status (*open)(um_backend *b, um_queue **out); /* owned by the caller */
    void (*close)(um_backend *b, um_queue *q);        /* waits for what it holds; accepts NULL */
    um_status (*enter)(um_backend *b);                /* local to the calling thread */
    void *(*stream)(um_backend *b, um_queue *q);      /* the device's own name for it: cudaStream_t */

    um_status (*pin)(um_backend *b, void **out, size_t bytes); /* host memory, zeroed; give back with unpin */
    void (*unpin)(um_backend *b, void *p);                     /* accepts NULL */

    /* device memory, zeroed by q; give back with the backend's free */
    um_status (*alloc)(um_backend *b, um_queue *q, void **out, size_t bytes);
    um_status (*fetch)(um_backend *b, um_queue *q, void *pinned, const void *from, size_t bytes);
    um_status (*send)(um_backend *b, um_queue *q, void *to, const void *pinned, size_t bytes);
    um_status (*copy)(um_backend *b, um_queue *q, void *to, const void *from, size_t bytes); /* within the device */
    /* to[i] += from[i], n numbers of type UM_F32 or UM_F64 */
    um_status (*add)(um_backend *b, um_queue *q, void *to, const void *from, um_dtype type, int64_t n);

    /* What q is given from here on begins when `other` has done all that it holds now. */
    um_status (*follow)(um_backend *b, um_queue *q, um_queue *other);
    /* Sets mark i of UM_QUEUE_MARKS behind all that q holds now; wait returns when q came to it, reached tells whether it did. A
     * mark that is set again is behind more: who waits for what it was, waits longer. One that never was set has been come to. */
    um_status (*mark)(um_backend *b, um_queue *q, int i);
    um_status (*wait)(um_backend *b, um_queue *q, int i);
    um_status (*reached)(um_backend *b, um_queue *q, int i, bool *yes);
};

#endif
