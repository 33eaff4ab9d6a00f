/* The CUDA backend on host memory: its own sources (kernels/cuda/.cu by a host compiler with UM_CUDA_HOST, cuda.c, conv.c), above
 * stand-ins for the CUDA runtime, cuDNN and cuBLASLt. Everything of ours is tested; the libraries, launches and timing are not. */
#ifndef UM_TESTS_CUDA_HOST_H
#define UM_TESTS_CUDA_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct um_host_counts {
    int allocs, frees, uploads, downloads, syncs, launches, captures, replays, forgotten;
    size_t uploaded; /* bytes that went to the device, sends included */
    size_t room;     /* the largest allocation that there is room for; 0: any */
    int fetches, sends, pinned; /* pinned: blocks that are there now */
    int nccl_comms, nccl_sums, nccl_messages;
    /* What the stand-in for cuDNN refuses, as a real one may. */
    bool refuse_slices, refuse_f32_gradients, refuse_bias, refuse_other_types;
    int prepared, biased, converted; /* problems that it was asked about and accepted; with a bias; with a y of another type than x */
} um_host_counts;
extern um_host_counts um_host_count;
/* What was asked of the device, in order, while on: u upload, d download, s send, f fetch, r replay, w and W a wait for a mark
 * of the runs' queue and of another one, 0, 1... a sum or a message by that communicator of NCCL, and what a test adds. */
typedef struct um_host_trace {
    bool on;
    int n;
    char text[4096];
} um_host_trace;
extern um_host_trace um_host_traced;
void um_host_note(char event);

extern int um_host_nccl_version; /* of the stand-in for NCCL, 22809 */
extern bool um_host_one_device; /* every process is on the same one, else each on its own */

/* Does run(job) now, or keeps a copy of the job's bytes while a capture is on, as a device keeps the arguments of a launch. */
void um_host_launch(void (*run)(const void *job), const void *job, size_t bytes);

#endif
