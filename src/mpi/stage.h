/* Sums over ranks by MPI, beside the runs of a device: a ring of slots of one bucket each, and a thread that exchanges what comes from
 * the device while the next buckets are on their way (reducer.h: paths mpi and staged). Inside mpi/. */
#ifndef UM_MPI_STAGE_H
#define UM_MPI_STAGE_H

#include "kernels/queue.h"
#include "mpi/comm_internal.h"

typedef struct um_stage um_stage;

/* Collective. direct: MPI takes device memory; else buckets pass through pinned memory. threads: false makes exchanges in start and join,
 * on the calling thread. */
um_status um_stage_open(um_stage **out, um_comm *comm, um_backend *b, size_t bucket_bytes, bool direct, bool threads);
void um_stage_close(um_stage *s); /* accepts NULL */
um_status um_stage_start(um_stage *s, void *data, um_dtype type, int64_t n, const char *what); /* waits when the ring is full */
um_status um_stage_join(um_stage *s);
void um_stage_abandon(um_stage *s); /* returns when nothing is under way */

#endif
