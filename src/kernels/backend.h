/* Backends: where ops run and memory lives. `cpu` (f32, and f64 for tests); `cuda` (kernels/cuda/cuda.h), refused by name in builds
 * without it and on machines without a device; `check:cpu` and `check:cuda` decorate another backend: they fill outputs with NaN
 * first, verify that
 * inputs, the gaps between slices and a guard behind the workspace stay untouched, and that results are finite.
 *
 * Calls of one backend take effect in the order they are made. Those of a device may still be under way when they return:
 * download and
 * synchronise wait, and an error of a run may come to light there. */
#ifndef UM_KERNELS_BACKEND_H
#define UM_KERNELS_BACKEND_H

#include "base/status.h"
#include "kernels/ops.h"

typedef struct um_backend um_backend;
typedef struct um_queue_iface um_queue_iface; /* kernels/queue.h */

/* Arithmetic of products; what each means for memory is told in kernels/cuda/cuda.h. The CPU has fp32 (and f64 for tests) only. */
typedef enum um_precision { UM_PRECISION_FP32, UM_PRECISION_TF32, UM_PRECISION_BF16 } um_precision;

typedef struct um_backend_iface {
    /* True when the op has a kernel. */
    bool (*supports)(const um_backend *b, um_op op);
    /* Called at plan time with views whose data may be NULL: checks that the shapes and attributes are ones the kernel handles
     * (UM_E_UNSUPPORTED with the reason) and gives the workspace it needs for any batch up to these extents. */
    um_status (*prepare)(um_backend *b, um_op op, const um_op_call *call, size_t *workspace_bytes);
    /* Never allocates. Errors only from check:, devices and reductions. */
    um_status (*run)(um_backend *b, um_op op, const um_op_call *call);
    /* zeroed, 64-byte aligned; owned by the caller, give back with free */
    um_status (*alloc)(um_backend *b, void **out, size_t bytes);
    void (*free)(um_backend *b, void *p);
    um_status (*upload)(um_backend *b, void *to_device, const void *from_host, size_t bytes);
    um_status (*download)(um_backend *b, void *to_host, const void *from_device, size_t bytes);
    um_status (*synchronise)(um_backend *b); /* NULL: run returns when its work is done */

    /* Recording: a sequence of runs kept by the device and started as one. NULL, all of them, where there is no such thing. A
     * recording holds addresses and attributes of the calls it was made from, but takes seed, step and place of the batch from
     * `batch`. */
    bool (*recordable)(const um_backend *b, um_op op, const um_batch *batch); /* false: needs the host in between */
    um_status (*record_begin)(um_backend *b, const um_batch *batch);          /* runs from here on are recorded, not done */
    um_status (*record_end)(um_backend *b, bool good, void **recording);      /* good: false gives up, and writes nothing */
    um_status (*replay)(um_backend *b, const um_batch *batch, void *recording);
    void (*forget)(um_backend *b, void *recording); /* accepts NULL */

    void (*destroy)(um_backend *b);
} um_backend_iface;

struct um_backend {
    const um_backend_iface *iface;
    char name[32];
    um_dtype real; /* UM_F32 or UM_F64 */
    um_dtype store; /* what activations may be stored as: real, or UM_BF16 (nn/narrow.h decides which) */
    bool on_host;   /* its memory can be read and written directly */
    um_conv_algo conv_algo; /* what layers ask of their convolutions (nn/layers.h); UM_CONV_AUTO unless its owner changes it */
    const um_queue_iface *queues; /* work beside the runs; NULL: none */
    char device[48]; /* what no other device on this host is called; "": it is not on a device */
    void *impl;
};

/* Which of the ranks on this host this process is, from 0, before a backend is opened: rank r takes device r modulo their number.
 * Until it is called: 0. */
void um_backend_set_place(int rank_on_host);
int um_backend_place(void);

/* name: "cpu", "cuda", "check:cpu", "check:cuda", "auto" (cuda where there is a device, else cpu). Errors: UM_E_UNSUPPORTED for
 * cuda
 * without a device or in a build without it, and for a precision that the backend does not have; UM_E_CONFIG for an unknown name,
 * with the nearest one. out: owned by the caller. */
um_status um_backend_open(um_backend **out, const char *name, um_dtype real, um_precision precision);
um_status um_backend_create(um_backend **out, const char *name, um_dtype real); /* with fp32 */
void um_backend_free(um_backend *b);

/* Is the operand one that may have the storage type? */
bool um_shape_is_activation(um_op op, bool is_out, int index);

/* Does the call name the batch that its op needs, with lanes that cover its images? UM_E_BUG if not. For backends' run. */
um_status um_batch_check(um_op op, const um_op_call *call);

/* One line about it for `umed info`: instruction set, threads, BLAS build. */
const char *um_backend_describe(const um_backend *b);

/* The CPU backend picks the widest instruction set at run time; UMED_ISA=generic|avx2|avx512 in the environment narrows it. */
const char *um_cpu_isa(void);

#endif
