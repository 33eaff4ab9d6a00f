/* Sums over ranks by NCCL: one communicator of the library, whose calls are ordered with a queue of the device. Inside mpi/; a
 * build without NCCL has the same functions and refuses (nccl_none.c).
 *
 * Calls of one communicator are done in the order they are made, whatever their queues: a sum waits for those before it. What
 * must not wait for each other has a communicator each (um_reducer: the small sums that runs wait for, and the buckets beside
 * them). Calls of all communicators together come in one order on all ranks, since all run one graph; and NCCL from 2.26 on
 * starts them in that order on every device (NCCL_LAUNCH_ORDER_IMPLICIT, which um_nccl_open sets unless somebody did), so that
 * no two ranks can wait for each other in different sums. An older one does not: then there is one communicator
 * (um_nccl_orders).
 *
 * Calls do not wait for other ranks; the queue does. Who waits for the queue has to look at um_nccl_check and at the other ranks
 * (um_comm_listen) meanwhile, and gives up by um_nccl_abort. */
#ifndef UM_MPI_NCCL_H
#define UM_MPI_NCCL_H

#include "kernels/queue.h"
#include "mpi/comm_internal.h"

typedef struct um_nccl um_nccl;

/* Local: whether there is such a library, and its version, "2.28.9". Errors: UM_E_UNSUPPORTED with the reason. */
um_status um_nccl_find(char version[24]);

/* Local: whether the library keeps several communicators in order. */
bool um_nccl_orders(void);

/* Collective: every rank on a device of its own. b: borrowed. Communicators are made one after the other, in the same order on
 * all ranks. */
um_status um_nccl_open(um_nccl **out, um_comm *c, um_backend *b);
void um_nccl_close(um_nccl *n); /* accepts NULL */

/* data[i] summed over the ranks, on queue q, same bits everywhere; the same calls in the same order on all ranks. ordered: by the tree of
 * um_comm_sum, in messages between pairs, with `room` bytes of scratch in device memory; else in the library's own order. */
um_status um_nccl_sum(um_nccl *n, um_queue *q, void *data, um_dtype type, int64_t count, bool ordered, void *scratch, size_t room);

um_status um_nccl_check(um_nccl *n); /* UM_E_COMM when the library lost a rank or a device */
void um_nccl_abort(um_nccl *n);      /* ends what is under way; afterwards it can be closed only */

#endif
