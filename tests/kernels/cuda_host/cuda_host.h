/* The CUDA backend on host memory: its own sources (kernels/cuda/.cu by a host compiler with UM_CUDA_HOST, cuda.c, conv.c), above
 * stand-ins for the CUDA runtime, cuDNN and cuBLASLt. Everything of ours is tested; the libraries, launches and timing are not. */
#ifndef UM_TESTS_CUDA_HOST_H
#define UM_TESTS_CUDA_HOST_H

#include <stdbool.h>

#include "base/status.h"

typedef struct um_host_counts {
    int uploads, downloads, launches, captures, replays, forgotten;
    um_status (*replay)(void *payload); /* what a replay does; NULL: nothing */
    void *replay_payload;
    /* What the stand-in for cuDNN refuses, as a real one may. */
    bool refuse_slices, refuse_f32_gradients;
    int prepared; /* problems that it was asked about and accepted */
} um_host_counts;
extern um_host_counts um_host_count;

#endif
