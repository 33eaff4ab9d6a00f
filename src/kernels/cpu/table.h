/* The kernels of one variant (float type, instruction set): what table.c exports and cpu.c chooses from. */
#ifndef UM_KERNELS_CPU_TABLE_H
#define UM_KERNELS_CPU_TABLE_H

#include "base/status.h"
#include "kernels/ops.h"

typedef struct um_cpu_op {
    um_status (*run)(const um_op_call *call);
    um_status (*prepare)(const um_op_call *call, size_t *bytes); /* NULL: no workspace, shape.c knows all there is to check */
} um_cpu_op;

/* kernels/probe.h for one variant; the arrays are of its real type. */
typedef struct um_cpu_probe {
    double (*fma)(int threads);
    double (*triad)(int threads, void *a, const void *b, const void *c, int64_t n);
} um_cpu_probe;

extern const um_cpu_probe um_cpu_probes_f32_generic, um_cpu_probes_f64_generic;
extern const um_cpu_probe um_cpu_probes_f32_avx2, um_cpu_probes_f64_avx2;
extern const um_cpu_probe um_cpu_probes_f32_avx512, um_cpu_probes_f64_avx512;

extern const um_cpu_op um_cpu_table_f32_generic[UM_OP_COUNT], um_cpu_table_f64_generic[UM_OP_COUNT];
extern const um_cpu_op um_cpu_table_f32_avx2[UM_OP_COUNT], um_cpu_table_f64_avx2[UM_OP_COUNT];
extern const um_cpu_op um_cpu_table_f32_avx512[UM_OP_COUNT], um_cpu_table_f64_avx512[UM_OP_COUNT];

#endif
