/* Runs of nodes that a device keeps and starts as one (backend.h: recording). Private to the executor. */
#ifndef UM_NN_RECORD_H
#define UM_NN_RECORD_H

#include "nn/graph.h"

/* A step between ranks has a stretch for every sum over the batch, for every shape of a batch. */
enum { UM_MAX_RECORDINGS = 2048 };

/* Nodes [first, last) as they ran on a batch of this shape. */
typedef struct um_recording {
    int first, last;
    um_batch shape; /* without what um_backend_iface.replay takes from the batch at hand */
    void *handle;   /* NULL: seen once */
} um_recording;

typedef struct um_recordings {
    um_backend *backend;
    um_recording *list;
    int n, cap;
} um_recordings;

/* out: the recording of these nodes on batches like this one, a new, empty one when there is none; borrowed until the next call.
 * *out = NULL: the backend has no recordings. */
um_status um_recordings_get(um_recordings *r, const um_batch *batch, int first, int last, um_recording **out);
void um_recordings_clear(um_recordings *r);

#endif
