/* The device as the CUDA backend sees it: memory, one stream, copies, and graphs of launches. runtime.c stands on the CUDA runtime;
 * tests/kernels/cuda_host has the same functions over host memory, so that everything above this header runs without a device.
 *
 * All work is ordered on the device's one stream. Addresses are device memory unless a name says host. Errors: UM_E_DEVICE with the
 * runtime's own text; UM_E_MEMORY when the device has not enough memory; UM_E_UNSUPPORTED when there is no device. */
#ifndef UM_KERNELS_CUDA_RUNTIME_H
#define UM_KERNELS_CUDA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct um_dev um_dev;

typedef struct um_dev_info {
    char name[96];       /* "NVIDIA H100 80GB HBM3" */
    int index, n_devices;
    int cc_major, cc_minor, multiprocessors;
    size_t bytes_total;
    int runtime, driver; /* CUDART version numbers, 13000 */
    int n_sharing;       /* ranks of this host on the same device, this one included */
} um_dev_info;

/* Device number (rank of this host) modulo (number of devices); the rank is what mpirun and srun put in the environment
 * (OMPI_COMM_WORLD_LOCAL_RANK, SLURM_LOCALID, MPI_LOCALRANKID), 0 without them. UMED_CUDA_DEVICE=N in the environment decides
 * instead.
 * out: owned by the caller. */
um_status um_dev_open(um_dev **out);
void um_dev_close(um_dev *d); /* accepts NULL */
const um_dev_info *um_dev_about(const um_dev *d);

um_status um_dev_alloc(um_dev *d, void **out, size_t bytes); /* zeroed, 256-byte aligned */
void um_dev_free(um_dev *d, void *p);                        /* accepts NULL */

/* The host memory may be reused when upload returns, and is filled when download returns. Neither inside a capture. */
um_status um_dev_upload(um_dev *d, void *to, const void *host, size_t bytes);
um_status um_dev_download(um_dev *d, void *host, const void *from, size_t bytes);
um_status um_dev_copy(um_dev *d, void *to, const void *from, size_t bytes);
um_status um_dev_fill(um_dev *d, void *to, int byte, size_t bytes);
um_status um_dev_sync(um_dev *d);

/* Between begin and end launches are recorded, not run; end gives the recording, launch runs it. abandon ends a capture that
 * failed. */
um_status um_dev_capture_begin(um_dev *d);
um_status um_dev_capture_end(um_dev *d, void **out);
void um_dev_capture_abandon(um_dev *d);
um_status um_dev_graph_launch(um_dev *d, void *graph);
void um_dev_graph_free(um_dev *d, void *graph); /* accepts NULL */

/* Seconds of device time that fn takes, the median of `repeats` runs after one that is not counted. */
um_status um_dev_time(um_dev *d, um_status (*fn)(void *payload), void *payload, int repeats, double *seconds);

void *um_dev_stream(const um_dev *d); /* cudaStream_t */
/* The outcome of the launch just made, naming the op. */
um_status um_dev_launched(const char *op);

#ifdef __cplusplus
}
#endif
#endif
