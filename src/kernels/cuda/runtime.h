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
    char uuid[48];       /* "GPU-5a2b..." */
} um_dev_info;

/* Device rank_on_host modulo (number of devices); UMED_CUDA_DEVICE=N in the environment decides instead. out: owned by the caller. */
um_status um_dev_open(um_dev **out, int rank_on_host);
/* A further stream of the same device, for work beside that of d: it has memory, copies, marks and launches, no transfers from and to
 * memory that is not pinned, and no captures. Close it before d. */
um_status um_dev_branch(um_dev **out, const um_dev *d);
void um_dev_close(um_dev *d); /* accepts NULL */
um_status um_dev_enter(const um_dev *d); /* in every further thread, once, before it uses the device */
const um_dev_info *um_dev_about(const um_dev *d);

um_status um_dev_alloc(um_dev *d, void **out, size_t bytes); /* zeroed, 256-byte aligned */
void um_dev_free(um_dev *d, void *p);                        /* accepts NULL */

/* The host memory may be reused when upload returns, and is filled when download returns. Neither inside a capture. */
um_status um_dev_upload(um_dev *d, void *to, const void *host, size_t bytes);
um_status um_dev_download(um_dev *d, void *host, const void *from, size_t bytes);
um_status um_dev_copy(um_dev *d, void *to, const void *from, size_t bytes);
um_status um_dev_fill(um_dev *d, void *to, int byte, size_t bytes);
um_status um_dev_sync(um_dev *d);

/* Page-locked host memory, and copies to and from it that return before they are done. */
um_status um_dev_pin(um_dev *d, void **out, size_t bytes); /* zeroed */
void um_dev_unpin(um_dev *d, void *p);                     /* accepts NULL */
um_status um_dev_fetch(um_dev *d, void *pinned, const void *from, size_t bytes);
um_status um_dev_send(um_dev *d, void *to, const void *pinned, size_t bytes);

/* Streams of one device. follow: what d is given from here on begins when `other` has done all it holds now. Marks stand behind all
 * that d holds now; wait returns when d came to it. */
enum { UM_DEV_MARKS = 8 };
um_status um_dev_follow(um_dev *d, um_dev *other);
um_status um_dev_mark(um_dev *d, int i);
um_status um_dev_wait(um_dev *d, int i);
um_status um_dev_reached(um_dev *d, int i, bool *yes);

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
