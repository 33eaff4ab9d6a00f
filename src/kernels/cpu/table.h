/* The kernels of one variant (float type, instruction set): what table.c exports and cpu.c chooses from. */
#ifndef UM_KERNELS_CPU_TABLE_H
#define UM_KERNELS_CPU_TABLE_H

#include "base/status.h"
#include "kernels/ops.h"

typedef struct um_cpu_op {
    um_status (*run)(const um_op_call *call);
    um_status (*prepare)(const um_op_call *call, size_t *bytes); /* NULL: no workspace, shape.c knows all there is to check */
} um_cpu_op;

extern const um_cpu_op um_cpu_table_f32_generic[UM_OP_COUNT], um_cpu_table_f64_generic[UM_OP_COUNT];
extern const um_cpu_op um_cpu_table_f32_avx2[UM_OP_COUNT], um_cpu_table_f64_avx2[UM_OP_COUNT];
extern const um_cpu_op um_cpu_table_f32_avx512[UM_OP_COUNT], um_cpu_table_f64_avx512[UM_OP_COUNT];

#endif
