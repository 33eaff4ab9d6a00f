/* What crosses between the host and a device beside its runs: batches that the host makes while the device works on the one
 * before (um_inlet), and results that come back while it works on the next (um_outlet). Both hold two at a time, in page-locked
 * memory and on the device, and cross on queues of their own (kernels/queue.h).
 *
 * Where a backend has no queues, or its device no room for a second batch, nothing is under way: each call does its part at
 * once. The numbers are the same. */
#ifndef UM_TRAIN_TRANSIT_H
#define UM_TRAIN_TRANSIT_H

#include "kernels/queue.h"
#include "mpi/reducer.h"
#include "nn/exec.h"

enum { UM_TRANSIT_SLOTS = 2, UM_INLET_PARTS = 2 };

/* Batches on their way in, each of some parts, such as images and masks. For every batch: room, send, feed, in this order. */
typedef struct um_inlet {
    um_backend *backend; /* borrowed */
    um_queue *queue;     /* NULL: nothing is under way */
    int n_parts, at;     /* at: slot of the batch at hand */
    size_t bytes[UM_INLET_PARTS]; /* of one image */
    char *host[UM_TRANSIT_SLOTS][UM_INLET_PARTS], *there[UM_TRANSIT_SLOTS][UM_INLET_PARTS];
} um_inlet;

/* bytes: [n_parts], of one image; most: images of the largest batch. */
um_status um_inlet_open(um_inlet *out, um_backend *b, const size_t *bytes, int n_parts, int64_t most);
void um_inlet_close(um_inlet *in); /* accepts one that is all zero */
/* Host memory for the parts of the next batch, until it was sent. Waits until the device has read the batch before the last one. */
um_status um_inlet_room(um_inlet *in, void *part[UM_INLET_PARTS]);
um_status um_inlet_send(um_inlet *in, int64_t n);
/* Part k into the executor's input[k], in order with its runs. */
um_status um_inlet_feed(um_inlet *in, um_exec *e, const um_tid *input, int64_t n);

/* Results on their way back, first in, first out. */
typedef struct um_outlet {
    um_backend *backend; /* borrowed */
    um_queue *queue;     /* NULL: nothing is under way */
    size_t bytes;        /* of one item */
    int first, n;        /* slot of the oldest result that was sent and not taken; how many there are */
    char *host[UM_TRANSIT_SLOTS], *there[UM_TRANSIT_SLOTS];
} um_outlet;

um_status um_outlet_open(um_outlet *out, um_backend *b, size_t bytes, int64_t most);
void um_outlet_close(um_outlet *o); /* accepts one that is all zero */
/* The first n items of a kept tensor as the runs so far leave it. At most UM_TRANSIT_SLOTS may be under way. */
um_status um_outlet_send(um_outlet *o, um_exec *e, um_tid t, int64_t n);
/* Waits for the oldest one, listening to the ranks of r; NULL: none. result: until the next but one is sent. */
um_status um_outlet_take(um_outlet *o, um_reducer *r, const void **result);
void um_outlet_forget(um_outlet *o); /* what is under way, after a failure */

#endif
