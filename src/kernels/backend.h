/* Backends: where ops run and memory lives. `cpu` (f32, and f64 for tests); `check:cpu` decorates another backend: it fills outputs
 * with NaN first, verifies that inputs, the gaps between slices and a guard behind the workspace stay untouched, and that results
 * are finite. `cuda` is refused by name in builds without it. */
#ifndef UM_KERNELS_BACKEND_H
#define UM_KERNELS_BACKEND_H

#include "base/status.h"
#include "kernels/ops.h"

typedef struct um_backend um_backend;

typedef struct um_backend_iface {
    /* True when the op has a kernel. */
    bool (*supports)(const um_backend *b, um_op op);
    /* Called at plan time with views whose data may be NULL: checks that the shapes and attributes are ones the kernel handles
     * (UM_E_UNSUPPORTED with the reason) and gives the workspace it needs for any batch up to these extents. */
    um_status (*prepare)(um_backend *b, um_op op, const um_op_call *call, size_t *workspace_bytes);
    /* Never allocates. Errors only from check:, devices and reductions. */
    um_status (*run)(um_backend *b, um_op op, const um_op_call *call);
    um_status (*alloc)(um_backend *b, void **out, size_t bytes); /* zeroed, 64-byte aligned; owned by the caller, give back with free */
    void (*free)(um_backend *b, void *p);
    um_status (*upload)(um_backend *b, void *to_device, const void *from_host, size_t bytes);
    um_status (*download)(um_backend *b, void *to_host, const void *from_device, size_t bytes);
    void (*destroy)(um_backend *b);
} um_backend_iface;

struct um_backend {
    const um_backend_iface *iface;
    char name[32];
    um_dtype real; /* UM_F32 or UM_F64 */
    um_conv_algo conv_algo; /* what layers ask of their convolutions (nn/layers.h); UM_CONV_AUTO unless its owner changes it */
    void *impl;
};

/* name: "cpu", "check:cpu", "auto" (the best one present). Errors: UM_E_UNSUPPORTED for cuda in this build; UM_E_CONFIG for an
 * unknown name, with the nearest one. out: owned by the caller. */
um_status um_backend_create(um_backend **out, const char *name, um_dtype real);
void um_backend_free(um_backend *b);

/* One line about it for `umed info`: instruction set, threads, BLAS build. */
const char *um_backend_describe(const um_backend *b);

/* The CPU backend picks the widest instruction set at run time; UMED_ISA=generic|avx2|avx512 in the environment narrows it. */
const char *um_cpu_isa(void);

#endif
