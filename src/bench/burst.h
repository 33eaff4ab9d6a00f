/* A piece of work done over and over in one timed interval, long enough on a device that launches and the wait for the end do not
 * count: it is recorded where the backend records (kernels/backend.h), so that nothing of the host lies in between. In host
 * memory: once. */
#ifndef UM_BENCH_BURST_H
#define UM_BENCH_BURST_H

#include "kernels/backend.h"

typedef struct um_burst {
    um_backend *backend; /* borrowed */
    um_status (*once)(void *payload);
    void *payload;
    um_batch *batch; /* of the runs in `once`; borrowed */
    int repeats;     /* 0 until um_burst_ready */
    void *recording; /* NULL: started one by one */
} um_burst;

/* Does the work a few times, chooses the repeats, and records them. backend, once, payload and batch are set by the caller, and
 * stay where they are. */
um_status um_burst_ready(um_burst *b);
void um_burst_free(um_burst *b);
/* A um_bench_way; seconds: of one piece of work. */
um_status um_burst_run(void *burst, double *seconds);

#endif
